"""`transport`: one that only keeps what is done to it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


class Transport(asyncio.Transport):
    """Keeps what is done to it."""

    def __init__(self, extra: dict[str, Any] | None = None) -> None:
        super().__init__(extra)
        self.calls: list[Any] = []
        self.closing = False

    def __repr__(self) -> str:
        return "<Transport>"

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def write(self, data: Any) -> None:
        self.calls.append(("write", bytes(data)))

    def writelines(self, data: Any) -> None:
        self.calls.append(("writelines", list(data)))

    def write_eof(self) -> Any:
        self.calls.append("write_eof")
        return "answer"

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> Any:
        self.calls.append("close")
        self.closing = True
        return "closed"


@pytest.fixture
def transport() -> Transport:
    return Transport()

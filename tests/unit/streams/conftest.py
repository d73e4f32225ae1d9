"""`api`: the streams of a world's kind, so that each test holds for asyncio's own, too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support import World

NAMES = (
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
)

# Taken before anything can install(): the control must stay stock.
STOCK = SimpleNamespace(**{name: getattr(asyncio, name) for name in NAMES})


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


def streams(*, native: bool) -> SimpleNamespace:
    """Those of bucle, or asyncio's."""
    if not native:
        return STOCK
    import bucle

    return SimpleNamespace(**{name: getattr(bucle, name) for name in NAMES})


@pytest.fixture
def api(world: World) -> SimpleNamespace:
    """The streams that go with the world's tasks."""
    return streams(native=world.types.native)


@pytest.fixture
def transport() -> Transport:
    return Transport()

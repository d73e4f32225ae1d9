"""`lib`: asyncio, then bucle, whose functions are called in every world of types and loops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import bucle


@pytest.fixture(params=["asyncio", "bucle"])
def lib(request: pytest.FixtureRequest) -> Any:
    return {"asyncio": asyncio, "bucle": bucle}[request.param]

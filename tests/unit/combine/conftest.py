"""`lib`: asyncio, then bucle, whose functions are called in every world of types and loops."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import library


@pytest.fixture(params=["stock", "bucle"], ids=["asyncio", "bucle"])
def lib(request: pytest.FixtureRequest) -> Any:
    return library(request.param)

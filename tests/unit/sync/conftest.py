"""`api`: the primitives of a world's kind, so that each test holds for asyncio's own, too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import World

NAMES = ("Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "Semaphore")

# Taken before anything can install(): the control must stay stock.
STOCK = SimpleNamespace(**{name: getattr(asyncio, name) for name in NAMES})


def primitives(*, native: bool) -> SimpleNamespace:
    """Those of bucle, or asyncio's."""
    if not native:
        return STOCK
    import bucle

    return SimpleNamespace(**{name: getattr(bucle, name) for name in NAMES})


@pytest.fixture
def api(world: World) -> SimpleNamespace:
    """The primitives that go with the world's tasks."""
    return primitives(native=world.types.native)

"""A native loop that may be run inside its own callbacks, and its world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import Implementation, World, collect

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def nested(impl: Implementation) -> Iterator[Any]:
    """A native world whose loop allows nesting."""
    made = World(impl.name, impl.name)
    bucle.allow_nesting(made.loop)
    yield made
    assert not made.errors, made.errors
    made.close()
    collect()


@pytest.fixture
def nest(nested: World) -> Any:
    return nested.loop

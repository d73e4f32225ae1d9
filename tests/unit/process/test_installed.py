"""The same once more after `install()`: asyncio's own functions with native streams and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import bucle

from . import test_children, test_keywords, test_transport, test_uvloop_issues
from .children import PIPE, execute
from .conftest import clean_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Implementation
    from tests.unit.net.peers import Net

pytestmark = pytest.mark.native

# What compares with stock asyncio cannot have it installed over.
COMPARED = "same_as_stock"


def _tests(module: Any) -> dict[str, Any]:
    found = {name: value for name, value in vars(module).items() if name.startswith("test_")}
    return {
        name: test
        for name, test in found.items()
        if COMPARED not in test.__code__.co_names and "impl" not in test.__code__.co_varnames
    }


for _module in (test_children, test_keywords, test_transport, test_uvloop_issues):
    globals().update(_tests(_module))


@pytest.fixture
def net(impl: Implementation) -> Iterator[Net]:
    with clean_processes(impl) as made:
        bucle.install()
        try:
            yield made
        finally:
            bucle.uninstall()


async def test_the_streams_are_native(net: Net) -> None:
    process = await execute("cat", stdin=PIPE, stdout=PIPE)
    assert type(process.stdout) is bucle.StreamReader
    assert type(process.stdin) is bucle.StreamWriter
    process.stdin.close()
    await process.wait()

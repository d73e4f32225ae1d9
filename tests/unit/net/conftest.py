"""The `net` fixture: a loop, and at its end no unexpected report and no descriptor more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import Implementation, collect, implementation

from .peers import Net, descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator


def warm_up(impl: Implementation) -> None:
    # A process opens a few descriptors once, for signals for example: they are no leak of a test.
    loop = impl.new_loop()
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    loop.close()


@pytest.fixture(scope="session", autouse=True)
def _warm(request: pytest.FixtureRequest) -> None:
    wanted = request.config.getoption("--impl")
    for name in ("stock", "bucle") if wanted == "all" else ("stock", wanted):
        warm_up(implementation(name))


@pytest.fixture
def net(impl: Implementation) -> Iterator[Net]:
    before = descriptors()
    made = Net(impl)
    try:
        yield made
        assert not made.errors, f"reported to the exception handler: {made.errors}"
    finally:
        made.close()
        collect()
    left = {number: what for number, what in descriptors().items() if number not in before}
    assert not left, f"descriptors left open: {left}"

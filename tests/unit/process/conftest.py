"""`net`: a loop, and at its end no report, no descriptor, no child and no thread more."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.unit.net.peers import DEADLINE, Net, clean_net

from .children import children, waiting_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Implementation


@contextlib.contextmanager
def clean_processes(impl: Implementation) -> Iterator[Net]:
    before = children()
    with clean_net(impl) as made:
        yield made
    for thread in waiting_threads():  # stock asyncio has them: they end with the child
        thread.join(DEADLINE)
    assert not waiting_threads()
    left = {pid: what for pid, what in children().items() if pid not in before}
    assert not left, f"children left: {left}"


@pytest.fixture
def net(impl: Implementation) -> Iterator[Net]:
    with clean_processes(impl) as made:
        yield made

"""`net`: a loop, and at its end no report and no descriptor more; and sockets to use on it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from .peers import Net, clean_net
from .socks import READERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import Implementation


@pytest.fixture
def net(impl: Implementation) -> Iterator[Net]:
    with clean_net(impl) as made:
        yield made


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """A method that reads, and what it gives for b"data"."""
    return READERS[request.param]

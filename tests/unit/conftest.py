"""`pair`: two connected sockets, for whatever watches a descriptor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import unix_pair

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = unix_pair()
    with one, other:
        yield one, other

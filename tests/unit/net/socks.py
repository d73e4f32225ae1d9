"""What the tests of the sock_* methods share."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from .peers import DEADLINE

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


def run(loop: Any, awaitable: Any) -> Any:
    return loop.run_until_complete(asyncio.wait_for(awaitable, DEADLINE))


def watched(loop: Any, *socks: Any) -> int:
    """How many sides of these sockets are watched."""
    return sum(key.events.bit_count() for sock in socks for key in keys_of(loop, sock))


def keys_of(loop: Any, sock: Any) -> Iterator[Any]:
    with contextlib.suppress(KeyError):
        yield loop._selector.get_key(sock.fileno())


def fill(sock: socket.socket) -> int:
    """Sends until it would block; returns how much that was."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(b"." * 65536)
    return sent


def drain(sock: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := sock.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


# (loop, reading socket) -> coroutine, and what that gives for b"data".
READERS: dict[str, tuple[Any, Any]] = {
    "recv": (lambda loop, sock: loop.sock_recv(sock, 10), b"data"),
    "recv-large": (lambda loop, sock: loop.sock_recv(sock, 1 << 20), b"data"),
    "recv_into": (lambda loop, sock: loop.sock_recv_into(sock, bytearray(10)), 4),
    "recvfrom": (lambda loop, sock: loop.sock_recvfrom(sock, 10), (b"data", None)),
    "recvfrom_into": (lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(10)), (4, None)),
    "recvfrom_into-size": (
        lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(10), 3),
        (3, None),
    ),
}

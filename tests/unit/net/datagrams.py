"""Endpoints, protocols and sockets for the tests of datagram transports."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from typing import Any

from tests.support import VERSION, turn

from .peers import VARIABLE, Noting

SENDS_EMPTY = VERSION >= (3, 13)
# 3.13.0 counts a header when a datagram is kept and forgets it when that is sent.
HEADER = 8 if SENDS_EMPTY else 0
COUNTER = itertools.count()


class Mailbox(Noting, asyncio.DatagramProtocol):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[Any] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((data, addr))
        self.contexts.append(VARIABLE.get())

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    @property
    def data(self) -> list[bytes]:
        return [data for data, _ in self.received]


class Echo(Mailbox):
    def datagram_received(self, data: bytes, addr: Any) -> None:
        super().datagram_received(data, addr)
        self.transport.sendto(b"<" + data, addr)


def endpoint(loop: Any, factory: Any = Mailbox, **options: Any) -> tuple[Any, Any]:
    pair: tuple[Any, Any] = loop.run_until_complete(
        loop.create_datagram_endpoint(factory, **options)
    )
    return pair


def close(loop: Any, *transports: Any) -> None:
    for transport in transports:
        transport.abort()
    turn(loop, 2)


def named_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets with names: without a peer's name asyncio cannot send()."""
    number = next(COUNTER)
    ends = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)]
    names = [b"\0bucle-%d-%d-%d" % (os.getpid(), number, end) for end in range(2)]
    for end, name in zip(ends, names, strict=True):
        end.bind(name)
        end.setblocking(False)
    for end, name in zip(ends, reversed(names), strict=True):
        end.connect(name)
    return ends[0], ends[1]


def unix_pair(loop: Any, factory: Any = Mailbox) -> tuple[Any, Any, socket.socket]:
    """A transport over one end of a pair, and the other end."""
    left, right = named_pair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    transport, protocol = endpoint(loop, factory, sock=left)
    return transport, protocol, right

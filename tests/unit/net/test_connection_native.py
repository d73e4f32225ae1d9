"""Native connections where their making and their end differ from asyncio's inside."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from typing import Any
from unittest import mock

import pytest

import bucle


async def made(protocol: asyncio.Protocol) -> tuple[Any, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, left)
    return transport, right


def test_reading_paused_and_resumed_while_it_is_made() -> None:
    class Protocol(asyncio.Protocol):
        def __init__(self) -> None:
            self.received = bytearray()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            transport.resume_reading()

        def data_received(self, data: bytes) -> None:
            self.received += data

    async def main() -> None:
        protocol = Protocol()
        transport, peer = await made(protocol)
        peer.send(b"data")
        while protocol.received != b"data":
            await asyncio.sleep(0.001)
        transport.close()
        peer.close()
        await asyncio.sleep(0)

    bucle.run(main())


def test_nothing_breaks_after_the_end() -> None:
    async def main() -> None:
        transport, peer = await made(asyncio.Protocol())
        transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for call in (
            *(transport.close, transport.abort, transport.write_eof, transport.pause_reading),
            *(transport.resume_reading, transport._reset_empty_waiter),
            *(lambda: transport._fatal_error(OSError()), lambda: transport._force_close(None)),
            *(lambda: transport._call_connection_lost(None), lambda: transport.write(b"x")),
            *(lambda: transport.writelines([b"x"]), lambda: transport.set_write_buffer_limits(9)),
        ):
            assert call() is None
        with pytest.raises(AttributeError):
            transport._make_empty_waiter()
        assert transport.get_extra_info("socket").fileno() == -1
        assert "closed" in repr(transport)
        assert transport.get_write_buffer_size() == 0
        peer.close()

    bucle.run(main())


def test_there_is_no_other_way_to_make_one() -> None:
    async def main() -> None:
        transport, peer = await made(asyncio.Protocol())
        kind = type(transport)
        for make in (kind, lambda: object.__new__(kind), lambda: type("Mine", (kind,), {})):
            with pytest.raises(TypeError):
                make()
        transport.close()
        peer.close()
        await asyncio.sleep(0)

    bucle.run(main())


def test_only_real_sockets_have_their_descriptor_used() -> None:
    class Odd(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            return super().recv(size, flags).upper()

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        fake = mock.Mock(spec=socket.socket)
        assert isinstance(fake, socket.socket)
        with pytest.raises(OSError, match="Bad file descriptor"):
            loop._new_transport(fake, asyncio.Protocol(), None, None, None, None)
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=Odd(fileno=left.detach()))
        right.send(b"shout\n")
        assert await reader.readline() == b"SHOUT\n"
        writer.close()
        right.close()
        await asyncio.sleep(0)

    bucle.run(main())


def test_what_cannot_be_made_leaves_the_descriptor_alone() -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        loop: Any = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        server.close()
        with pytest.raises(AssertionError):  # a closed server takes no transports
            loop._new_transport(left, asyncio.Protocol(), None, None, server, None)
        gc.collect()
        os.fstat(left.fileno())
        transport = loop._new_transport(left, asyncio.Protocol(), None, None, None, None)
        transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert left.fileno() == -1
        right.close()

    bucle.run(main())

"""Native connections where their making and their end differ from asyncio's inside."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from typing import Any
from unittest import mock

import pytest

from .peers import Factory, Net, Recorder, closed, connected, turns, until

pytestmark = pytest.mark.native


async def test_reading_paused_and_resumed_while_it_is_made(net: Net) -> None:
    class Moody(Recorder):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()
            transport.resume_reading()

    transport, protocol, peer = await connected(net.loop, Moody)
    peer.send(b"data")
    await until(lambda: protocol.received == b"data")
    await closed(transport, peer)


async def test_what_a_turn_writes_goes_out_together(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    peer.setblocking(False)

    async def is_gathered() -> bool:
        await turns(1)
        transport.write(b"head")
        transport.write(b"body")
        try:
            return peer.recv(100) == b""
        except BlockingIOError:
            return await net.loop.sock_recv(peer, 100) == b"headbody"

    # a turn takes long where the machine stands still
    assert any([await is_gathered() for _ in range(20)])
    await closed(transport, peer)


async def test_who_works_for_long_has_each_write_sent(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    transport.write(b"not yet, ")
    time.sleep(0.02)
    transport.write(b"but now")
    assert peer.recv(100) == b"not yet, but now"
    await closed(transport, peer)


async def test_nothing_breaks_after_the_end(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    await closed(transport, peer)
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


@pytest.mark.parametrize("end", ["close", "abort", "_force_close"])
async def test_nothing_breaks_after_its_end_was_called_by_name(net: Net, end: str) -> None:
    transport, protocol, peer = await connected(net.loop)
    transport._call_connection_lost(None)
    assert protocol.calls.count("lost") == 1
    getattr(transport, end)(*([None] if end == "_force_close" else []))
    await turns(3)
    assert protocol.calls.count("lost") == 1
    peer.close()


async def test_the_descriptor_of_a_collected_one_is_closed_once(net: Net) -> None:
    class Later:
        """Made after the transport, hence finalized after it."""

        def __init__(self, transport: Any) -> None:
            self.transport = transport
            self.itself = self

        def __del__(self) -> None:
            reused.append(os.dup(0))
            self.transport.close()
            self.transport.abort()

    reused: list[int] = []
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    peer = socket.create_connection(server.sockets[0].getsockname())
    await until(lambda: factory.made and factory.made[0].transport)
    protocol = factory.made.pop()
    protocol.transport.pause_reading()  # what is watched, is kept by its loop
    number = protocol.transport._sock_fd  # nobody asked for its socket
    protocol.later = Later(protocol.transport)  # type: ignore[attr-defined]
    del protocol
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        gc.collect()
    assert reused == [number]
    await turns(3)
    os.fstat(number)
    os.close(number)
    peer.close()
    server.close()


async def test_there_is_no_other_way_to_make_one(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    kind = type(transport)
    for make in (kind, lambda: object.__new__(kind), lambda: type("Mine", (kind,), {})):
        with pytest.raises(TypeError):
            make()
    await closed(transport, peer)


async def test_only_real_sockets_have_their_descriptor_used(net: Net) -> None:
    class Loud(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            return super().recv(size, flags).upper()

    fake = mock.Mock(spec=socket.socket)
    assert isinstance(fake, socket.socket)
    with pytest.raises(OSError, match="Bad file descriptor"):
        net.loop._new_transport(fake, asyncio.Protocol(), None, None, None, None)
    left, right = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=Loud(fileno=left.detach()))
    right.send(b"shout\n")
    assert await reader.readline() == b"SHOUT\n"
    writer.close()
    await writer.wait_closed()
    right.close()


async def test_what_cannot_be_made_leaves_the_descriptor_alone(net: Net) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)
    server = await net.loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    server.close()
    with pytest.raises(AssertionError):  # a closed server takes no transports
        net.loop._new_transport(left, asyncio.Protocol(), None, None, server, None)
    gc.collect()
    os.fstat(left.fileno())
    transport = net.loop._new_transport(left, asyncio.Protocol(), None, None, None, None)
    await closed(transport, right)
    assert left.fileno() == -1

"""What a program can notice of native connections: a row of the differences each."""

from __future__ import annotations

import inspect
import socket
from typing import Any

from .peers import VARIABLE, Net, Recorder, closed, connected, tcp_pair, turns, until


async def test_a_failed_write_shows_at_the_end_of_the_turn(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop, kind="unix")
    transport.pause_reading()
    peer.close()
    transport.write(b"nobody reads it")
    assert transport.is_closing() is not net.impl.native
    await turns(2)
    assert transport.is_closing()
    await until(lambda: protocol.lost)


async def test_one_context_a_connection(net: Net) -> None:
    class Setting(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            VARIABLE.set("made")

    transport, protocol, peer = await connected(net.loop, Setting)
    peer.send(b"data")
    await until(lambda: protocol.received)
    # asyncio has one context a connection, too, since its _add_reader() takes one (3.15)
    one = net.impl.native or "context" in inspect.signature(net.loop._add_reader).parameters
    assert protocol.contexts == ["unset", "made" if one else "unset"]
    await closed(transport, peer)


async def test_small_writes_are_never_delayed(net: Net) -> None:
    sock, peer = tcp_pair()
    unnamed = socket.socket(fileno=sock.detach(), proto=0)
    transport, _ = await net.loop.create_connection(Recorder, sock=unnamed)
    without_delay = unnamed.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert without_delay is net.impl.native
    await closed(transport, peer)

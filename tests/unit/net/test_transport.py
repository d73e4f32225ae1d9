"""A stream transport seen by its protocol: what it is, what it tells, reading and ending.

Writing and flow control are in test_transport_writing.py, exceptions in test_transport_errors.py.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import re
import socket
import warnings
from asyncio import trsock
from typing import Any

import pytest

from .peers import (
    BOTH_KINDS,
    PAIRS,
    VARIABLE,
    BufferedRecorder,
    Factory,
    Net,
    Recorder,
    closed,
    connected,
    fill,
    is_native,
    let_go,
    receive,
    send,
    tcp_pair,
    turns,
    until,
)

BOTH_PROTOCOLS = pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])


@BOTH_KINDS
async def test_is_what_asyncio_calls_a_transport(net: Net, kind: str) -> None:
    transport, _, peer = await connected(net.loop, kind=kind)
    for abstract in (
        asyncio.BaseTransport,
        asyncio.ReadTransport,
        asyncio.WriteTransport,
        asyncio.Transport,
    ):
        assert isinstance(transport, abstract)
    assert not isinstance(transport, asyncio.DatagramTransport)
    assert transport.can_write_eof() is True
    assert transport._start_tls_compatible is True
    assert transport.is_closing() is False
    assert transport.is_reading() is True
    assert transport.get_write_buffer_size() == 0
    await closed(transport, peer)


@BOTH_KINDS
async def test_extra_info(net: Net, kind: str) -> None:
    transport, _, peer = await connected(net.loop, kind=kind)
    sock = transport.get_extra_info("socket")
    assert isinstance(sock, trsock.TransportSocket)
    assert transport.get_extra_info("socket") is sock
    assert sock.gettimeout() == 0
    assert transport.get_extra_info("sockname") == peer.getpeername()
    assert transport.get_extra_info("peername") == peer.getsockname()
    assert transport.get_extra_info("nothing") is None
    assert transport.get_extra_info("nothing", "default") == "default"
    assert transport.get_extra_info("sslcontext") is None
    names = (transport.get_extra_info("sockname"), transport.get_extra_info("peername"))
    await closed(transport, peer)
    assert transport.get_extra_info("socket") is sock
    assert sock.fileno() == -1
    assert names == (
        transport.get_extra_info("sockname"),
        transport.get_extra_info("peername"),
    )


async def test_an_unconnected_socket_has_no_peername(net: Net) -> None:
    class Pausing(Recorder):
        def connection_made(self, transport: Any) -> None:
            transport.pause_reading()

    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    transport, _ = await net.loop.create_connection(Pausing, sock=sock)
    assert transport.get_extra_info("peername") is None
    await closed(transport)


async def test_the_nagle_algorithm_is_off(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    client, _ = await net.loop.create_connection(Recorder, *server.sockets[0].getsockname())
    await until(lambda: factory.made and factory.made[0].transport)
    accepted = factory.made[0].transport
    for transport in (client, accepted):
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await closed(client)
    await closed(accepted)
    server.close()
    await server.wait_closed()


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_the_life_of_a_connection(net: Net, kind: str, factory: type[Recorder]) -> None:
    transport, protocol, peer = await connected(net.loop, factory, kind)
    assert protocol.calls == ["made"]
    assert protocol.transport is transport
    assert transport.get_protocol() is protocol
    peer.send(b"one")
    await until(lambda: protocol.received)
    transport.write(b"two")
    assert await receive(peer, 3) == b"two"
    peer.close()
    await until(lambda: protocol.lost)
    assert protocol.calls == ["made", "data", "eof", "lost"]
    assert protocol.received == b"one"
    assert protocol.error is None
    assert transport.is_closing()
    assert not transport.is_reading()
    assert transport.get_extra_info("socket").fileno() == -1


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_data_that_was_there_before_arrives_after_connection_made(
    net: Net, kind: str, factory: type[Recorder]
) -> None:
    server_side = PAIRS[kind]()
    mine, peer = server_side
    mine.setblocking(False)
    peer.send(b"early")
    peer.close()
    transport, protocol = await net.loop.create_connection(factory, sock=mine)
    assert protocol.calls[0] == "made"
    await until(lambda: protocol.lost)
    assert protocol.calls == ["made", "data", "eof", "lost"]
    assert protocol.received == b"early"
    assert transport.is_closing()


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_half_closed_by_the_peer(net: Net, kind: str, factory: type[Recorder]) -> None:
    transport, protocol, peer = await connected(net.loop, factory, kind)
    protocol.keep_open = True
    peer.send(b"question")
    peer.shutdown(socket.SHUT_WR)
    await until(lambda: "eof" in protocol.calls)
    await turns(5)
    assert protocol.calls == ["made", "data", "eof"]
    assert not transport.is_closing()
    transport.write(b"answer")
    transport.write_eof()
    assert await receive(peer) == b"answer"
    transport.close()
    await until(lambda: protocol.lost)
    assert protocol.error is None
    peer.close()


async def test_the_buffer_of_a_buffered_protocol(net: Net) -> None:
    """The data is read into the protocol's own memory, a piece at a time."""
    transport, protocol, peer = await connected(net.loop, lambda: BufferedRecorder(4))
    peer.send(b"0123456789")
    await until(lambda: len(protocol.received) == 10)
    assert protocol.received == b"0123456789"
    assert protocol.buffer[:2] == b"89"
    assert set(protocol.hints) == {-1}
    await closed(transport, peer)


@pytest.mark.parametrize("make", [bytearray, lambda size: memoryview(bytearray(size))])
async def test_buffers_of_other_types(net: Net, make: Any) -> None:
    transport, protocol, peer = await connected(net.loop, BufferedRecorder)
    protocol.buffer = make(100)
    peer.send(b"x" * 250)
    await until(lambda: protocol.received == b"x" * 250)
    await closed(transport, peer)


async def test_switching_protocols(net: Net) -> None:
    """Plain to buffered and back; each gets what came in its time."""
    transport, first, peer = await connected(net.loop)
    protocols = [first, BufferedRecorder(), Recorder(), BufferedRecorder(3)]
    for number, protocol in enumerate(protocols):
        transport.set_protocol(protocol)
        assert transport.get_protocol() is protocol
        peer.send(b"part %d" % number)
        await until(lambda protocol=protocol: len(protocol.received) == 6)
    assert [bytes(each.received) for each in protocols] == [
        b"part %d" % number for number in range(4)
    ]
    assert [each.calls for each in protocols] == [["made", "data"], *[["data"]] * 3]
    peer.close()
    await until(lambda: protocols[-1].lost)
    assert not first.lost
    assert transport.is_closing()


async def test_switching_inside_data_received(net: Net) -> None:
    later = BufferedRecorder()

    class Switching(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(later)

    transport, protocol, peer = await connected(net.loop, Switching)
    peer.send(b"first")
    await until(lambda: protocol.received)
    peer.send(b"second")
    await until(lambda: later.received)
    assert (protocol.received, later.received) == (b"first", b"second")
    await closed(transport, peer)
    assert later.lost
    assert not protocol.lost


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_pause_and_resume_reading(net: Net, kind: str, factory: type[Recorder]) -> None:
    transport, protocol, peer = await connected(net.loop, factory, kind)
    transport.pause_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    peer.send(b"kept")
    await turns(100)
    assert protocol.calls == ["made"]
    transport.resume_reading()
    transport.resume_reading()
    assert transport.is_reading()
    await until(lambda: protocol.received)
    transport.pause_reading()
    peer.close()
    await turns(100)
    assert protocol.calls == ["made", "data"]
    transport.resume_reading()
    await until(lambda: protocol.lost)
    transport.resume_reading()
    transport.pause_reading()
    assert not transport.is_reading()


@pytest.mark.mended_in_3_11_7
async def test_paused_in_connection_made(net: Net) -> None:
    class Paused(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    mine, peer = tcp_pair()
    peer.send(b"early")
    transport, protocol = await net.loop.create_connection(Paused, sock=mine)
    await turns(100)
    assert protocol.calls == ["made"]
    transport.resume_reading()
    await until(lambda: protocol.received)
    await closed(transport, peer)


async def test_paused_in_data_received(net: Net) -> None:
    class Sipping(BufferedRecorder):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            self.transport.pause_reading()

    transport, protocol, peer = await connected(net.loop, lambda: Sipping(1))
    peer.send(b"abc")
    for count in (1, 2, 3):
        await until(lambda count=count: len(protocol.received) == count)
        await turns(50)
        assert len(protocol.received) == count
        transport.resume_reading()
    await closed(transport, peer)


@BOTH_KINDS
async def test_close_is_not_synchronous(net: Net, kind: str) -> None:
    transport, protocol, peer = await connected(net.loop, kind=kind)
    transport.close()
    transport.close()
    assert transport.is_closing()
    assert not protocol.lost
    await until(lambda: protocol.lost)
    transport.close()
    transport.abort()
    await turns(3)
    assert protocol.calls == ["made", "lost"]
    assert protocol.error is None
    assert await receive(peer) == b""
    peer.close()


async def test_nothing_is_received_after_close(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop)
    peer.send(b"too late")
    transport.close()
    await until(lambda: protocol.lost)
    assert protocol.calls == ["made", "lost"]
    peer.close()


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("where", ["made", "data", "eof"])
async def test_ended_inside_a_callback(net: Net, end: str, where: str) -> None:
    class Ending(Recorder):
        def note(self, name: str) -> None:
            super().note(name)
            if name == where:
                getattr(self.transport, end)()

    mine, peer = tcp_pair()
    peer.send(b"data")
    peer.shutdown(socket.SHUT_WR)
    _, protocol = await net.loop.create_connection(Ending, sock=mine)
    await until(lambda: protocol.lost)
    await turns(3)
    expected = ["made", "data", "eof"]
    assert protocol.calls == [*expected[: expected.index(where) + 1], "lost"]
    assert protocol.error is None
    peer.close()


@pytest.mark.parametrize("buffered", [False, True])
async def test_abort(net: Net, buffered: bool) -> None:
    transport, protocol, peer = await connected(net.loop)
    if buffered:
        fill(transport)
    transport.abort()
    assert transport.is_closing()
    assert transport.get_write_buffer_size() == 0
    assert not protocol.lost
    await until(lambda: protocol.lost)
    assert protocol.error is None
    assert protocol.calls.count("lost") == 1
    peer.close()


async def test_the_representation(net: Net) -> None:
    """As asyncio's, except for the name of the class."""

    def shown(transport: Any) -> str:
        text = repr(transport)
        assert text.startswith(f"<{type(transport).__name__} ")
        return text.removeprefix(f"<{type(transport).__name__} ")

    transport, protocol, peer = await connected(net.loop)
    fd = transport.get_extra_info("socket").fileno()
    await turns(2)
    assert shown(transport) == f"fd={fd} read=polling write=<idle, bufsize=0>>"
    transport.pause_reading()
    assert shown(transport) == f"fd={fd} read=idle write=<idle, bufsize=0>>"
    transport.resume_reading()
    fill(transport)
    size = transport.get_write_buffer_size()
    assert shown(transport) == f"fd={fd} read=polling write=<polling, bufsize={size}>>"
    transport.close()
    assert shown(transport) == f"closing fd={fd} read=idle write=<polling, bufsize={size}>>"
    transport.abort()
    await until(lambda: protocol.lost)
    assert shown(transport) == f"closed fd={fd}>"
    peer.close()


def test_left_open_when_its_loop_is_closed(net: Net) -> None:
    async def main() -> Any:
        transport, _, peer = await connected(net.loop)
        return transport, peer

    transport, peer = net.run(main())
    sock = transport.get_extra_info("socket")
    net.loop.run_until_complete(net.loop.shutdown_default_executor())
    net.loop.close()
    assert re.search(rf"fd={sock.fileno()}\b", repr(transport))
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match=rf"unclosed transport <\w+ .*fd={sock.fileno()}\b"):
        let_go(held)
    assert sock.fileno() == -1
    assert peer.recv(1) == b""
    peer.close()
    net.loop = net.impl.new_loop()


async def test_dropped_while_nothing_watches_it(net: Net) -> None:
    """A loop keeps those transports alive that it watches: a paused one is nobody's."""
    transport, _, peer = await connected(net.loop, asyncio.Protocol)
    await turns(3)
    transport.pause_reading()
    sock = transport.get_extra_info("socket")
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        let_go(held)
    assert sock.fileno() == -1
    assert peer.recv(1) == b""
    peer.close()


async def test_the_loop_keeps_a_reading_transport_alive(net: Net) -> None:
    seen: list[bytes] = []

    class Noting(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            seen.append(data)

        def connection_lost(self, error: BaseException | None) -> None:
            seen.append(b"lost")

    transport, _, peer = await connected(net.loop, Noting)
    await turns(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del transport, _
        gc.collect()
    peer.send(b"still there")
    await until(lambda: seen == [b"still there"])
    peer.close()
    await until(lambda: seen == [b"still there", b"lost"])


def test_a_closed_transport_is_collected_with_its_protocol(net: Net) -> None:
    class Noted(Recorder):
        alive = 0

        def __init__(self) -> None:
            super().__init__()
            Noted.alive += 1

        def __del__(self) -> None:
            Noted.alive -= 1

    async def main() -> None:
        for _ in range(10):
            transport, protocol, peer = await connected(net.loop, Noted)
            transport.write(b"x" * 1000)
            peer.send(b"x" * 1000)
            await until(lambda protocol=protocol: protocol.received)
            await closed(transport, peer)
        del transport, protocol
        await turns(3)
        gc.collect()
        assert Noted.alive <= 1  # the lambda's

    net.run(main())
    gc.collect()
    assert Noted.alive == 0


async def test_callbacks_run_in_the_context_of_the_connection(net: Net) -> None:
    VARIABLE.set("creator")
    transport, protocol, peer = await connected(net.loop)
    VARIABLE.set("later")
    if is_native(transport):  # asyncio takes the context of whoever resumes
        transport.pause_reading()
        transport.resume_reading()
    peer.send(b"x")
    await until(lambda: protocol.received)
    peer.close()
    await until(lambda: protocol.lost)
    assert protocol.calls == ["made", "data", "eof", "lost"]
    assert protocol.contexts == ["creator"] * 4


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_much_data_both_ways_at_once(net: Net, kind: str, factory: type[Recorder]) -> None:
    numbers = random.Random(7)
    data = numbers.randbytes(3_000_000)
    transport, protocol, peer = await connected(net.loop, factory, kind)
    sending = asyncio.ensure_future(send(peer, data))
    receiving = asyncio.ensure_future(receive(peer, len(data)))
    start = 0
    while start < len(data):
        end = start + numbers.randrange(1, 200_000)
        transport.write(data[start:end])
        start = end
        await asyncio.sleep(0)
    await sending
    assert await receiving == data
    await until(lambda: len(protocol.received) >= len(data))
    assert protocol.received == data
    await closed(transport, peer)


async def test_all_of_it_in_debug_mode(net: Net) -> None:
    net.loop.set_debug(True)
    net.loop.slow_callback_duration = 60
    transport, protocol, peer = await connected(net.loop)
    transport.pause_reading()
    transport.resume_reading()
    peer.send(b"x")
    await until(lambda: protocol.received)
    peer.close()
    await until(lambda: protocol.lost)


async def test_a_descriptor_is_closed_once(net: Net) -> None:
    """The number of a closed transport may be a stranger's at once: nothing closes it again."""
    for end in ("close", "abort", "peer"):
        transport, protocol, peer = await connected(net.loop)
        number = transport.get_extra_info("socket").fileno()
        if end == "peer":
            peer.close()
        else:
            getattr(transport, end)()
        await until(lambda protocol=protocol: protocol.lost)
        strangers = [os.open(os.devnull, os.O_RDONLY) for _ in range(5)]
        assert number in strangers
        del transport, protocol
        gc.collect()
        await turns(5)
        for stranger in strangers:
            os.close(stranger)
        peer.close()

"""create_server and the Server it makes: options, refusals, and the way it ends."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from asyncio import trsock
from typing import Any

import pytest

from .peers import (
    IPV6,
    Factory,
    Net,
    Recorder,
    closed,
    each_of,
    fill,
    receive,
    same_as_stock,
    turns,
    until,
)

CLOSES_CLIENTS = pytest.mark.skipif(
    not hasattr(asyncio.Server, "close_clients"), reason="this version has no close_clients"
)


def client_of(server: Any) -> socket.socket:
    sock = socket.create_connection(server.sockets[0].getsockname())
    sock.setblocking(False)
    return sock


async def ended(server: Any) -> None:
    server.close()
    await server.wait_closed()
    await turns(2)


async def test_serving(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    assert isinstance(server, asyncio.AbstractServer)
    assert isinstance(server, asyncio.Server)
    assert server.get_loop() is net.loop
    assert server.is_serving()
    assert type(server.sockets) is tuple
    (listening,) = server.sockets
    assert isinstance(listening, trsock.TransportSocket)
    assert listening.gettimeout() == 0
    assert repr(server) == f"<Server sockets={server.sockets!r}>"
    peer = client_of(server)
    await until(lambda: factory.made)
    (protocol,) = factory.made
    await until(lambda: protocol.calls == ["made"])
    assert protocol.transport.get_extra_info("peername") == peer.getsockname()
    assert protocol.transport.get_extra_info("sockname") == peer.getpeername()
    peer.send(b"x")
    await until(lambda: protocol.received)
    peer.close()
    await until(lambda: protocol.lost)
    await ended(server)
    assert server.sockets == ()
    assert repr(server) == "<Server sockets=()>"
    assert not server.is_serving()
    assert listening.fileno() == -1


async def test_many_clients_between_two_turns(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    peers = [client_of(server) for _ in range(80)]
    for number, peer in enumerate(peers):
        peer.send(b"%d" % number)
    await until(lambda: len(factory.made) == 80 and all(each.received for each in factory.made))
    assert {bytes(each.received) for each in factory.made} == {b"%d" % n for n in range(80)}
    for peer in peers:
        peer.close()
    await until(lambda: all(each.lost for each in factory.made))
    await ended(server)


def hosts(server: Any) -> set[str]:
    return {sock.getsockname()[0] for sock in server.sockets}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", {"127.0.0.1"}),
        (["127.0.0.1"], {"127.0.0.1"}),
        (["127.0.0.1", "127.0.0.1"], {"127.0.0.1"}),
        (("127.0.0.1", "127.0.0.2"), {"127.0.0.1", "127.0.0.2"}),
        ({"127.0.0.3"}, {"127.0.0.3"}),
        ("0.0.0.0", {"0.0.0.0"}),
    ],
)
async def test_hosts(net: Net, host: Any, expected: set[str]) -> None:
    server = await net.loop.create_server(Recorder, host, 0)
    assert len(server.sockets) == len(expected)
    assert hosts(server) == expected
    await ended(server)


@pytest.mark.parametrize(
    "host",
    [None, "", "localhost", ["localhost", "127.0.0.1"], pytest.param("::1", marks=IPV6)],
)
def test_hosts_that_may_be_several(net: Net, host: Any) -> None:
    async def scenario(loop: Any) -> Any:
        server = await loop.create_server(Recorder, host, 0)
        got = sorted(hosts(server))
        only = [
            sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            for sock in server.sockets
            if sock.family == socket.AF_INET6
        ]
        assert all(only)
        await ended(server)
        return got

    assert same_as_stock(net, scenario)


@pytest.mark.parametrize("given", [None, True, False])
async def test_reuse_address(net: Net, given: bool | None) -> None:
    server = await net.loop.create_server(Recorder, "127.0.0.1", 0, reuse_address=given)
    option = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert bool(option) is (given is not False)
    await ended(server)


async def test_reuse_port(net: Net) -> None:
    first = await net.loop.create_server(Recorder, "127.0.0.1", 0, reuse_port=True)
    port = first.sockets[0].getsockname()[1]
    second = await net.loop.create_server(Recorder, "127.0.0.1", port, reuse_port=True)
    with pytest.raises(OSError, match="ddress already in use") as caught:
        await net.loop.create_server(Recorder, "127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    await ended(first)
    await ended(second)


def test_keep_alive(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        try:
            server = await loop.create_server(Recorder, "127.0.0.1", 0, keep_alive=True)
        except TypeError as error:
            return str(error).rpartition(".")[2]
        option = server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await ended(server)
        return option

    same_as_stock(net, scenario)


REFUSED: list[dict[str, Any]] = [
    {},
    {"host": "127.0.0.1", "port": 0, "sock": "stream"},
    {"sock": "datagram"},
    {"host": "127.0.0.1", "port": 0, "ssl": True},
    {"host": "127.0.0.1", "port": 0, "ssl": False},
    {"host": "127.0.0.1", "port": 0, "ssl_handshake_timeout": 1},
    {"host": "127.0.0.1", "port": 0, "ssl_shutdown_timeout": 1},
    {"host": "203.0.113.1", "port": 0},
    {"host": "127.0.0.1", "port": 70000},
    {"host": 5, "port": 0},
    {"host": [], "port": 0},
    {"host": "127.0.0.1", "port": 0, "backlog": "many"},
    {"host": "127.0.0.1", "port": 0, "nonsense": 1},
    {"host": "127.0.0.1", "port": "taken"},
    {"host": ["127.0.0.2", "127.0.0.1"], "port": "taken"},
]


@each_of(REFUSED)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of asyncio's own, when listen() fails
def test_what_is_refused(net: Net, keywords: dict[str, Any]) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    given = {
        "stream": socket.socket(),
        "datagram": socket.socket(type=socket.SOCK_DGRAM),
        "taken": taken.getsockname()[1],
    }
    keywords = {
        key: given.get(value, value) if isinstance(value, str) else value
        for key, value in keywords.items()
    }

    async def scenario(loop: Any) -> Any:
        try:
            serving = loop.create_server(Recorder, **keywords)
        except TypeError as error:
            return str(error).rpartition(".")[2]
        try:
            server = await serving
        except Exception as error:
            return type(error).__name__, str(error)
        await ended(server)
        return "served"

    same_as_stock(net, scenario)
    gc.collect()
    for sock in (taken, given["stream"], given["datagram"]):
        sock.close()  # type: ignore[union-attr]


async def test_a_given_socket(net: Net) -> None:
    factory = Factory()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await net.loop.create_server(factory, sock=sock)
    assert sock.gettimeout() == 0
    assert server.sockets[0].fileno() == sock.fileno()
    with client_of(server):
        await until(lambda: factory.made)
    await until(lambda: factory.made[0].lost)
    await ended(server)
    assert sock.fileno() == -1


async def test_started_later(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0, start_serving=False)
    assert not server.is_serving()
    name = server.sockets[0].getsockname()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(name)
    await server.start_serving()
    await server.start_serving()
    assert server.is_serving()
    with client_of(server):
        await until(lambda: factory.made)
    await until(lambda: factory.made[0].lost)
    await ended(server)


async def test_close_refuses_new_clients_and_keeps_the_old(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    name = server.sockets[0].getsockname()
    peer = client_of(server)
    await until(lambda: factory.made and factory.made[0].calls)
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(name)
    peer.send(b"still here")
    await until(lambda: factory.made[0].received)
    await closed(factory.made[0].transport, peer)
    await server.wait_closed()


def test_waiting_for_the_end(net: Net) -> None:
    """When wait_closed returns differs between versions: with clients, without, before close."""

    async def scenario(loop: Any) -> Any:
        said = []
        factory = Factory()
        server = await loop.create_server(factory, "127.0.0.1", 0)
        early = asyncio.ensure_future(server.wait_closed())
        await turns(5)
        said.append(early.done())
        peer = client_of(server)
        await until(lambda: factory.made and factory.made[0].calls)
        server.close()
        late = asyncio.ensure_future(server.wait_closed())
        await turns(5)
        said += [early.done(), late.done()]
        await closed(factory.made[0].transport, peer)
        await turns(5)
        said += [early.done(), late.done(), await early, await late]
        said.append(await server.wait_closed())
        return said

    said = same_as_stock(net, scenario)
    assert said[3:] == [True, True, None, None, None]


async def test_a_cancelled_wait_for_the_end(net: Net) -> None:
    server = await net.loop.create_server(Recorder, "127.0.0.1", 0)
    waiting = [asyncio.ensure_future(server.wait_closed()) for _ in range(3)]
    await turns(2)
    waiting[1].cancel()
    await turns(2)
    server.close()
    await asyncio.wait(waiting)
    assert [each.cancelled() for each in waiting] == [False, True, False]


@CLOSES_CLIENTS
async def test_close_clients(net: Net) -> None:
    """What they still have to send is sent."""
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    peers = [client_of(server) for _ in range(3)]
    await until(lambda: len(factory.made) == 3 and all(each.calls for each in factory.made))
    sent = [fill(each.transport) for each in factory.made]
    server.close()
    server.close_clients()
    server.close_clients()
    assert all(each.transport.is_closing() for each in factory.made)
    received = [len(await receive(peer)) for peer in peers]
    assert sorted(received) == sorted(sent)
    await server.wait_closed()
    assert all(each.lost for each in factory.made)
    for peer in peers:
        peer.close()


@CLOSES_CLIENTS
async def test_abort_clients(net: Net) -> None:
    """What they still have to send is dropped; a server that is not closed goes on."""
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    peer = client_of(server)
    await until(lambda: factory.made and factory.made[0].calls)
    fill(factory.made[0].transport)
    server.abort_clients()
    assert factory.made[0].transport.get_write_buffer_size() == 0
    await until(lambda: factory.made[0].lost)
    peer.close()
    with client_of(server):
        await until(lambda: len(factory.made) == 2)
    await until(lambda: factory.made[1].lost)
    await ended(server)


async def test_serve_forever(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0, start_serving=False)
    serving = asyncio.ensure_future(server.serve_forever())
    await turns(3)
    assert server.is_serving()
    with client_of(server):
        await until(lambda: factory.made)
    await until(lambda: factory.made[0].lost)
    with pytest.raises(RuntimeError) as caught:
        await server.serve_forever()
    text = f"server {server!r} is already being awaited on serve_forever()"
    assert str(caught.value) == text
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert not server.is_serving()
    assert server.sockets == ()
    with pytest.raises(RuntimeError) as caught:
        await server.serve_forever()
    assert str(caught.value) == f"server {server!r} is closed"


async def test_close_ends_serve_forever(net: Net) -> None:
    server = await net.loop.create_server(Recorder, "127.0.0.1", 0)
    serving = asyncio.ensure_future(server.serve_forever())
    await turns(3)
    server.close()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await server.wait_closed()


async def test_async_with(net: Net) -> None:
    async with await net.loop.create_server(Recorder, "127.0.0.1", 0) as server:
        assert server.is_serving()
    assert server.sockets == ()
    with pytest.raises(LookupError):
        async with await net.loop.create_server(Recorder, "127.0.0.1", 0) as server:
            raise LookupError
    assert server.sockets == ()


def test_the_loop_keeps_a_server_alive(net: Net) -> None:
    async def main() -> None:
        factory = Factory()
        server = await net.loop.create_server(factory, "127.0.0.1", 0)
        name = server.sockets[0].getsockname()
        del server
        gc.collect()
        await turns(3)
        with socket.create_connection(name):
            await until(lambda: factory.made)
        await until(lambda: factory.made[0].lost)
        # the last reference is the loop's: it goes with the loop, and the socket with it

    def end_of_the_loop() -> None:
        net.close()
        gc.collect()

    net.run(main())
    with pytest.warns(ResourceWarning, match="unclosed"):
        end_of_the_loop()
    net.loop = net.impl.new_loop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio drops the accepted socket
async def test_a_factory_that_fails(net: Net) -> None:
    """The client is sent away; in debug mode it is reported; the server goes on."""
    fails, asked = True, 0
    factory = Factory()

    def sometimes() -> Recorder:
        nonlocal asked
        asked += 1
        if fails:
            raise LookupError("no protocol")
        return factory()

    server = await net.loop.create_server(sometimes, "127.0.0.1", 0)
    for debug in (False, True):
        net.loop.set_debug(debug)
        peer = client_of(server)
        await until(lambda debug=debug: asked == 1 + debug and (net.errors or not debug))
        await turns(3)
        if debug:  # before the end, for what was raised keeps the socket alive
            (context,) = net.take_errors()
            text = "Error on transport creation for incoming connection"
            assert context["message"] == text
            assert isinstance(context["exception"], LookupError)
            assert set(context) == {"message", "exception"}
            del context
        gc.collect()
        assert await receive(peer) == b""
        peer.close()
    net.loop.set_debug(False)
    fails = False
    with client_of(server):
        await until(lambda: factory.made)
    await until(lambda: factory.made[0].lost)
    await ended(server)


async def test_closed_before_it_accepts(net: Net) -> None:
    """Clients that the kernel has accepted, but the server has not: they are sent away."""
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    peers = [client_of(server) for _ in range(5)]
    server.close()
    await turns(20)
    await server.wait_closed()
    assert factory.made == []
    for peer in peers:
        with pytest.raises(ConnectionResetError):
            await receive(peer)
        peer.close()


async def test_closed_inside_connection_made(net: Net) -> None:
    class Closing(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            server.close()
            transport.close()

    factory = Factory(Closing)
    server = await net.loop.create_server(factory, "127.0.0.1", 0)
    peers = [client_of(server) for _ in range(5)]
    await until(lambda: factory.made and all(each.lost for each in factory.made))
    await server.wait_closed()
    for peer in peers:
        peer.close()
    await turns(5)
    await until(lambda: all(each.lost for each in factory.made))


async def test_a_backlog_of_one(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0, backlog=1)
    for count in (2, 4, 6):
        with client_of(server), client_of(server):
            await until(lambda count=count: len(factory.made) == count)
    await until(lambda: all(each.lost for each in factory.made))
    await ended(server)


def test_a_closed_loop_serves_nobody(net: Net) -> None:
    server = net.run(net.loop.create_server(Recorder, "127.0.0.1", 0, start_serving=False))
    (listening,) = server.sockets
    net.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
        server.start_serving().send(None)
    server.close()
    assert listening.fileno() == -1

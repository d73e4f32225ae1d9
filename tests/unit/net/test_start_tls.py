"""ssl= and start_tls over these transports: the handshake, its failures, and both ends.

The certificate beside this file is signed by itself, is for localhost, and lasts.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Any

import pytest

from .peers import (
    BOTH_KINDS,
    PAIRS,
    BufferedRecorder,
    Factory,
    Net,
    Recorder,
    attempt,
    client_context,
    connected,
    receive,
    reset,
    same_as_stock,
    server_context,
    tcp_pair,
    turns,
    until,
)


class Viewed(BufferedRecorder):
    """SSLProtocol fills a bytearray wrongly from its second record on: it slices a copy."""

    def get_buffer(self, sizehint: int) -> Any:
        return memoryview(self.buffer)


BOTH_PROTOCOLS = pytest.mark.parametrize("factory", [Recorder, Viewed])


async def tls_client(loop: Any, sock: socket.socket, factory: Any = Recorder, **more: Any) -> Any:
    """A transport and its protocol, once the server has proved that it is localhost."""
    more = {"ssl": client_context(), "server_hostname": "localhost", **more}
    return await loop.create_connection(factory, sock=sock, **more)


async def ends(
    loop: Any, kind: str = "tcp", factory: Any = Recorder
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """A client's and a server's transport and protocol, connected by TLS."""
    mine, peer = PAIRS[kind]()
    client, server = await asyncio.gather(
        tls_client(loop, mine, factory),
        loop.connect_accepted_socket(factory, peer, ssl=server_context()),
    )
    return client, server


async def finish(*pairs: tuple[Any, Any]) -> None:
    for transport, _ in pairs:
        transport.abort()
    await until(lambda: all(protocol.lost for _, protocol in pairs))
    await turns(3)


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_to_and_fro(net: Net, kind: str, factory: Any) -> None:
    (client, first), (server, second) = await ends(net.loop, kind, factory)
    assert isinstance(client, asyncio.Transport)
    assert first.calls == second.calls == ["made"]
    assert first.transport is client
    data = os.urandom(1_000_000)
    client.write(data)
    server.writelines([data, b"!"])
    await until(lambda: len(first.received) > len(data) and len(second.received) == len(data))
    assert second.received == data
    assert first.received == data + b"!"
    client.close()
    await until(lambda: first.lost and second.lost)
    assert first.error is second.error is None
    await turns(5)


async def test_extra_info(net: Net) -> None:
    client_pair, server_pair = await ends(net.loop)
    client = client_pair[0]
    assert isinstance(client.get_extra_info("ssl_object"), ssl.SSLObject)
    assert isinstance(client.get_extra_info("sslcontext"), ssl.SSLContext)
    assert client.get_extra_info("peercert")["subject"] == ((("commonName", "localhost"),),)
    assert len(client.get_extra_info("cipher")) == 3
    assert client.get_extra_info("compression") is None
    assert client.get_extra_info("socket").fileno() > 0
    assert client.get_extra_info("peername") == server_pair[0].get_extra_info("sockname")
    assert client.get_extra_info("nothing", 5) == 5
    assert client._start_tls_compatible is True
    await finish(client_pair, server_pair)


async def test_servers_and_connections_by_name(net: Net) -> None:
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
    port = server.sockets[0].getsockname()[1]
    clients = await asyncio.gather(
        *(
            net.loop.create_connection(
                Recorder, "localhost", port, ssl=client_context(), family=socket.AF_INET
            )
            for _ in range(5)
        )
    )
    for transport, _ in clients:
        transport.write(b"x")
    await until(lambda: len(factory.made) == 5 and all(each.received for each in factory.made))
    await finish(*clients)
    await until(lambda: all(each.lost for each in factory.made))
    server.close()
    await server.wait_closed()
    await turns(5)


@BOTH_KINDS
@BOTH_PROTOCOLS
async def test_start_tls(net: Net, kind: str, factory: Any) -> None:
    """A plain talk first, then both ends change; nothing is lost on the way."""
    mine, peer = PAIRS[kind]()
    plain_client, first = await net.loop.create_connection(factory, sock=mine)
    plain_server, second = await net.loop.connect_accepted_socket(factory, peer)
    plain_client.write(b"plain")
    await until(lambda: second.received == b"plain")
    client, server = await asyncio.gather(
        net.loop.start_tls(plain_client, first, client_context(), server_hostname="localhost"),
        net.loop.start_tls(plain_server, second, server_context(), server_side=True),
    )
    assert client is not plain_client
    assert client.get_protocol() is first
    assert first.calls == ["made"]
    client.write(b" secret")
    server.write(b"answer")
    await until(lambda: second.received == b"plain secret" and first.received == b"answer")
    client.close()
    await until(lambda: first.lost and second.lost)
    await turns(5)


async def test_tls_in_tls(net: Net) -> None:
    (client, first), (server, second) = await ends(net.loop)
    inner_client, inner_server = await asyncio.gather(
        net.loop.start_tls(client, first, client_context(), server_hostname="localhost"),
        net.loop.start_tls(server, second, server_context(), server_side=True),
    )
    data = os.urandom(300_000)
    inner_client.write(data)
    await until(lambda: len(second.received) == len(data))
    assert second.received == data
    await finish((inner_client, first), (inner_server, second))


async def test_streams(net: Net) -> None:
    """asyncio.open_connection and StreamWriter.start_tls, as programs use them."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"STARTTLS\n"
        writer.write(b"go ahead\n")
        await writer.drain()
        await writer.start_tls(server_context())
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        try:
            await writer.wait_closed()
        finally:
            done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"go ahead\n"
    await writer.start_tls(client_context(), server_hostname="localhost")
    writer.write(b"secret\n")
    assert await reader.read() == b"SECRET\n"
    writer.close()
    await writer.wait_closed()
    await done.wait()
    server.close()
    await server.wait_closed()
    await turns(5)


def test_what_start_tls_refuses(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        transport, protocol, peer = await connected(loop)
        said = [
            await attempt(loop.start_tls(transport, protocol, context))
            for context in (None, True, "context", ssl.SSLContext)
        ]
        endpoint, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        name, _, text = await attempt(loop.start_tls(endpoint, protocol, client_context()))
        said.append((name, text.partition("<")[0], text.rpartition(">")[2]))
        endpoint.close()
        transport.abort()
        peer.close()
        await until(lambda: protocol.lost)
        await turns(3)
        return said

    assert {each[0] for each in same_as_stock(net, scenario)} == {"TypeError"}


@pytest.mark.parametrize("how", ["unknown", "name"])
async def test_a_certificate_that_is_refused(net: Net, how: str) -> None:
    mine, peer = tcp_pair()
    context = ssl.create_default_context() if how == "unknown" else client_context()
    accepting = asyncio.ensure_future(
        attempt(net.loop.connect_accepted_socket(Recorder, peer, ssl=server_context()))
    )
    with pytest.raises(ssl.SSLCertVerificationError):
        await tls_client(net.loop, mine, ssl=context, server_hostname="elsewhere")
    got = await accepting
    if isinstance(got[0], asyncio.Transport):
        await until(lambda: got[1].lost)
    else:
        assert got[0] in ("SSLError", "ConnectionResetError")
    await until(lambda: mine.fileno() == peer.fileno() == -1)
    net.take_errors()


async def test_a_peer_that_does_not_speak_tls(net: Net) -> None:
    mine, peer = tcp_pair()
    connecting = asyncio.ensure_future(tls_client(net.loop, mine))
    await turns(3)
    peer.send(b"220 smtp.invalid ready\r\n")
    with pytest.raises(ssl.SSLError):
        await connecting
    peer.close()
    await until(lambda: mine.fileno() == -1)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_peer_that_goes_during_the_handshake(net: Net, how: str) -> None:
    mine, peer = tcp_pair()
    connecting = asyncio.ensure_future(tls_client(net.loop, mine))
    await turns(5)
    if how == "reset":
        reset(peer)
    else:
        peer.close()
    with pytest.raises(ConnectionResetError):
        await connecting
    await until(lambda: mine.fileno() == -1)


@pytest.mark.parametrize("server_side", [False, True])
async def test_a_handshake_that_takes_too_long(net: Net, server_side: bool) -> None:
    mine, peer = tcp_pair()
    with pytest.raises(ConnectionAbortedError, match=r"^SSL handshake is taking longer than "):
        if server_side:
            await net.loop.connect_accepted_socket(
                Recorder, mine, ssl=server_context(), ssl_handshake_timeout=0.02
            )
        else:
            await tls_client(net.loop, mine, ssl_handshake_timeout=0.02)
    await until(lambda: mine.fileno() == -1)
    peer.close()


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 10])
@pytest.mark.parametrize("upgrade", [False, True])
async def test_cancelled_during_the_handshake(net: Net, after: int, upgrade: bool) -> None:
    mine, peer = tcp_pair()
    if upgrade:
        transport, protocol = await net.loop.create_connection(Recorder, sock=mine)
        making = net.loop.start_tls(
            transport, protocol, client_context(), server_hostname="localhost"
        )
    else:
        making = tls_client(net.loop, mine)
    connecting = asyncio.ensure_future(making)
    await turns(after)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    if after == 0 and not upgrade:
        mine.close()  # it had not begun: the socket is still the caller's
    elif after == 0:
        transport.abort()
    await receive(peer)
    peer.close()
    await until(lambda: mine.fileno() == -1)
    await turns(5)


async def test_the_end_without_a_farewell(net: Net) -> None:
    """The TCP connection is cut: the protocol of the other end is told that it is over."""
    (client, first), (_, second) = await ends(net.loop)
    client.write(b"x")
    await until(lambda: second.received)
    client.abort()
    await until(lambda: first.lost and second.lost)
    await turns(5)


async def test_close_with_data_under_way(net: Net) -> None:
    (client, first), (_, second) = await ends(net.loop)
    data = os.urandom(2_000_000)
    client.write(data)
    client.close()
    await until(lambda: first.lost and second.lost)
    assert second.received == data
    await turns(5)


async def test_pause_and_resume_reading(net: Net) -> None:
    client_pair, server_pair = await ends(net.loop)
    (client, first), (server, _) = client_pair, server_pair
    client.pause_reading()
    server.write(b"kept")
    await turns(50)
    assert not first.received
    client.resume_reading()
    await until(lambda: first.received == b"kept")
    await finish(client_pair, server_pair)


async def test_flow_control(net: Net) -> None:
    client_pair, server_pair = await ends(net.loop)
    (client, first), (server, second) = client_pair, server_pair
    server.pause_reading()
    written = 0
    while "pause" not in first.calls:
        client.write(b"x" * 100_000)
        written += 100_000
        await asyncio.sleep(0)
    assert client.get_write_buffer_size()
    server.resume_reading()
    await until(lambda: "resume" in first.calls and len(second.received) == written)
    await finish(client_pair, server_pair)


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
async def test_callbacks_that_fail(net: Net, method: str) -> None:
    def fail(self: Any, *arguments: Any) -> Any:
        getattr(Recorder, method)(self, *arguments)
        raise LookupError

    failing: Any = type("Failing", (Recorder,), {method: fail})
    (client, first), (server, second) = await ends(net.loop, factory=failing)
    client.write(b"x")
    await until(lambda: second.received or net.errors)
    server.close()
    await until(lambda: first.lost and second.lost)
    await turns(5)
    errors = [context["exception"] for context in net.take_errors()]
    assert any(isinstance(error, LookupError) for error in errors)
    client.abort()

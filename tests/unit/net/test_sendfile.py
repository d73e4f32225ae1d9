"""loop.sendfile and loop.sock_sendfile: the kernel's way, the fallback, refusals and ends."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import unix_pair

from .peers import (
    BOTH_KINDS,
    PAIRS,
    Factory,
    Net,
    Recorder,
    attempt,
    client_context,
    closed,
    connected,
    fill,
    receive,
    same_as_stock,
    server_context,
    tcp_pair,
    turns,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def file() -> Iterator[Any]:
    with tempfile.TemporaryFile() as made:
        made.write(CONTENT)
        made.flush()
        made.seek(0)
        yield made


async def gathered(sending: Any, peer: socket.socket, count: int) -> tuple[Any, bytes]:
    """What was returned by the one end, and what arrived at the other."""
    sent, received = await asyncio.gather(sending, receive(peer, count))
    return sent, received


@BOTH_KINDS
@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (1000, None), (0, 1000), (1000, 3_000_000), (len(CONTENT) - 10, 100)],
)
async def test_parts_of_a_file(
    net: Net, file: Any, kind: str, offset: int, count: int | None
) -> None:
    expected = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]
    transport, _, peer = await connected(net.loop, kind=kind)
    sending = net.loop.sendfile(transport, file, offset, count)
    assert await gathered(sending, peer, len(expected)) == (len(expected), expected)
    assert file.tell() == offset + len(expected)
    await closed(transport, peer)
    one, other = PAIRS[kind]()
    sending = net.loop.sock_sendfile(one, file, offset, count)
    assert await gathered(sending, other, len(expected)) == (len(expected), expected)
    assert file.tell() == offset + len(expected)
    assert net.loop.remove_writer(one) is False
    one.close()
    other.close()


async def test_an_empty_file(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    one, other = tcp_pair()
    with tempfile.TemporaryFile() as empty:
        assert await net.loop.sendfile(transport, empty) == 0
        assert await net.loop.sock_sendfile(one, empty) == 0
    await closed(transport, peer)
    one.close()
    other.close()


async def test_between_other_writes(net: Net, file: Any) -> None:
    """What was written before comes before, and nothing can be written meanwhile."""
    transport, protocol, peer = await connected(net.loop)
    count = fill(transport)
    sending = asyncio.ensure_future(net.loop.sendfile(transport, file))
    await turns(3)
    for write, data in ((transport.write, b"x"), (transport.writelines, [b"x"])):
        with pytest.raises(RuntimeError, match=r"^unable to write(lines)?; sendfile is in pro"):
            write(data)
    peer.send(b"kept until later")
    await turns(5)
    assert not protocol.received
    sent, received = await gathered(sending, peer, count + len(CONTENT))
    assert sent == len(CONTENT)
    assert received[count:] == CONTENT
    await until(lambda: protocol.received == b"kept until later")
    transport.write(b"after")
    assert await receive(peer, 5) == b"after"
    await closed(transport, peer)


async def test_a_transport_that_is_paused_stays_so(net: Net, file: Any) -> None:
    transport, _, peer = await connected(net.loop)
    transport.pause_reading()
    await gathered(net.loop.sendfile(transport, file), peer, len(CONTENT))
    assert not transport.is_reading()
    await closed(transport, peer)


@pytest.mark.parametrize("count", [None, 1000])
async def test_what_is_no_file_of_the_kernel(net: Net, count: int | None) -> None:
    expected = CONTENT[:count]
    transport, _, peer = await connected(net.loop)
    sending = net.loop.sendfile(transport, io.BytesIO(CONTENT), 0, count)
    assert await gathered(sending, peer, len(expected)) == (len(expected), expected)
    with pytest.raises(asyncio.SendfileNotAvailableError):
        await net.loop.sendfile(transport, io.BytesIO(CONTENT), fallback=False)
    transport.write(b"still works")
    assert await receive(peer, 11) == b"still works"
    await closed(transport, peer)
    one, other = tcp_pair()
    sending = net.loop.sock_sendfile(one, io.BytesIO(CONTENT), 0, count)
    assert await gathered(sending, other, len(expected)) == (len(expected), expected)
    with pytest.raises(asyncio.SendfileNotAvailableError):
        await net.loop.sock_sendfile(one, io.BytesIO(CONTENT), fallback=False)
    one.close()
    other.close()


REFUSED = [
    {"offset": -1},
    {"offset": "x"},
    {"offset": 1.5},
    {"count": 0},
    {"count": -1},
    {"count": "x"},
    {"file": "text"},
    {"file": None},
]


@pytest.mark.parametrize("given", REFUSED, ids=str)
def test_what_is_refused(net: Net, file: Any, given: dict[str, Any]) -> None:
    async def scenario(loop: Any) -> Any:
        with tempfile.TemporaryFile("w+") as text:
            arguments = {"file": file, **given}
            if arguments["file"] == "text":
                arguments["file"] = text
            transport, _, peer = await connected(loop)
            one, other = tcp_pair()
            said = [
                await attempt(loop.sendfile(transport, **arguments)),
                await attempt(loop.sock_sendfile(one, **arguments)),
            ]
            await closed(transport, peer)
            one.close()
            other.close()
            return [each[:2] if given.get("file", file) is None else each for each in said]

    for got in same_as_stock(net, scenario):
        assert got[0] in ("ValueError", "TypeError", "AttributeError")


async def test_kinds_of_transports_and_sockets(net: Net, file: Any) -> None:
    transport, _, peer = await connected(net.loop)
    transport.close()
    with pytest.raises(RuntimeError, match=r"^Transport is closing$"):
        await net.loop.sendfile(transport, file)
    await closed(transport, peer)
    endpoint, _ = await net.loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    with pytest.raises(RuntimeError, match=r"^sendfile is not supported for transport <"):
        await net.loop.sendfile(endpoint, file)
    await closed(endpoint)
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        with pytest.raises(ValueError, match=r"^only SOCK_STREAM type sockets are supported$"):
            await net.loop.sock_sendfile(sock, file)


async def test_cancelled(net: Net, file: Any) -> None:
    one, other = tcp_pair()
    sending = asyncio.ensure_future(net.loop.sock_sendfile(one, file))
    await turns(3)
    assert not sending.done()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await turns(2)
    assert net.loop.remove_writer(one) is False
    one.close()
    received = await receive(other)
    assert CONTENT.startswith(received)
    other.close()


async def test_a_second_one_at_a_time_leaves_the_first_alone(net: Net, file: Any) -> None:
    transport, _, peer = await connected(net.loop)
    descriptor = transport.get_extra_info("socket").fileno()
    sending = asyncio.ensure_future(net.loop.sendfile(transport, file))
    await turns(3)
    with pytest.raises(KeyError, match=str(descriptor)):
        await net.loop.sendfile(transport, file)
    assert await receive(peer, len(CONTENT)) == CONTENT
    assert await sending == len(CONTENT)
    await closed(transport, peer)


async def test_a_cancelled_transport_can_be_used_again(net: Net, file: Any) -> None:
    transport, protocol, peer = await connected(net.loop)
    sending = asyncio.ensure_future(net.loop.sendfile(transport, file))
    await turns(5)
    assert not sending.done()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    peer.send(b"x")
    await until(lambda: protocol.received)
    transport.write(b"the end")
    transport.close()
    received = await receive(peer)
    assert received.endswith(b"the end")
    assert CONTENT.startswith(received[:-7])
    peer.close()
    await until(lambda: protocol.lost)


async def test_the_peer_goes(net: Net, file: Any) -> None:
    one, other = unix_pair()
    sending = asyncio.ensure_future(net.loop.sock_sendfile(one, file))
    await turns(3)
    other.close()
    with pytest.raises(ConnectionError):
        await sending
    assert net.loop.remove_writer(one) is False
    one.close()
    transport, protocol, peer = await connected(net.loop, kind="unix")
    sending = asyncio.ensure_future(net.loop.sendfile(transport, file))
    await turns(5)
    peer.close()
    with pytest.raises(ConnectionError):
        await sending
    await until(lambda: protocol.lost)


async def test_over_tls(net: Net, file: Any) -> None:
    """No kernel's way there: the fallback, or a refusal."""
    factory = Factory()
    server = await net.loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
    transport, protocol = await net.loop.create_connection(
        Recorder,
        *server.sockets[0].getsockname(),
        ssl=client_context(),
        server_hostname="localhost",
    )
    with pytest.raises(RuntimeError, match=r"^fallback is disabled and native sendfile is not"):
        await net.loop.sendfile(transport, file, fallback=False)
    assert await net.loop.sendfile(transport, file) == len(CONTENT)
    (accepted,) = factory.made
    await until(lambda: len(accepted.received) == len(CONTENT))
    assert accepted.received == CONTENT
    transport.abort()
    server.close()
    await until(lambda: protocol.lost and accepted.lost)
    await server.wait_closed()
    await turns(3)


async def test_a_file_that_shrinks(net: Net) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        one, other = tcp_pair()
        sending = asyncio.ensure_future(net.loop.sock_sendfile(one, file))
        await turns(3)
        os.ftruncate(file.fileno(), 0)
        receiving = asyncio.ensure_future(receive(other))
        sent = await sending
        one.close()
        assert len(await receiving) == sent < len(CONTENT)
        other.close()

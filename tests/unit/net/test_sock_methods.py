"""loop.sock_*: at once, after a wait, and cancelled: no watcher, no descriptor, no stolen data."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import unix_pair

from .peers import (
    IPV6,
    Net,
    Unreachable,
    attempt,
    closed,
    connected,
    receive,
    refusing,
    same_as_stock,
    tcp_pair,
    turns,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def udp_pair() -> tuple[socket.socket, socket.socket]:
    made = []
    for _ in range(2):
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        made.append(sock)
    return made[0], made[1]


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = tcp_pair()
    with one, other:
        yield one, other


@pytest.fixture
def udp() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = udp_pair()
    yield one, other
    one.close()
    other.close()


def unwatched(loop: Any, sock: socket.socket) -> bool:
    return loop.remove_reader(sock) is False and loop.remove_writer(sock) is False


async def recv(loop: Any, sock: socket.socket) -> bytes:
    data: bytes = await loop.sock_recv(sock, 100)
    return data


async def recv_into(loop: Any, sock: socket.socket) -> bytes:
    buffer = bytearray(100)
    count = await loop.sock_recv_into(sock, buffer)
    return bytes(buffer[:count])


async def recvfrom(loop: Any, sock: socket.socket) -> bytes:
    data, _ = await loop.sock_recvfrom(sock, 100)
    return bytes(data)


async def recvfrom_into(loop: Any, sock: socket.socket) -> bytes:
    buffer = bytearray(100)
    count, _ = await loop.sock_recvfrom_into(sock, buffer)
    return bytes(buffer[:count])


READERS = [recv, recv_into, recvfrom, recvfrom_into]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("make", [tcp_pair, unix_pair])
async def test_reading_at_once_and_later(net: Net, read: Any, make: Any) -> None:
    one, other = make()
    other.send(b"at once")
    assert await read(net.loop, one) == b"at once"
    reading = asyncio.ensure_future(read(net.loop, one))
    await turns(3)
    assert not reading.done()
    other.send(b"later")
    assert await reading == b"later"
    await turns(1)
    assert unwatched(net.loop, one)
    other.close()
    assert await read(net.loop, one) == b""
    one.close()


@pytest.mark.parametrize("read", READERS)
async def test_a_cancelled_read_takes_nothing(net: Net, tcp: Any, read: Any) -> None:
    one, other = tcp
    for _ in range(5):
        reading = asyncio.ensure_future(read(net.loop, one))
        await turns(2)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert unwatched(net.loop, one)
        other.send(b"for the next")
        assert await read(net.loop, one) == b"for the next"


@pytest.mark.parametrize("read", READERS)
async def test_data_that_arrives_with_the_cancellation(net: Net, tcp: Any, read: Any) -> None:
    """Cancelled in the turn in which the data is there: whoever reads next gets it."""
    one, other = tcp
    reading = asyncio.ensure_future(read(net.loop, one))
    await turns(2)
    other.send(b"for the next")
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await read(net.loop, one) == b"for the next"


@pytest.mark.parametrize("read", READERS)
async def test_a_second_read_replaces_the_watcher_of_the_first(
    net: Net, tcp: Any, read: Any
) -> None:
    """The end of the first, whose watcher was replaced, must not take away the second's."""
    one, other = tcp
    first = asyncio.ensure_future(read(net.loop, one))
    await turns(2)
    second = asyncio.ensure_future(read(net.loop, one))
    await turns(2)
    first.cancel()
    await asyncio.wait([first])
    other.send(b"second")
    assert await second == b"second"
    assert unwatched(net.loop, one)


@pytest.mark.parametrize("read", READERS)
def test_errors_while_reading(net: Net, read: Any) -> None:
    async def scenario(loop: Any) -> Any:
        said = []
        one, other = tcp_pair()
        reading = asyncio.ensure_future(attempt(read(loop, one)))
        await turns(2)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        said.append(await reading)
        assert unwatched(loop, one)
        one.close()
        said.append(await attempt(read(loop, one)))
        unconnected = socket.socket()
        unconnected.setblocking(False)
        said.append(await attempt(read(loop, unconnected)))
        unconnected.close()
        return said

    got = same_as_stock(net, scenario)
    assert [each[0] for each in got] == ["ConnectionResetError", "OSError", "OSError"]


async def test_counts_and_buffers(net: Net, tcp: Any) -> None:
    one, other = tcp
    other.send(b"0123456789")
    assert await net.loop.sock_recv(one, 3) == b"012"
    buffer = bytearray(4)
    assert await net.loop.sock_recv_into(one, memoryview(buffer)[1:3]) == 2
    assert buffer == b"\0" + b"34" + b"\0"
    count, _ = await net.loop.sock_recvfrom_into(one, buffer, 1)
    assert (count, buffer) == (1, b"534\0")
    assert await net.loop.sock_recv(one, 0) == b""
    assert await net.loop.sock_recv(one, 100) == b"6789"


@pytest.mark.parametrize("make", [tcp_pair, unix_pair])
async def test_sendall(net: Net, make: Any) -> None:
    one, other = make()
    assert await net.loop.sock_sendall(one, b"") is None
    for data in (b"bytes ", bytearray(b"bytearray "), memoryview(b"memoryview")):
        assert await net.loop.sock_sendall(one, data) is None
    assert await receive(other, 26) == b"bytes bytearray memoryview"
    large = bytes(range(256)) * 20_000
    sending = asyncio.ensure_future(net.loop.sock_sendall(one, large))
    await turns(3)
    assert not sending.done()
    assert await receive(other, len(large)) == large
    assert await sending is None
    await turns(1)
    assert unwatched(net.loop, one)
    one.close()
    other.close()


async def test_a_cancelled_sendall(net: Net, tcp: Any) -> None:
    """What was sent is a part from the beginning, and the next one goes on behind it."""
    one, other = tcp
    large = b"L" * 20_000_000
    sending = asyncio.ensure_future(net.loop.sock_sendall(one, large))
    await turns(3)
    other.recv(1000)
    await turns(3)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert unwatched(net.loop, one)
    receiving = asyncio.ensure_future(receive(other))
    await net.loop.sock_sendall(one, b"next")
    one.close()
    got = await receiving
    assert got.endswith(b"next")
    assert set(got[:-4]) == set(b"L")


def test_sendall_to_a_peer_that_has_gone(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        said = []
        one, other = unix_pair()
        sending = asyncio.ensure_future(attempt(loop.sock_sendall(one, b"x" * 10_000_000)))
        await turns(3)
        other.close()
        said.append(await sending)
        said.append(await attempt(loop.sock_sendall(one, b"x")))
        assert unwatched(loop, one)
        one.close()
        return said

    assert [each[0] for each in same_as_stock(net, scenario)] == ["BrokenPipeError"] * 2


async def test_reading_and_writing_one_socket_at_once(net: Net, tcp: Any) -> None:
    one, other = tcp
    large = b"x" * 5_000_000

    async def read(sock: socket.socket) -> int:
        count = 0
        while count < len(large):
            count += len(await net.loop.sock_recv(sock, 100_000))
        return count

    _, _, first, second = await asyncio.gather(
        net.loop.sock_sendall(one, large),
        net.loop.sock_sendall(other, large),
        read(one),
        read(other),
    )
    assert first == second == len(large)


async def test_datagrams(net: Net, udp: Any) -> None:
    one, other = udp
    name = other.getsockname()
    assert await net.loop.sock_sendto(one, b"first", name) == 5
    assert await net.loop.sock_recvfrom(other, 100) == (b"first", one.getsockname())
    reading = asyncio.ensure_future(net.loop.sock_recvfrom(other, 3))
    await turns(3)
    await net.loop.sock_sendto(one, b"truncated", name)
    assert await reading == (b"tru", one.getsockname())
    await net.loop.sock_sendto(one, b"", name)
    assert await net.loop.sock_recvfrom(other, 3) == (b"", one.getsockname())
    buffer = bytearray(10)
    reading = asyncio.ensure_future(net.loop.sock_recvfrom_into(other, buffer))
    await turns(3)
    await net.loop.sock_sendto(one, bytearray(b"into"), name)
    assert await reading == (4, one.getsockname())
    assert buffer[:4] == b"into"
    with pytest.raises(TypeError):
        await net.loop.sock_sendto(one, "text", name)
    assert unwatched(net.loop, one)
    assert unwatched(net.loop, other)


@pytest.mark.parametrize("connect", [False, True])
async def test_sendto_waits_for_room(net: Net, tmp_path: Any, connect: bool) -> None:
    """Only a connected socket is not writable for want of the receiver's room."""
    path = str(tmp_path / "socket")
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(path)
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    for sock in (sender, receiver):
        sock.setblocking(False)
    if connect:
        sender.connect(path)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sender.sendto(b"full", path)
            sent += 1
    for cancelled in (True, False):
        sending = asyncio.ensure_future(net.loop.sock_sendto(sender, b"last", path))
        await turns(3)
        assert not sending.done()
        if cancelled:
            sending.cancel()
            await asyncio.wait([sending])
            assert unwatched(net.loop, sender)
    for _ in range(sent):
        assert receiver.recv(10) == b"full"
    assert await sending == 4
    assert receiver.recv(10) == b"last"
    with pytest.raises(BlockingIOError):
        receiver.recv(10)
    assert unwatched(net.loop, sender)
    sender.close()
    receiver.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_connect_and_accept(net: Net, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        listening.setblocking(False)
        client.setblocking(False)
        port = listening.getsockname()[1]
        assert await net.loop.sock_connect(client, (host, port)) is None
        accepted, address = await net.loop.sock_accept(listening)
        assert address == client.getsockname()
        assert type(accepted) is socket.socket
        assert accepted.gettimeout() == 0
        assert accepted.get_inheritable() is False
        accepting = asyncio.ensure_future(net.loop.sock_accept(listening))
        await turns(3)
        assert not accepting.done()
        with accepted, socket.create_connection(("127.0.0.1", port)):
            later, _ = await accepting
            later.close()
        await turns(1)
        assert unwatched(net.loop, listening)


@IPV6
async def test_connect_over_ipv6(net: Net) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        for address in (listening.getsockname()[:2], listening.getsockname()):
            with socket.socket(socket.AF_INET6) as client:
                client.setblocking(False)
                await net.loop.sock_connect(client, address)
                assert client.getpeername() == listening.getsockname()


async def test_connect_to_a_unix_path(net: Net, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(path)
        client.setblocking(False)
        with pytest.raises(ConnectionRefusedError):
            await net.loop.sock_connect(client, path)
        listening.listen()
        await net.loop.sock_connect(client, path)
        assert client.getpeername() == path


def test_errors_while_connecting(net: Net, tmp_path: Any) -> None:
    refused, port = refusing()

    async def scenario(loop: Any) -> Any:
        said = []
        for address in (("127.0.0.1", port), ("127.0.0.1", 70000), ("127.0.0.1",), "text", None, 5):
            with socket.socket() as client:
                client.setblocking(False)
                said.append(await attempt(loop.sock_connect(client, address)))
                assert unwatched(loop, client)
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            said.append(await attempt(loop.sock_connect(client, str(tmp_path / "nothing"))))
        return said

    got = same_as_stock(net, scenario)
    assert got[0][0] == "ConnectionRefusedError"
    assert got[0][2].endswith(f"Connect call failed ('127.0.0.1', {port})")
    assert got[-1][0] == "FileNotFoundError"
    refused.close()


async def test_a_cancelled_connect(net: Net) -> None:
    with Unreachable() as server:
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            connecting = asyncio.ensure_future(net.loop.sock_connect(client, server.address))
            await turns(3)
            assert not connecting.done()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert unwatched(net.loop, client)
            client.close()


async def test_a_cancelled_accept(net: Net) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        for _ in range(3):
            accepting = asyncio.ensure_future(net.loop.sock_accept(listening))
            await turns(2)
            accepting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await accepting
            assert unwatched(net.loop, listening)
        with socket.create_connection(listening.getsockname()) as client:
            accepted, address = await net.loop.sock_accept(listening)
            assert address == client.getsockname()
            accepted.close()


async def test_a_connection_that_arrives_with_the_cancellation(net: Net) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        accepting = asyncio.ensure_future(net.loop.sock_accept(listening))
        await turns(2)
        with socket.create_connection(listening.getsockname()) as client:
            accepting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await accepting
            accepted, address = await net.loop.sock_accept(listening)
            assert address == client.getsockname()
            accepted.close()


def calls(loop: Any, sock: socket.socket) -> dict[str, Any]:
    """Each method, called on a socket, as something to await."""
    return {
        "recv": lambda: loop.sock_recv(sock, 1),
        "recv_into": lambda: loop.sock_recv_into(sock, bytearray(1)),
        "recvfrom": lambda: loop.sock_recvfrom(sock, 1),
        "recvfrom_into": lambda: loop.sock_recvfrom_into(sock, bytearray(1)),
        "sendall": lambda: loop.sock_sendall(sock, b"x" * 30_000_000),
        "sendto": lambda: loop.sock_sendto(sock, b"x", ("127.0.0.1", 9)),
        "connect": lambda: loop.sock_connect(sock, ("127.0.0.1", 9)),
        "accept": lambda: loop.sock_accept(sock),
    }


NAMES = list(calls(None, None))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("timeout", [None, 1.0])
async def test_a_blocking_socket_is_refused_in_debug_mode(
    net: Net, name: str, timeout: float | None
) -> None:
    net.loop.set_debug(True)
    with socket.socket() as sock:
        sock.settimeout(timeout)
        with pytest.raises(ValueError, match=r"^the socket must be non-blocking$"):
            await calls(net.loop, sock)[name]()


@pytest.mark.parametrize("name", NAMES)
async def test_an_ssl_socket_is_refused(net: Net, name: str) -> None:
    context = ssl.create_default_context()
    with socket.socket() as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            with pytest.raises(TypeError, match=r"^Socket cannot be of type SSLSocket$"):
                await calls(net.loop, sock)[name]()


@pytest.mark.parametrize("name", ["recv", "recv_into", "recvfrom", "recvfrom_into", "sendall"])
async def test_a_socket_of_a_transport_is_refused(net: Net, name: str) -> None:
    """What would have to wait, that is: asyncio tries first."""
    transport, _, peer = await connected(net.loop)
    number = transport.get_extra_info("socket").fileno()
    copy = socket.socket(fileno=number)
    try:
        transport.pause_reading()
        with pytest.raises(RuntimeError) as caught:
            await calls(net.loop, copy)[name]()
        text = f"File descriptor {number} is used by transport {transport!r}"
        assert str(caught.value) == text
    finally:
        copy.detach()
    await closed(transport, peer)


@pytest.mark.parametrize("name", NAMES)
def test_a_closed_socket(net: Net, name: str) -> None:
    async def scenario(loop: Any) -> Any:
        sock = socket.socket()
        sock.setblocking(False)
        sock.close()
        return await attempt(calls(loop, sock)[name]())

    assert same_as_stock(net, scenario)[:2] == ("OSError", "9")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sock", [None, 5, "socket"])
def test_what_is_no_socket(net: Net, name: str, sock: Any) -> None:
    async def scenario(loop: Any) -> Any:
        return (await attempt(calls(loop, sock)[name]()))[0]

    assert same_as_stock(net, scenario) == "AttributeError"


@pytest.mark.parametrize("name", ["recv", "recv_into", "accept"])
def test_a_run_that_ends_while_waiting(net: Net, name: str, tcp: Any) -> None:
    """The loop is closed under the waiting task: the watcher goes with it, the socket stays."""
    one, _ = tcp
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        sock = listening if name == "accept" else one
        task = net.loop.create_task(calls(net.loop, sock)[name]())
        net.turn(3)
        assert not task.done()
        net.close()
        os.fstat(sock.fileno())
        with pytest.raises(RuntimeError, match=r"^Event loop is closed$"):
            task.cancel()
        task._log_destroy_pending = False
        del task
    net.loop = net.impl.new_loop()


async def test_arguments_by_name(net: Net, tcp: Any, udp: Any) -> None:
    one, other = tcp
    loop = net.loop
    await loop.sock_sendall(sock=other, data=b"abcd")
    assert await loop.sock_recv(sock=one, n=1) == b"a"
    assert await loop.sock_recv_into(sock=one, buf=bytearray(1)) == 1
    assert (await loop.sock_recvfrom(sock=one, bufsize=1))[0] == b"c"
    assert (await loop.sock_recvfrom_into(sock=one, buf=bytearray(4), nbytes=1))[0] == 1
    await loop.sock_sendto(sock=udp[0], data=b"x", address=udp[1].getsockname())
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        listening.setblocking(False)
        client.setblocking(False)
        await loop.sock_connect(sock=client, address=listening.getsockname())
        accepted, _ = await loop.sock_accept(sock=listening)
        accepted.close()

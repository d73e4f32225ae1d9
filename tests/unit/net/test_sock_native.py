"""The sock_* methods: the call first, then waiting; nothing is lost or left by a cancelled one."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import Implementation, collect, outcome, turn
from tests.unit.net.socks import drain, fill, run, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def shown(value: Any) -> str:
    """Name a parameter alike in every process: the repr of a view has an address."""
    return type(value).__name__ if isinstance(value, memoryview) else repr(value)


@pytest.fixture
def datagrams() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (left, right):
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
    yield left, right
    left.close()
    right.close()


def test_what_is_there_is_read_at_once(loop: Any, pair: Any, reader: Any) -> None:
    left, right = pair
    right.send(b"data")
    coroutine = reader[0](loop, left)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == reader[1]
    assert watched(loop, left) == 0


def test_what_comes_later_is_waited_for(loop: Any, pair: Any, reader: Any) -> None:
    left, right = pair
    task = loop.create_task(reader[0](loop, left))
    turn(loop, 3)
    assert not task.done()
    assert watched(loop, left) == 1
    right.send(b"data")
    assert run(loop, task) == reader[1]
    turn(loop)
    assert watched(loop, left) == 0
    assert loop.remove_reader(left) is False


def test_the_end_is_read(loop: Any, pair: Any) -> None:
    left, right = pair
    right.close()
    assert run(loop, loop.sock_recv(left, 10)) == b""
    assert run(loop, loop.sock_recv_into(left, bytearray(1))) == 0


@pytest.mark.parametrize("size", [0, -1, "x", None, 2**80, True, 1.5])
def test_sizes(loop: Any, pair: Any, size: Any) -> None:
    left, right = pair
    right.send(b"data")
    expected = outcome(left.recv, size, socket.MSG_PEEK)
    assert outcome(run, loop, loop.sock_recv(left, size)) == expected


@pytest.mark.parametrize(
    "buffer", [b"fixed", "text", None, 7, memoryview(bytearray(8))[::2]], ids=shown
)
def test_buffers_that_cannot_be_filled(loop: Any, pair: Any, buffer: Any) -> None:
    left, right = pair
    right.send(b"data")
    with pytest.raises((TypeError, BufferError)) as expected:
        left.recv_into(buffer)
    with pytest.raises(expected.type) as raised:
        run(loop, loop.sock_recv_into(left, buffer))
    assert raised.value.args == expected.value.args


def test_buffers_that_can_be_filled(loop: Any, pair: Any) -> None:
    left, right = pair
    right.send(b"abcdefgh")
    numbers = array.array("H", [0, 0])
    assert run(loop, loop.sock_recv_into(left, numbers)) == 4
    assert numbers.tobytes() == b"abcd"
    assert run(loop, loop.sock_recv_into(left, bytearray())) == 0
    rest = bytearray(200_000)
    assert run(loop, loop.sock_recv_into(left, memoryview(rest)[1:])) == 4
    assert rest[:6] == b"\0efgh\0"


@pytest.mark.parametrize(
    "data", [b"", b"x", bytearray(b"xy"), memoryview(b"xyz"), array.array("b", [1, 2])], ids=shown
)
def test_small_data_go_at_once(loop: Any, pair: Any, data: Any) -> None:
    left, right = pair
    coroutine = loop.sock_sendall(left, data)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value is None
    assert drain(right) == bytes(data)


@pytest.mark.parametrize("data", ["text", None, 7, memoryview(b"abcd")[::2]], ids=shown)
def test_data_that_cannot_be_sent(loop: Any, pair: Any, data: Any) -> None:
    with pytest.raises((TypeError, BufferError)) as expected:
        pair[0].send(data)
    with pytest.raises(expected.type) as raised:
        run(loop, loop.sock_sendall(pair[0], data))
    assert raised.value.args == expected.value.args


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_much_data_go_in_parts(loop: Any, pair: Any, kind: Callable[[bytes], Any]) -> None:
    left, right = pair
    data = os.urandom(3_000_000)

    async def main() -> bytes:
        sending = asyncio.ensure_future(loop.sock_sendall(left, kind(data)))
        got = bytearray()
        while len(got) < len(data):
            got += await loop.sock_recv(right, 100_000)
        assert await sending is None
        return bytes(got)

    assert run(loop, main()) == data
    turn(loop)
    assert watched(loop, left, right) == 0


def test_items_of_several_bytes_are_all_sent(pair: Any) -> None:
    # asyncio counts items where the socket counts bytes: it sends a part, or never ends.
    left, right = pair
    loop = bucle.new_event_loop()
    data = array.array("I", range(300_000))

    async def main() -> bytes:
        sending = asyncio.ensure_future(loop.sock_sendall(left, data))
        got = bytearray()
        while len(got) < len(data) * data.itemsize:
            got += await loop.sock_recv(right, 100_000)
        await sending
        return bytes(got)

    try:
        assert run(loop, main()) == data.tobytes()
    finally:
        loop.close()


def test_data_that_wait_cannot_be_resized(loop: Any, pair: Any) -> None:
    left, right = pair
    fill(left)
    data = bytearray(b"data")
    task = loop.create_task(loop.sock_sendall(left, data))
    turn(loop, 2)
    with pytest.raises(BufferError):
        data.extend(b"more")
    drain(right)
    run(loop, task)
    assert drain(right) == b"data"
    del task
    collect()
    data.extend(b"more")


def test_datagrams(loop: Any, datagrams: Any) -> None:
    left, right = datagrams
    address = right.getsockname()
    task = loop.create_task(loop.sock_recvfrom(right, 100))
    turn(loop, 2)
    assert run(loop, loop.sock_sendto(left, b"one", address)) == 3
    assert run(loop, task) == (b"one", left.getsockname())
    buffer = bytearray(10)
    task = loop.create_task(loop.sock_recvfrom_into(right, buffer))
    turn(loop, 2)
    assert run(loop, loop.sock_sendto(left, b"", address)) == 0
    assert run(loop, task) == (0, left.getsockname())
    assert run(loop, loop.sock_sendto(left, b"three", address)) == 5
    assert run(loop, loop.sock_recv(right, 2)) == b"th"
    with pytest.raises(TypeError):
        run(loop, loop.sock_sendto(left, "text", address))
    assert watched(loop, left, right) == 0


def test_sendto_waits(loop: Any) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right, contextlib.suppress(FileNotFoundError):
        left.setblocking(False)
        right.setblocking(False)
        name = b"\0bucle-test-" + os.urandom(8)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with receiver:
            receiver.bind(name)
            sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            with sender:
                sender.setblocking(False)
                sender.connect(name)  # so that writability is the receiver's room
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sender.send(b"x")
                task = loop.create_task(loop.sock_sendto(sender, b"later", name))
                turn(loop, 3)
                assert not task.done()
                receiver.setblocking(False)
                drain(receiver)
                assert run(loop, task) == 5
                assert receiver.recv(10) == b"later"


def test_errors_come_as_they_are(loop: Any, pair: Any) -> None:
    left, right = pair
    right.close()
    with pytest.raises(BrokenPipeError):
        run(loop, loop.sock_sendall(left, b"x"))
    left.close()
    for coroutine in (loop.sock_recv(left, 1), loop.sock_sendall(left, b"x")):
        with pytest.raises(OSError, match="Bad file descriptor") as raised:
            run(loop, coroutine)
        assert raised.value.errno == 9


def test_an_error_while_waiting(loop: Any, listener: Any) -> None:
    client = socket.create_connection(listener.getsockname())
    accepted, _ = run(loop, loop.sock_accept(listener))
    with accepted:
        task = loop.create_task(loop.sock_recv(accepted, 10))
        turn(loop, 2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(ConnectionResetError):
            run(loop, task)
        turn(loop)
        assert watched(loop, accepted) == 0


# Connecting and accepting.


def test_connect_and_accept(loop: Any, listener: Any) -> None:
    async def main() -> None:
        accepting = asyncio.ensure_future(loop.sock_accept(listener))
        await asyncio.sleep(0)
        with socket.socket() as client:
            client.setblocking(False)
            assert await loop.sock_connect(client, listener.getsockname()) is None
            accepted, address = await accepting
            with accepted:
                assert address == client.getsockname()
                assert accepted.gettimeout() == 0
                assert type(accepted) is socket.socket

    run(loop, main())
    turn(loop)
    assert watched(loop, listener) == 0


def test_connect_resolves_names(loop: Any, listener: Any) -> None:
    asked: list[Any] = []
    plain = loop.getaddrinfo

    async def getaddrinfo(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return await plain(*args, **options)

    loop.getaddrinfo = getaddrinfo
    with socket.socket() as client:
        client.setblocking(False)
        port = listener.getsockname()[1]
        run(loop, loop.sock_connect(client, ("localhost", port)))
        assert client.getpeername() == listener.getsockname()
    options = {"family": socket.AF_INET, "type": socket.SOCK_STREAM, "proto": 0, "flags": 0}
    assert asked == [(("localhost", port), options)]
    run(loop, loop.shutdown_default_executor())


def test_connect_fails_with_asyncios_text(loop: Any) -> None:
    with socket.socket() as taken, socket.socket() as client:
        taken.bind(("127.0.0.1", 0))  # bound, but it does not listen
        client.setblocking(False)
        address = taken.getsockname()
        with pytest.raises(ConnectionRefusedError) as raised:
            run(loop, loop.sock_connect(client, address))
        assert raised.value.args == (111, f"Connect call failed {address}")
        turn(loop)
        assert watched(loop, client) == 0


def test_connect_to_a_path(loop: Any, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as client, socket.socket(socket.AF_UNIX) as server:
        client.setblocking(False)
        with pytest.raises(FileNotFoundError):
            run(loop, loop.sock_connect(client, path))
        server.bind(path)
        server.listen()
        run(loop, loop.sock_connect(client, path))
        assert client.getpeername() == path


# What is refused, and what others override.


def test_a_transports_descriptor_is_refused(loop: Any, pair: Any) -> None:
    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=pair[0])
        for coroutine in (loop.sock_recv(pair[0], 1), loop.sock_accept(pair[0])):
            with pytest.raises((RuntimeError, OSError)) as raised:
                await coroutine
            if isinstance(raised.value, RuntimeError):
                assert "is used by transport" in str(raised.value)
        transport.close()
        await asyncio.sleep(0)

    run(loop, main())


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "sock_recv": lambda loop, sock: loop.sock_recv(sock, 1),
    "sock_recv_into": lambda loop, sock: loop.sock_recv_into(sock, bytearray(1)),
    "sock_recvfrom": lambda loop, sock: loop.sock_recvfrom(sock, 1),
    "sock_recvfrom_into": lambda loop, sock: loop.sock_recvfrom_into(sock, bytearray(1)),
    "sock_sendall": lambda loop, sock: loop.sock_sendall(sock, b"x"),
    "sock_sendto": lambda loop, sock: loop.sock_sendto(sock, b"x", ("127.0.0.1", 1)),
    "sock_connect": lambda loop, sock: loop.sock_connect(sock, ("127.0.0.1", 1)),
    "sock_accept": lambda loop, sock: loop.sock_accept(sock),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Any:
    return CALLS[request.param]


def test_tls_sockets_are_refused(loop: Any, call: Any) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    with context.wrap_socket(socket.socket(), do_handshake_on_connect=False) as sock:
        with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
            run(loop, call(loop, sock))


def test_debug_mode_refuses_blocking_sockets(loop: Any, call: Any) -> None:
    loop.set_debug(True)
    with socket.socket() as sock:
        for timeout in (None, 1.0):
            sock.settimeout(timeout)
            with pytest.raises(ValueError, match="the socket must be non-blocking"):
                run(loop, call(loop, sock))


def test_a_time_out_of_the_sockets_own_is_waited_for(loop: Any, pair: Any) -> None:
    pair[0].settimeout(0.01)
    with pytest.raises(TimeoutError, match="timed out"):
        run(loop, loop.sock_recv(pair[0], 1))
    with pytest.raises(TimeoutError, match="timed out"):
        run(loop, loop.sock_recv_into(pair[0], bytearray(1)))


class Counting(socket.socket):
    """A socket whose methods are overridden."""

    def recv(self, *args: Any) -> bytes:
        return super().recv(*args) + b"!"

    def recv_into(self, *args: Any) -> int:
        return super().recv_into(*args) + 100

    def send(self, data: Any, *args: Any) -> int:
        return super().send(bytes(data).upper(), *args)


def test_overridden_methods_are_called(loop: Any, pair: Any) -> None:
    left = Counting(fileno=pair[0].detach())
    with left:
        left.setblocking(False)
        run(loop, loop.sock_sendall(left, b"small"))
        assert drain(pair[1]) == b"SMALL"
        pair[1].send(b"ab")
        assert run(loop, loop.sock_recv(left, 1)) == b"a!"
        assert run(loop, loop.sock_recv_into(left, bytearray(1))) == 101
        task = loop.create_task(loop.sock_recv(left, 1))
        turn(loop, 2)
        pair[1].send(b"c")
        assert run(loop, task) == b"c!"
        task = loop.create_task(loop.sock_sendall(left, b"abc" * 1_000_000))
        got = b""
        while len(got) < 3_000_000:
            turn(loop)
            got += drain(pair[1])
        run(loop, task)
        assert got == b"ABC" * 1_000_000


def test_replaced_methods_of_the_class_are_called(loop: Any, pair: Any, monkeypatch: Any) -> None:
    pair[1].send(b"data")
    monkeypatch.setattr(socket.socket, "recv", lambda self, size: b"mine", raising=False)
    assert run(loop, loop.sock_recv(pair[0], 4)) == b"mine"
    monkeypatch.undo()
    assert run(loop, loop.sock_recv(pair[0], 4)) == b"data"


class Duck:
    """Neither a socket nor a subclass of one."""

    def __init__(self, sock: socket.socket, *failures: BaseException) -> None:
        self.sock = sock
        self.failures = list(failures)

    def recv(self, size: int) -> bytes:
        if self.failures:
            raise self.failures.pop(0)
        return self.sock.recv(size)

    def send(self, data: Any) -> int:
        return self.sock.send(data[:2])

    def fileno(self) -> int:
        return self.sock.fileno()


def test_anything_that_looks_like_a_socket(loop: Any, pair: Any) -> None:
    left, right = pair
    duck = Duck(left, InterruptedError(), BlockingIOError())
    right.send(b"data")
    assert run(loop, loop.sock_recv(duck, 10)) == b"data"
    run(loop, loop.sock_sendall(duck, b"abcdefg"))
    assert drain(right) == b"abcdefg"
    turn(loop)
    assert watched(loop, left) == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exits_pass(impl: Implementation, pair: Any, error: type[BaseException]) -> None:
    loop = impl.new_loop()
    try:
        for failures in ([error()], [BlockingIOError(), error()]):
            duck = Duck(pair[0], *failures)
            pair[1].send(b"data")
            task = loop.create_task(loop.sock_recv(duck, 10))
            with pytest.raises(error):
                loop.run_until_complete(task)
            if not task.done():
                task.cancel()
            turn(loop, 2)
            with contextlib.suppress(BaseException):
                task.exception()
            drain(pair[0])
    finally:
        loop.close()


@pytest.mark.parametrize("where", ["subclass", "instance"])
def test_overridden_methods_of_the_loop_are_called(pair: Any, where: str) -> None:
    made: list[str] = []

    class Loop(bucle.Loop):
        def create_future(self) -> Any:
            made.append("future")
            return super().create_future()

        def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
            made.append("reader")
            return super()._add_reader(fd, callback, *args)

    loop = Loop() if where == "subclass" else bucle.Loop()
    if where == "instance":
        assert loop.run_until_complete(loop.sock_sendall(pair[0], b"x")) is None
        plain = loop.create_future

        def create_future() -> Any:
            made.append("future")
            return plain()

        loop.create_future = create_future  # type: ignore[method-assign]
    try:
        drain(pair[1])
        task = loop.create_task(loop.sock_recv(pair[0], 10))
        turn(loop, 2)
        pair[1].send(b"data")
        assert loop.run_until_complete(task) == b"data"
        assert "future" in made
        assert ("reader" in made) == (where == "subclass")
    finally:
        loop.close()

"""The sock_* methods: what they take, when they wait, and whose overridden methods they call."""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import collect, outcome, turn
from tests.unit.net.socks import drain, fill, run, watched

if TYPE_CHECKING:
    from collections.abc import Callable


def shown(value: Any) -> str:
    """Name a parameter alike in every process: the repr of a view has an address."""
    return type(value).__name__ if isinstance(value, memoryview) else repr(value)


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


@pytest.mark.parametrize("data", ["text", None, 7, ["x"], memoryview(b"abcd")[::2]], ids=shown)
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


@pytest.mark.native
def test_items_of_several_bytes_are_all_sent(loop: Any, pair: Any) -> None:
    # asyncio counts items where the socket counts bytes: it sends a part, or never ends.
    left, right = pair
    data = array.array("I", range(300_000))

    async def main() -> bytes:
        sending = asyncio.ensure_future(loop.sock_sendall(left, data))
        got = bytearray()
        while len(got) < len(data) * data.itemsize:
            got += await loop.sock_recv(right, 100_000)
        await sending
        return bytes(got)

    assert run(loop, main()) == data.tobytes()


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
def test_exits_pass(loop: Any, pair: Any, error: type[BaseException]) -> None:
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

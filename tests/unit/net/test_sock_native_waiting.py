"""Waiting in the sock_* methods: cancelled, closed, woken for nothing; what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import Implementation, collect, turn
from tests.unit.net.socks import drain, fill, run, watched

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_cancelled_reader_takes_nothing(loop: Any, pair: Any, reader: Any) -> None:
    left, right = pair
    task = loop.create_task(reader[0](loop, left))
    turn(loop, 2)
    task.cancel()
    right.send(b"data")  # ready in the very turn of the cancellation
    turn(loop, 3)
    assert task.cancelled()
    assert watched(loop, left) == 0
    assert left.recv(10) == b"data"


def test_the_callback_of_a_cancelled_reader_does_not_run(loop: Any, pair: Any) -> None:
    left, right = pair
    task = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    # The reader of `right` runs in the turn in which the callback for `left` is queued already.
    left.send(b"!")
    right.send(b"data")
    loop.add_reader(right, lambda: (task.cancel(), loop.remove_reader(right)))
    turn(loop, 4)
    assert task.done()
    # asyncio's callback may have been first: then the data went with the cancelled operation.
    got = drain(left)
    assert got == b"data" or not isinstance(loop, bucle.Loop)


def test_a_reader_cancelled_after_it_was_woken_takes_nothing(impl: Implementation) -> None:
    # With asyncio the data are gone: its callback had read them when the cancellation came.
    loop = impl.new_loop()
    left, right = socket.socketpair()

    async def main() -> bytes:
        task = asyncio.ensure_future(loop.sock_recv(left, 10))
        await asyncio.sleep(0)
        right.send(b"data")
        while not task._fut_waiter.done():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return drain(left)

    with left, right, contextlib.closing(loop):
        left.setblocking(False)
        assert run(loop, main()) == (b"data" if impl.native else b"")


def test_an_acceptor_cancelled_after_it_was_woken_takes_no_connection(listener: Any) -> None:
    loop = bucle.new_event_loop()

    async def main() -> None:
        task = asyncio.ensure_future(loop.sock_accept(listener))
        await asyncio.sleep(0)
        with socket.create_connection(listener.getsockname()) as client:
            while not task._fut_waiter.done():  # type: ignore[attr-defined]
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            accepted, address = await loop.sock_accept(listener)
            with accepted:
                assert address == client.getsockname()

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(loop, main())
            collect()
    finally:
        loop.close()


def test_cancelled_writers_send_nothing_more(loop: Any, pair: Any) -> None:
    left, right = pair
    sent = fill(left)
    task = loop.create_task(loop.sock_sendall(left, b"late"))
    turn(loop, 2)
    assert watched(loop, left) == 1
    task.cancel()
    got = len(drain(right))
    turn(loop, 3)
    assert task.cancelled()
    assert watched(loop, left) == 0
    assert got == sent
    assert drain(right) == b""


def test_the_descriptor_of_a_cancelled_one_belongs_to_others() -> None:
    # asyncio's selector does not notice that it is another file.
    loop = bucle.new_event_loop()
    left, right = socket.socketpair()
    left.setblocking(False)
    task = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    number = left.fileno()
    left.close()
    right.close()
    left, right = socket.socketpair()
    with left, right, contextlib.closing(loop):
        assert number in (left.fileno(), right.fileno())
        reused, other = (left, right) if left.fileno() == number else (right, left)
        seen: list[bytes] = []
        loop.add_reader(reused, lambda: seen.append(reused.recv(10)))
        task.cancel()
        turn(loop, 3)
        assert task.cancelled()
        other.send(b"x")
        turn(loop, 2)
        assert seen == [b"x"]
        assert loop.remove_reader(reused) is True


def test_closed_by_hand_it_stops_watching(pair: Any) -> None:
    loop = bucle.new_event_loop()
    try:
        coroutine = loop.sock_recv(pair[0], 10)
        coroutine.send(None)
        assert watched(loop, pair[0]) == 1
        coroutine.close()
        assert watched(loop, pair[0]) == 0
        assert loop.metrics()["watched"] == 0
    finally:
        loop.close()


def test_nobody_listens_and_the_loop_sleeps_all_the_same(pair: Any) -> None:
    loop = bucle.new_event_loop()
    try:
        coroutine = loop.sock_recv(pair[0], 10)
        future = coroutine.send(None)
        pair[1].send(b"data")
        loop.call_later(0.1, loop.stop)
        loop.run_forever()
        assert future.done()
        assert loop.metrics()["polls"] < 30
        with pytest.raises(StopIteration) as ended:
            coroutine.send(None)
        assert ended.value.value == b"data"
    finally:
        loop.close()


def test_the_second_reader_takes_the_place_of_the_first(loop: Any, pair: Any) -> None:
    left, right = pair
    first = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    second = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    right.send(b"data")
    assert run(loop, second) == b"data"
    turn(loop, 2)
    assert not first.done()
    third = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    first.cancel()
    turn(loop, 2)
    assert first.cancelled()
    right.send(b"more")  # the first one has not taken the third's watcher with it
    assert run(loop, third) == b"more"


def test_reading_and_writing_at_once(loop: Any, pair: Any) -> None:
    left, right = pair
    fill(left)
    reading = loop.create_task(loop.sock_recv(left, 10))
    writing = loop.create_task(loop.sock_sendall(left, b"end"))
    turn(loop, 2)
    assert watched(loop, left) == 2
    right.send(b"data")
    assert run(loop, reading) == b"data"
    turn(loop)
    assert watched(loop, left) == 1
    drain(right)
    run(loop, writing)
    turn(loop)
    assert watched(loop, left) == 0
    assert drain(right) == b"end"


def test_a_spurious_wake_up_is_waited_over(loop: Any, pair: Any) -> None:
    left, right = pair
    task = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    thief = socket.socket(fileno=os.dup(left.fileno()))
    with thief:
        right.send(b"data")
        thief.recv(10)
        turn(loop, 4)
        assert not task.done()
        right.send(b"more")
        assert run(loop, task) == b"more"


# Connecting.


@contextlib.contextmanager
def unanswered() -> Iterator[Any]:
    """The address of a listener that has no room for another connection."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()


def test_a_cancelled_connect_leaves_nothing(loop: Any) -> None:
    with unanswered() as address, socket.socket() as client:
        client.setblocking(False)
        task = loop.create_task(loop.sock_connect(client, address))
        turn(loop, 3)
        assert not task.done()
        assert watched(loop, client) == 1
        task.cancel()
        turn(loop, 2)
        assert task.cancelled()
        assert watched(loop, client) == 0
        assert client.fileno() >= 0  # its owner closes it


def test_a_connect_cancelled_while_it_resolves(loop: Any, monkeypatch: Any) -> None:
    async def getaddrinfo(*args: Any, **options: Any) -> Any:
        await asyncio.sleep(100)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    with socket.socket() as client:
        client.setblocking(False)
        task = loop.create_task(loop.sock_connect(client, ("localhost", 1)))
        turn(loop, 3)
        task.cancel()
        turn(loop, 3)
        assert task.cancelled()


def test_in_debug_mode(loop: Any, pair: Any, reader: Any) -> None:
    loop.set_debug(True)
    left, right = pair
    task = loop.create_task(reader[0](loop, left))
    turn(loop, 2)
    right.send(b"data")
    assert run(loop, task) == reader[1]
    turn(loop)
    assert watched(loop, left) == 0


# The end.


def test_a_closed_loop_waits_for_nothing(impl: Implementation, pair: Any) -> None:
    loop = impl.new_loop()
    loop.close()
    coroutine = loop.sock_recv(pair[0], 1)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        coroutine.send(None)


def test_closed_or_dropped_with_its_loop(impl: Implementation, pair: Any) -> None:
    async def wait(loop: Any) -> None:
        await loop.sock_recv(pair[0], 1)

    for close in (True, False):
        loop = impl.new_loop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            task = loop.create_task(wait(loop))
            task._log_destroy_pending = False
            turn(loop, 2)
            gone = weakref.ref(task), weakref.ref(loop)
            if close:
                loop.close()
            del task, loop
            collect()
        assert [ref() for ref in gone] == [None, None]


def test_nothing_grows(pair: Any) -> None:
    loop = bucle.new_event_loop()
    left, right = pair

    async def round_trip() -> None:
        reading = asyncio.ensure_future(loop.sock_recv(left, 10))
        cancelled = asyncio.ensure_future(loop.sock_recv(right, 10))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await loop.sock_sendall(right, b"data")
        await reading

    async def main() -> None:
        for _ in range(100):
            await round_trip()

    try:
        run(loop, main())
        collect()
        before = len(gc.get_objects()), len(os.listdir("/proc/self/fd"))
        run(loop, main())
        collect()
        after = len(gc.get_objects()), len(os.listdir("/proc/self/fd"))
        assert after[0] <= before[0] + 5
        assert after[1] == before[1]
        assert loop.metrics()["watched"] == 0
    finally:
        loop.close()

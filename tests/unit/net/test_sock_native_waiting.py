"""Waiting in the sock_* methods: cancelled, closed, woken for nothing; what is left of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import warnings
import weakref
from typing import Any

import pytest

from tests.support import Implementation, collect, turn
from tests.unit.net.peers import descriptors
from tests.unit.net.socks import drain, fill, run, watched


@pytest.mark.native
def test_the_callback_of_a_cancelled_reader_does_not_run(loop: Any, pair: Any) -> None:
    # With asyncio it depends on the order of the two callbacks.
    left, right = pair
    task = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    # The reader of `right` runs in the turn in which the callback for `left` is queued already.
    left.send(b"!")
    right.send(b"data")
    loop.add_reader(right, lambda: (task.cancel(), loop.remove_reader(right)))
    turn(loop, 4)
    assert task.cancelled()
    assert drain(left) == b"data"


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


@pytest.mark.native
def test_an_acceptor_cancelled_after_it_was_woken_takes_no_connection(
    loop: Any, listener: Any
) -> None:

    async def main() -> None:
        task = asyncio.ensure_future(loop.sock_accept(listener))
        await asyncio.sleep(0)
        with socket.create_connection(listener.getsockname()) as client:
            while not task._fut_waiter.done():
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            accepted, address = await loop.sock_accept(listener)
            with accepted:
                assert address == client.getsockname()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(loop, main())
        collect()


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


@pytest.mark.native
def test_the_descriptor_of_a_cancelled_one_belongs_to_others(loop: Any) -> None:
    # asyncio's selector does not notice that it is another file.
    left, right = socket.socketpair()
    left.setblocking(False)
    task = loop.create_task(loop.sock_recv(left, 10))
    turn(loop, 2)
    number = left.fileno()
    left.close()
    right.close()
    left, right = socket.socketpair()
    with left, right:
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


@pytest.mark.native
def test_closed_by_hand_it_stops_watching(loop: Any, pair: Any) -> None:
    coroutine = loop.sock_recv(pair[0], 10)
    coroutine.send(None)
    assert watched(loop, pair[0]) == 1
    coroutine.close()
    assert watched(loop, pair[0]) == 0
    assert loop.metrics()["watched"] == 0


@pytest.mark.native
def test_nobody_listens_and_the_loop_sleeps_all_the_same(loop: Any, pair: Any) -> None:
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


def test_a_closed_loop_waits_for_nothing(loop: Any, pair: Any) -> None:
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


@pytest.mark.native
def test_nothing_grows(loop: Any, pair: Any) -> None:
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

    run(loop, main())
    collect()
    before = len(gc.get_objects()), len(descriptors())
    run(loop, main())
    collect()
    after = len(gc.get_objects()), len(descriptors())
    assert after[0] <= before[0] + 5
    assert after[1] == before[1]
    assert loop.metrics()["watched"] == 0

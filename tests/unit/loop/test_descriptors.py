"""add_reader and add_writer: readiness, replacing, removing, and descriptors that turn bad.

The loop does not own these descriptors: they may be closed behind its back, and closed and reused,
without a crash and without a callback for the wrong one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import socket
import tempfile
from typing import Any

import pytest

from tests.support import Implementation, check_script, outcome, turn


def test_reader_is_called_while_readable(loop: Any, pair: Any) -> None:
    left, right = pair
    seen: list[bytes] = []

    def read(sock: socket.socket) -> None:
        seen.append(sock.recv(1))
        if len(seen) == 3:
            loop.stop()

    loop.add_reader(left, read, left)
    right.send(b"abc")
    loop.run_forever()
    assert seen == [b"a", b"b", b"c"]
    assert loop.remove_reader(left) is True
    right.send(b"d")
    turn(loop, 3)
    assert len(seen) == 3


def test_writer_is_called_while_writable(loop: Any, pair: Any) -> None:
    left, _ = pair
    calls: list[int] = []

    def write() -> None:
        calls.append(1)
        if len(calls) == 5:
            loop.stop()

    loop.add_writer(left.fileno(), write)
    loop.run_forever()
    assert loop.remove_writer(left.fileno()) is True
    turn(loop, 3)
    assert len(calls) == 5


def test_both_on_one_descriptor(loop: Any, pair: Any) -> None:
    left, right = pair
    seen: set[str] = set()
    right.send(b"x")

    def note(name: str) -> None:
        seen.add(name)
        if len(seen) == 2:
            loop.stop()

    loop.add_reader(left, note, "reader")
    loop.add_writer(left, note, "writer")
    loop.run_forever()
    assert loop.remove_writer(left) is True
    seen.clear()
    left.recv(1)
    right.send(b"y")
    loop.add_reader(left, loop.stop)
    loop.run_forever()
    assert seen == set()
    assert loop.remove_reader(left) is True


def test_removing_what_was_not_added(loop: Any, pair: Any) -> None:
    left, _ = pair
    assert loop.remove_reader(left) is False
    assert loop.remove_writer(left) is False
    loop.add_reader(left, print)
    assert loop.remove_writer(left) is False
    assert loop.remove_reader(left) is True
    assert loop.remove_reader(left) is False


def test_adding_again_replaces_the_callback(loop: Any, pair: Any) -> None:
    left, right = pair
    seen: list[str] = []
    right.send(b"x")
    loop.add_reader(left, seen.append, "old")
    loop.add_reader(left, lambda: (seen.append("new"), loop.stop()))
    loop.run_forever()
    assert set(seen) == {"new"}
    loop.remove_reader(left)


def test_a_callback_that_removes_itself_and_its_neighbour(loop: Any) -> None:
    pairs = [socket.socketpair() for _ in range(5)]
    seen: list[int] = []

    def read(index: int) -> None:
        seen.append(index)
        for left, _ in pairs:
            loop.remove_reader(left)

    for index, (left, right) in enumerate(pairs):
        right.send(b"x")
        loop.add_reader(left, read, index)
    turn(loop, 4)
    assert len(seen) == 1
    for left, right in pairs:
        left.close()
        right.close()


@pytest.mark.parametrize("method", ["add_reader", "add_writer", "_add_reader", "_add_writer"])
def test_a_context_is_taken_where_asyncio_takes_one(loop: Any, pair: Any, method: str) -> None:
    add = getattr(loop, method)
    remove = getattr(loop, method.replace("add", "remove"))
    context = contextvars.copy_context()
    if "context" in inspect.signature(getattr(asyncio.SelectorEventLoop, method)).parameters:
        assert add(pair[0].fileno(), print, context=context)._context is context
        assert remove(pair[0].fileno())
        return
    with pytest.raises(
        TypeError, match=rf"{method}\(\) got an unexpected keyword argument 'context'"
    ):
        add(pair[0].fileno(), print, context=context)
    assert not remove(pair[0].fileno())


def test_callbacks_run_in_the_context_of_the_call(loop: Any, pair: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    left, right = pair
    seen: list[str] = []
    token = variable.set("at add_reader")
    loop.add_reader(left, lambda: (seen.append(variable.get()), loop.stop()))
    variable.reset(token)
    right.send(b"x")
    loop.run_forever()
    assert set(seen) == {"at add_reader"}
    loop.remove_reader(left)


def test_an_exception_in_a_reader_is_reported_and_it_stays(loop: Any, pair: Any) -> None:
    left, right = pair
    contexts: list[Any] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def fail() -> None:
        if len(contexts) == 2:
            loop.stop()
        raise LookupError

    loop.add_reader(left, fail)
    right.send(b"x")
    loop.run_forever()
    assert len(contexts) >= 2
    assert isinstance(contexts[0]["exception"], LookupError)
    loop.remove_reader(left)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_a_reader_leaves_the_loop(
    loop: Any, pair: Any, error: type[BaseException]
) -> None:
    left, right = pair

    def interrupt() -> None:
        left.recv(1)
        raise error

    loop.add_reader(left, interrupt)
    right.send(b"x")
    with pytest.raises(error):
        loop.run_forever()
    right.send(b"y")
    loop.add_reader(left, loop.stop)
    loop.run_forever()
    loop.remove_reader(left)


@pytest.mark.parametrize("bad", [-1, "socket", None, 1.5, object(), 10**10])
@pytest.mark.parametrize("method", ["add_reader", "add_writer", "remove_reader", "remove_writer"])
def test_what_is_no_descriptor(loop: Any, method: str, bad: Any) -> None:
    stock_loop = asyncio.SelectorEventLoop()
    arguments = (bad, print) if method.startswith("add") else (bad,)
    stock = outcome(getattr(stock_loop, method), *arguments)
    ours = outcome(getattr(loop, method), *arguments)
    stock_loop.close()
    assert ours[:2] == stock[:2]
    turn(loop)


def test_a_closed_descriptor_is_refused_with_an_os_error(loop: Any, pair: Any) -> None:
    # The loop's own descriptor is open by then, else it could get the number of the closed one.
    loop.add_reader(pair[0], print)
    loop.remove_reader(pair[0])
    read_end, write_end = os.pipe()
    os.close(read_end)
    os.close(write_end)
    with pytest.raises(OSError, match=r"Bad file descriptor"):
        loop.add_reader(read_end, print)
    turn(loop)


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
def test_a_nonsensical_descriptor_costs_nothing(loop: Any, method: str) -> None:
    def held() -> int:
        with open("/proc/self/statm") as numbers:
            return int(numbers.read().split()[1]) * 4096

    before = held()
    for fd in (50_000_000, 2**31 - 1):
        with pytest.raises(OSError, match="Bad file descriptor"):
            getattr(loop, method)(fd, print)
    assert held() - before < 10_000_000


@pytest.mark.native  # stock's selector raises nothing there: it knows only what it was told
@pytest.mark.parametrize("side", ["reader", "writer"])
def test_what_a_failed_change_has_forgotten_is_not_counted(loop: Any, side: str) -> None:
    one, other = socket.socketpair()
    with one, other:
        fd = os.dup(one.fileno())
        loop.add_reader(fd, print)
        loop.add_writer(fd, print)
        with open(os.devnull) as file:
            os.dup2(file.fileno(), fd)  # epoll takes no such file
        with contextlib.suppress(OSError):
            getattr(loop, f"remove_{side}")(fd)
        loop.remove_reader(fd)
        loop.remove_writer(fd)
        assert loop.metrics()["watched"] == 0
        os.close(fd)


def test_a_regular_file_is_refused_as_epoll_does(loop: Any) -> None:
    with tempfile.TemporaryFile() as file:
        with pytest.raises(PermissionError):
            loop.add_reader(file, print)
        turn(loop)
        assert loop.remove_reader(file) is False


def test_closed_behind_our_back(loop: Any) -> None:
    left, right = socket.socketpair()
    loop.add_reader(left, print)
    left.close()
    turn(loop, 3)
    right.close()
    turn(loop, 3)


def test_closed_and_reused(loop: Any, impl: Implementation) -> None:
    """The number of a closed descriptor comes back as another file: the new one must work."""
    if not impl.native:
        pytest.skip("a stock selector believes that the old file is still registered")
    seen: list[str] = []
    left, right = socket.socketpair()
    number = left.fileno()
    loop.add_reader(number, seen.append, "old")
    left.close()
    right.close()
    read_end, write_end = os.pipe()
    if read_end != number:
        os.dup2(read_end, number)
        os.close(read_end)
        read_end = number
    loop.add_reader(number, lambda: (seen.append("new"), loop.stop()))
    os.write(write_end, b"x")
    loop.run_forever()
    assert set(seen) == {"new"}
    assert loop.remove_reader(number) is True
    os.close(read_end)
    os.close(write_end)


def test_reused_without_telling(loop: Any) -> None:
    left, right = socket.socketpair()
    number = left.fileno()
    loop.add_reader(number, print)
    left.close()
    other_left, other_right = socket.socketpair()
    if other_left.fileno() != number:
        os.dup2(other_left.fileno(), number)
    loop.remove_reader(number)
    seen: list[str] = []
    loop.add_writer(number, lambda: (seen.append("writable"), loop.stop()))
    loop.run_forever()
    assert "writable" in seen
    loop.remove_writer(number)
    for sock in (right, other_left, other_right):
        sock.close()


def test_end_of_file_is_readable(loop: Any, pair: Any) -> None:
    left, right = pair
    right.close()
    loop.add_reader(left, loop.stop)
    loop.run_forever()
    assert left.recv(10) == b""
    loop.remove_reader(left)


def test_a_broken_pipe_is_writable(loop: Any) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    loop.add_writer(write_end, loop.stop)
    loop.run_forever()
    loop.remove_writer(write_end)
    os.close(write_end)


def test_removing_inside_the_callback_of_the_same_turn(loop: Any) -> None:
    first, second = os.pipe(), os.pipe()
    os.write(first[1], b"x")
    os.write(second[1], b"x")
    seen: list[str] = []

    def read(name: str, mine: int, other: int) -> None:
        seen.append(name)
        loop.remove_reader(other)
        os.close(other)
        loop.remove_reader(mine)

    loop.add_reader(first[0], read, "first", first[0], second[0])
    loop.add_reader(second[0], read, "second", second[0], first[0])
    turn(loop, 3)
    assert len(seen) == 1
    for descriptor in (first[0] if seen == ["first"] else second[0], first[1], second[1]):
        os.close(descriptor)


def test_many_descriptors(loop: Any) -> None:
    pairs = [socket.socketpair() for _ in range(200)]
    seen: set[int] = set()

    def read(index: int) -> None:
        pairs[index][0].recv(10)
        seen.add(index)
        if len(seen) == len(pairs):
            loop.stop()

    for index, (left, right) in enumerate(pairs):
        loop.add_reader(left, read, index)
        right.send(b"x")
    loop.run_forever()
    for left, right in pairs:
        assert loop.remove_reader(left) is True
        left.close()
        right.close()


def test_close_forgets_the_readers(impl: Implementation, pair: Any) -> None:
    left, _ = pair
    loop = impl.new_loop()
    loop.add_reader(left, print)
    loop.add_writer(left, print)
    loop.close()
    os.fstat(left.fileno())


def test_a_blocked_wait_notices_a_closed_descriptor_later(impl: Implementation) -> None:
    """Readers on descriptors of every kind, closed at random: neither abort nor hang."""
    out = check_script(
        """
        import contextlib, os, random, socket
        random.seed(5)
        loop = impl.new_loop()
        for round in range(300):
            kind = random.randrange(3)
            if kind == 0:
                ends = [s.detach() for s in socket.socketpair()]
            elif kind == 1:
                ends = list(os.pipe())
            else:
                ends = [os.eventfd(1), os.eventfd(0)]
            for end in ends:
                for add in (loop.add_reader, loop.add_writer):
                    with contextlib.suppress(OSError):
                        add(end, int)
            if random.random() < 0.5:
                loop.call_later(0.0001, loop.stop)
                loop.run_forever()
            for end in ends:
                if random.random() < 0.5:
                    with contextlib.suppress(OSError):  # stock raises for what was reused
                        loop.remove_reader(end)
                        loop.remove_writer(end)
                os.close(end)
        loop.close()
        print("ok")
        """,
        impl=impl.name,
    )
    assert out == "ok\n"

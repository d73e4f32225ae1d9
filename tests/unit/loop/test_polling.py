"""What adaptive polling promises: busy work starves neither descriptors, timers, nor threads.

Counted in turns and in work done, never in seconds: a loop that keeps itself busy for ever must see
a readable socket, a due timer, a thread's call and a signal after a bounded number of turns. How
many these are is a promise, too (docs/differences.md), and the loop's own count of polls holds it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Pair = tuple[socket.socket, socket.socket]

ENOUGH_TURNS = 20_000  # of a loop that never looks
TURNS_WATCHED = 16  # between two polls, where a descriptor is watched
TURNS_ALONE = 64  # where none is
CALLBACKS = 256  # in either case
TURNS_BEFORE_A_TIMER = 8
A_FEW = 4  # to begin, to hand on what was found, and to stop


class Busy:
    """Keeps the loop busy with one callback a turn, and gives up after too many."""

    def __init__(self, loop: Any, most: int = ENOUGH_TURNS) -> None:
        self.loop = loop
        self.most = most
        self.turns = 0
        self.ended = False

    def step(self) -> None:
        self.turns += 1
        if self.ended or self.turns >= self.most:
            self.loop.stop()
        else:
            self.loop.call_soon(self.step)

    def end(self, *_: object) -> None:
        self.ended = True

    def run(self) -> int:
        self.loop.call_soon(self.step)
        self.loop.run_forever()
        return self.turns


def test_descriptors_are_not_starved(loop: Any) -> None:
    left, right = socket.socketpair()
    busy = Busy(loop)
    right.send(b"x")
    loop.add_reader(left, busy.end)
    assert busy.run() <= TURNS_WATCHED + A_FEW
    assert busy.ended
    loop.remove_reader(left)
    left.close()
    right.close()


def test_a_descriptor_that_becomes_ready_during_the_run_is_seen(loop: Any) -> None:
    left, right = socket.socketpair()
    busy = Busy(loop)
    loop.add_reader(left, busy.end)
    loop.call_soon(lambda: loop.call_soon(right.send, b"x"))
    assert busy.run() <= TURNS_WATCHED + A_FEW
    assert busy.ended
    loop.remove_reader(left)
    left.close()
    right.close()


def test_a_due_timer_is_not_starved(loop: Any) -> None:
    busy = Busy(loop)
    loop.call_later(0, busy.end)
    assert busy.run() <= TURNS_BEFORE_A_TIMER + A_FEW
    assert busy.ended


def test_a_threads_call_ends_the_skipping(loop: Any) -> None:
    busy = Busy(loop)
    loop.call_soon_threadsafe(busy.end)
    assert busy.run() <= TURNS_ALONE + A_FEW
    assert busy.ended


def test_a_signal_ends_the_skipping(loop: Any) -> None:
    busy = Busy(loop)
    loop.add_signal_handler(signal.SIGUSR1, busy.end)
    try:
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        assert busy.run() <= TURNS_ALONE + A_FEW
        assert busy.ended
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)


def polls_of_a_chain(
    loop: Any, turns: int, work: Callable[[], object] = int, batch: int = 0
) -> list[int]:
    """How many turns each poll was followed by, the run's first and last poll left out."""
    polls: list[int] = []

    def link() -> None:
        polls.append(loop.metrics()["polls"])
        work()
        for _ in range(batch):
            loop.call_soon(int)
        if len(polls) < turns:
            loop.call_soon(link)
        else:
            loop.stop()

    loop.call_soon(link)
    loop.run_forever()
    return list(Counter(polls).values())[1:-1]


@pytest.mark.native
def test_turns_between_polls_with_nothing_watched(loop: Any) -> None:
    assert polls_of_a_chain(loop, 6 * TURNS_ALONE) == [TURNS_ALONE] * 4


@pytest.mark.native
def test_turns_between_polls_with_a_descriptor_watched(loop: Any, pair: Pair) -> None:
    """Fewer where the machine took more than 50 us for them: never more."""
    loop.add_reader(pair[0], int)
    assert max(polls_of_a_chain(loop, 20 * TURNS_WATCHED)) <= TURNS_WATCHED
    loop.remove_reader(pair[0])


@pytest.mark.native
@pytest.mark.parametrize("watched", [False, True])
def test_callbacks_between_polls(loop: Any, pair: Pair, watched: bool) -> None:
    """A poll comes after the batch in which the bound was reached, so a large one has its own."""
    if watched:
        loop.add_reader(pair[0], int)
    assert set(polls_of_a_chain(loop, 20, batch=CALLBACKS)) == {1}
    batches = set(polls_of_a_chain(loop, 30, batch=CALLBACKS // 4))
    assert max(batches) <= 4 if watched else batches == {4}
    loop.remove_reader(pair[0])


@pytest.mark.native
def test_time_between_polls_with_a_descriptor_watched(loop: Any, pair: Pair) -> None:
    def take_60_us() -> None:
        end = time.perf_counter_ns() + 60_000
        while time.perf_counter_ns() < end:
            pass

    loop.add_reader(pair[0], int)
    assert set(polls_of_a_chain(loop, 20, take_60_us)) == {1}
    loop.remove_reader(pair[0])


def test_many_busy_tasks_do_not_starve_a_socket(loop: Any) -> None:
    async def main() -> int:
        left, right = socket.socketpair()
        left.setblocking(False)
        stop, turns = False, 0

        async def spin() -> None:
            nonlocal turns
            while not stop and turns < ENOUGH_TURNS:
                turns += 1
                await asyncio.sleep(0)

        spinners = [asyncio.create_task(spin()) for _ in range(10)]
        arrived = loop.create_future()
        loop.add_reader(left, lambda: arrived.done() or arrived.set_result(left.recv(1)))
        right.send(b"x")
        assert await arrived == b"x"
        stop = True
        loop.remove_reader(left)
        left.close()
        right.close()
        await asyncio.gather(*spinners)
        return turns

    assert loop.run_until_complete(main()) < ENOUGH_TURNS


def test_a_thread_gets_the_gil_beside_a_busy_loop(loop: Any) -> None:
    """The interpreter is told never to switch by itself: only the loop's own release helps."""
    busy, handed = Busy(loop, most=10_000_000), []

    def work() -> None:
        for _ in range(20):
            time.sleep(0)
            handed.append(busy.turns)
        busy.end()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        busy.run()
        assert busy.ended, f"{len(handed)} hand-overs in {busy.turns} turns"
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert len(handed) == 20


def test_readiness_and_work_alternate(loop: Any) -> None:
    """A socket that is always ready does not starve callbacks, timers and tasks either."""
    left, right = socket.socketpair()
    right.send(b"x")
    reads = 0
    seen: list[str] = []

    def read() -> None:
        nonlocal reads
        reads += 1
        if reads >= ENOUGH_TURNS or len(seen) == 3:
            loop.stop()

    async def task() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append("task")

    loop.add_reader(left, read)
    loop.call_later(0.001, seen.append, "timer")
    loop.call_soon(seen.append, "callback")
    spawned = loop.create_task(task())
    loop.run_forever()
    assert sorted(seen) == ["callback", "task", "timer"]
    assert spawned.done()
    loop.remove_reader(left)
    left.close()
    right.close()


@pytest.mark.parametrize("watched", [0, 1])
def test_closing_and_reopening_of_runs_does_not_lose_events(loop: Any, watched: int) -> None:
    """An event that arrives between two runs is there in the next."""
    left, right = socket.socketpair()
    seen: list[int] = []
    loop.add_reader(left, lambda: (seen.append(len(left.recv(10))), loop.stop()))
    for number in range(50):
        right.send(b"x")
        if watched:
            loop.call_soon(lambda: None)
        loop.run_forever()
        assert len(seen) == number + 1
    loop.remove_reader(left)
    left.close()
    right.close()

"""Workloads of locks, events, conditions, semaphores, barriers and queues.

Names from asyncio are looked up when a workload runs (`asyncio.Queue`, not an alias): the contender
"bucle" uses stock ones from native tasks on its loop, "bucle+install" native ones, and the pairs
have native ones used by stock tasks on the stock loop. An operation is one pass through the
primitive; where tasks hand something to each other, it includes the switch between them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks.workload import Bench, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SYNC = Subject()


def run_tasks(bench: Bench, *makers: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Time a task for each coroutine function, until all have ended."""

    async def main() -> None:
        await asyncio.wait([bench.loop.create_task(make()) for make in makers])

    with bench.watch:
        bench.loop.run_until_complete(main())


@SYNC.workload("Queue ping-pong", size=5_000, pairs=True)
def queue_ping_pong(bench: Bench) -> None:
    """Pass one item to and fro between two tasks through two queues."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def ping() -> None:
        for number in range(bench.size // 2):
            await there.put(number)
            await back.get()

    async def pong() -> None:
        for _ in range(bench.size // 2):
            await back.put(await there.get())

    run_tasks(bench, ping, pong)


@SYNC.workload("Queue, 1 producer, 4 consumers", size=5_000, pairs=True)
def queue_consumers(bench: Bench) -> None:
    """Feed four consumers through a queue of a hundred."""
    queue: asyncio.Queue[int] = asyncio.Queue(100)

    async def produce() -> None:
        for number in range(bench.size // 4 * 4):
            await queue.put(number)

    async def consume() -> None:
        for _ in range(bench.size // 4):
            await queue.get()

    run_tasks(bench, produce, *[consume] * 4)


@SYNC.workload("Queue put + get, no waiting", size=10_000)
def queue_uncontended(bench: Bench) -> None:
    """Put and get by turns in one task, which never has to wait."""
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def both() -> None:
        for number in range(bench.size):
            await queue.put(number)
            await queue.get()

    run_tasks(bench, both)


@SYNC.workload("Queue put_nowait + get_nowait", size=10_000, pairs=True)
def queue_nowait(bench: Bench) -> None:
    """Put and get by turns without awaiting."""

    async def both() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        for number in range(bench.size):
            queue.put_nowait(number)
            queue.get_nowait()

    run_tasks(bench, both)


@SYNC.workload("PriorityQueue put_nowait + get_nowait", size=10_000)
def priority_queue_nowait(bench: Bench) -> None:
    """Keep sixty-four items in a heap, and replace them one by one."""

    async def both() -> None:
        queue: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        for number in range(64):
            queue.put_nowait(number)
        for number in range(bench.size):
            queue.put_nowait(number * 7919 % 64)
            queue.get_nowait()

    run_tasks(bench, both)


@SYNC.workload("Queue task_done + join", size=5_000)
def queue_join(bench: Bench) -> None:
    """Wait for a worker to finish ten items, again and again."""
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def work() -> None:
        for _ in range(bench.size // 10 * 10):
            await queue.get()
            queue.task_done()

    async def order() -> None:
        for _ in range(bench.size // 10):
            for number in range(10):
                queue.put_nowait(number)
            await queue.join()

    run_tasks(bench, work, order)


@SYNC.workload("Lock, uncontended", size=10_000, pairs=True)
def lock_uncontended(bench: Bench) -> None:
    """Enter and leave a lock that nobody else wants."""

    async def use() -> None:
        lock = asyncio.Lock()
        for _ in range(bench.size):
            async with lock:
                pass

    run_tasks(bench, use)


@SYNC.workload("Lock, 10 tasks", size=5_000, pairs=True)
def lock_contended(bench: Bench) -> None:
    """Hand a lock round among ten tasks, each of which keeps it for a turn."""
    lock = asyncio.Lock()

    async def use() -> None:
        for _ in range(bench.size // 10):
            async with lock:
                await asyncio.sleep(0)

    run_tasks(bench, *[use] * 10)


@SYNC.workload("Semaphore, uncontended", size=10_000)
def semaphore_uncontended(bench: Bench) -> None:
    """Enter and leave a semaphore that nobody else wants."""

    async def use() -> None:
        semaphore = asyncio.Semaphore(3)
        for _ in range(bench.size):
            async with semaphore:
                pass

    run_tasks(bench, use)


@SYNC.workload("Semaphore(3), 10 tasks", size=5_000)
def semaphore_contended(bench: Bench) -> None:
    """Let three of ten tasks at a time through, each for a turn."""
    semaphore = asyncio.Semaphore(3)

    async def use() -> None:
        for _ in range(bench.size // 10):
            async with semaphore:
                await asyncio.sleep(0)

    run_tasks(bench, *[use] * 10)


@SYNC.workload("Event ping-pong", size=5_000, pairs=True)
def event_ping_pong(bench: Bench) -> None:
    """Wake each other by two events."""
    there = asyncio.Event()
    back = asyncio.Event()

    async def ping() -> None:
        for _ in range(bench.size // 2):
            there.set()
            await back.wait()
            back.clear()

    async def pong() -> None:
        for _ in range(bench.size // 2):
            await there.wait()
            there.clear()
            back.set()

    run_tasks(bench, ping, pong)


@SYNC.workload("Event.wait, set already", size=10_000)
def event_set(bench: Bench) -> None:
    """Wait for what has happened already."""

    async def wait() -> None:
        event = asyncio.Event()
        event.set()
        for _ in range(bench.size):
            await event.wait()

    run_tasks(bench, wait)


@SYNC.workload("Event, 100 waiters", size=5_000)
def event_broadcast(bench: Bench) -> None:
    """Wake a hundred tasks at once."""
    rounds = max(1, bench.size // 100)
    gates = [asyncio.Event() for _ in range(rounds)]

    async def wait() -> None:
        for gate in gates:
            await gate.wait()

    async def open_all() -> None:
        for gate in gates:
            await asyncio.sleep(0)
            gate.set()

    run_tasks(bench, *[wait] * 100, open_all)


@SYNC.workload("Condition ping-pong", size=2_000)
def condition_ping_pong(bench: Bench) -> None:
    """Take turns in counting, by one condition."""
    condition = asyncio.Condition()
    count = 0

    async def play(parity: int) -> None:
        nonlocal count

        def my_turn() -> bool:
            return count % 2 == parity

        for _ in range(bench.size // 2):
            async with condition:
                await condition.wait_for(my_turn)
                count += 1
                condition.notify()

    run_tasks(bench, lambda: play(0), lambda: play(1))


@SYNC.workload("Barrier of 4", size=2_000)
def barrier(bench: Bench) -> None:
    """Meet at a barrier again and again; an operation is one task's passage."""
    meeting = asyncio.Barrier(4)

    async def pass_through() -> None:
        for _ in range(bench.size // 4):
            await meeting.wait()

    run_tasks(bench, *[pass_through] * 4)

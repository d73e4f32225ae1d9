"""Workloads that weigh: what one object takes, and one task that waits in something.

Two readings are taken of ten thousand of each: what Python's allocators gave out (tracemalloc), and
what is in use of the C heap, which includes what native code allocates by itself and what the
allocator adds. The sampling process has Python take all its memory from the C heap
(``PYTHONMALLOC=malloc``), so that the second reading misses nothing. Where the C library cannot be
asked, it is the first one again.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import tracemalloc
from typing import TYPE_CHECKING, Any

from benchmarks.workload import MEMORY, Bench, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

MEMORY_USE = Subject(MEMORY, {"PYTHONMALLOC": "malloc"})
MANY = 10_000


class _Mallinfo2(ctypes.Structure):
    # ten numbers, of which two are asked for: bytes in mapped blocks, and in all others
    _fields_ = [
        *[(f"unused_{number}", ctypes.c_size_t) for number in range(4)],
        ("hblkhd", ctypes.c_size_t),
        *[(f"unused_{number}", ctypes.c_size_t) for number in range(4, 6)],
        ("uordblks", ctypes.c_size_t),
        *[(f"unused_{number}", ctypes.c_size_t) for number in range(6, 8)],
    ]


def _heap_reader() -> Callable[[], int]:
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return traced
    mallinfo2.restype = _Mallinfo2

    def read() -> int:
        info = mallinfo2()
        return int(info.uordblks + info.hblkhd)

    return read


def traced() -> int:
    """Return the bytes that Python's allocators have given out since tracing began."""
    return tracemalloc.get_traced_memory()[0]


async def grown(make: Callable[[], Any], count: int, read: Callable[[], int]) -> int:
    """Return by how much a reading grows when so many are made.

    Tasks among them are let start, and ended afterwards.
    """
    kept: list[Any] = [None] * count
    gc.collect()
    before = read()
    for index in range(count):
        kept[index] = make()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    difference = read() - before
    tasks = [each for each in kept if isinstance(each, asyncio.Task)]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    return difference


def weigh_traced(loop: asyncio.AbstractEventLoop, make: Callable[[], Any], count: int) -> int:
    """Return the bytes that Python's allocators give out for so many."""
    tracemalloc.start()
    try:
        return loop.run_until_complete(grown(make, count, traced))
    finally:
        tracemalloc.stop()


def weigh(bench: Bench, make: Callable[[], Any]) -> None:
    """Weigh what a function makes by both readings."""
    heap = _heap_reader()
    if heap is not traced:
        bench.watch.cpu = bench.loop.run_until_complete(grown(make, bench.size, heap))
    bench.watch.wall = weigh_traced(bench.loop, make, bench.size)
    bench.watch.cpu = bench.watch.cpu or bench.watch.wall


def weigh_tasks(bench: Bench, wait: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Weigh tasks that wait in a coroutine."""
    weigh(bench, lambda: bench.loop.create_task(wait()))


@MEMORY_USE.workload("a Future", size=MANY)
def future(bench: Bench) -> None:
    """Weigh pending futures of the loop."""
    weigh(bench, bench.loop.create_future)


@MEMORY_USE.workload("a Queue", size=MANY)
def queue(bench: Bench) -> None:
    """Weigh empty queues."""
    weigh(bench, asyncio.Queue)


@MEMORY_USE.workload("an Event", size=MANY)
def event(bench: Bench) -> None:
    """Weigh events that nobody waits for."""
    weigh(bench, asyncio.Event)


@MEMORY_USE.workload("a Lock", size=MANY)
def lock(bench: Bench) -> None:
    """Weigh locks that nobody holds."""
    weigh(bench, asyncio.Lock)


@MEMORY_USE.workload("a Semaphore", size=MANY)
def semaphore(bench: Bench) -> None:
    """Weigh semaphores that nobody holds."""
    weigh(bench, asyncio.Semaphore)


@MEMORY_USE.workload("a timer", size=MANY)
def timer(bench: Bench) -> None:
    """Weigh handles of timers that are an hour away."""
    handles: list[asyncio.TimerHandle] = []

    def make() -> asyncio.TimerHandle:
        handle = bench.loop.call_later(3600.0, int)
        handles.append(handle)
        return handle

    try:
        weigh(bench, make)
    finally:
        for handle in handles:
            handle.cancel()


@MEMORY_USE.workload("a task that waits for a Future", size=MANY)
def task_in_future(bench: Bench) -> None:
    """Weigh tasks that await a future each."""

    async def wait() -> None:
        await bench.loop.create_future()

    weigh_tasks(bench, wait)


@MEMORY_USE.workload("a task in Queue.get", size=MANY)
def task_in_queue(bench: Bench) -> None:
    """Weigh tasks that wait for one queue."""
    empty: asyncio.Queue[None] = asyncio.Queue()

    async def wait() -> None:
        await empty.get()

    weigh_tasks(bench, wait)


@MEMORY_USE.workload("a task in Lock.acquire", size=MANY // 10)
def task_in_lock(bench: Bench) -> None:
    """Weigh tasks that wait for one lock; fewer, for each one that gives up looks at all."""
    held = asyncio.Lock()
    bench.loop.run_until_complete(held.acquire())

    async def wait() -> None:
        await held.acquire()

    weigh_tasks(bench, wait)


@MEMORY_USE.workload("a task in sleep", size=MANY)
def task_in_sleep(bench: Bench) -> None:
    """Weigh tasks that sleep for an hour."""

    async def wait() -> None:
        await asyncio.sleep(3600)

    weigh_tasks(bench, wait)

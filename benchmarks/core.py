"""Workloads of the core: callbacks, timers, tasks and futures; nothing that owns a socket.

Names from asyncio are looked up when a workload runs (``asyncio.sleep``, not an alias), so
that the contender which installs itself over asyncio is measured as a program would use it.
Sizes are chosen so that a batch takes asyncio between 5 and 50 milliseconds.
"""

from __future__ import annotations

import asyncio
import threading
import time
from _asyncio import Future as StockFuture
from typing import TYPE_CHECKING

from benchmarks.workload import Bench, Subject

if TYPE_CHECKING:
    from collections.abc import Callable

CORE = Subject()


def nothing(*_args: object) -> None:
    """Be the callback that costs least."""


async def noop() -> None:
    """Be the coroutine that costs least."""


def run_inside(bench: Bench, callback: Callable[[], None]) -> None:
    """Time a callback, and all that it leads to, in the running loop until that stops.

    What schedules work is itself run by the loop, as in programs; some loops are much slower
    when they are fed before they run.
    """
    with bench.watch:
        bench.loop.call_soon(callback)
        bench.loop.run_forever()


@CORE.workload("call_soon", size=10_000)
def call_soon(bench: Bench) -> None:
    """Queue a batch, which then runs."""
    loop = bench.loop

    def feed() -> None:
        for _ in range(bench.size):
            loop.call_soon(nothing)
        loop.call_soon(loop.stop)

    run_inside(bench, feed)


@CORE.workload("call_soon, 3 arguments", size=10_000)
def call_soon_args(bench: Bench) -> None:
    """Queue a batch of callbacks with three arguments, which then runs."""
    loop = bench.loop

    def feed() -> None:
        for _ in range(bench.size):
            loop.call_soon(nothing, 1, 2, 3)
        loop.call_soon(loop.stop)

    run_inside(bench, feed)


@CORE.workload("call_soon chain", size=10_000)
def call_soon_chain(bench: Bench) -> None:
    """Run callbacks of which each queues the next: one callback a turn."""
    loop = bench.loop
    left = bench.size

    def link() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(link)
        else:
            loop.stop()

    run_inside(bench, link)


@CORE.workload("schedule and cancel a timer", size=10_000)
def timer_cancel(bench: Bench) -> None:
    """Do what a timeout does that never fires; 1000 a turn, so that loops may tidy up."""
    loop = bench.loop
    chunk = 1000
    left = bench.size // chunk

    def schedule_chunk() -> None:
        nonlocal left
        for _ in range(chunk):
            loop.call_later(60.0, nothing).cancel()
        left -= 1
        if left:
            loop.call_soon(schedule_chunk)
        else:
            loop.stop()

    run_inside(bench, schedule_chunk)


@CORE.workload("fire timers", size=10_000)
def timers_fire(bench: Bench) -> None:
    """Fire timers scheduled out of order; all are due within a millisecond."""
    loop = bench.loop
    size = bench.size
    left = size

    def fired() -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.stop()

    delays = [(index * 7919 % size) * 1e-7 for index in range(size)]

    def feed() -> None:
        for delay in delays:
            loop.call_later(delay, fired)

    run_inside(bench, feed)


@CORE.workload("call_soon_threadsafe", size=20_000)
def call_soon_threadsafe(bench: Bench) -> None:
    """Pay for the wake-up alone: called from the loop's own thread."""
    loop = bench.loop

    def feed() -> None:
        for _ in range(bench.size):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(loop.stop)

    run_inside(bench, feed)


@CORE.workload("call_soon_threadsafe from a thread", size=2_000)
def call_soon_threadsafe_foreign(bench: Bench) -> None:
    """Feed a running loop from another thread until all has arrived."""
    loop = bench.loop
    size = bench.size

    def feed() -> None:
        for _ in range(size):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=feed)
    run_inside(bench, thread.start)
    thread.join()


@CORE.workload("sleep(0)", size=5_000, pairs=True)
def sleep_zero(bench: Bench) -> None:
    """Step one task again and again."""

    async def sleeper() -> None:
        for _ in range(bench.size):
            await asyncio.sleep(0)

    with bench.watch:
        bench.loop.run_until_complete(sleeper())


@CORE.workload("sleep(0) in 100 tasks", size=10_000)
def sleep_zero_100(bench: Bench) -> None:
    """Step 100 tasks in turn."""

    async def sleeper() -> None:
        for _ in range(bench.size // 100):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.wait([bench.loop.create_task(sleeper()) for _ in range(100)])

    with bench.watch:
        bench.loop.run_until_complete(main())


@CORE.workload("asyncio.create_task + await", size=5_000, pairs=True)
def create_task(bench: Bench) -> None:
    """Make a task by asyncio's function and await it."""

    async def main() -> None:
        for _ in range(bench.size):
            await asyncio.create_task(noop())

    with bench.watch:
        bench.loop.run_until_complete(main())


@CORE.workload("loop.create_task + await", size=5_000)
def loop_create_task(bench: Bench) -> None:
    """Make a task by the loop's method and await it."""
    loop = bench.loop

    async def main() -> None:
        for _ in range(bench.size):
            await loop.create_task(noop())

    with bench.watch:
        loop.run_until_complete(main())


@CORE.workload("gather of 1000", size=5_000, pairs=True)
def gather_1000(bench: Bench) -> None:
    """Gather a thousand coroutines that finish at once."""

    async def main() -> None:
        for _ in range(bench.size // 1000):
            await asyncio.gather(*[noop() for _ in range(1000)])

    with bench.watch:
        bench.loop.run_until_complete(main())


@CORE.workload("future woken by call_soon", size=5_000, pairs=True)
def future_wakeup(bench: Bench) -> None:
    """Await a future that a callback resolves."""
    loop = bench.loop

    async def main() -> None:
        for _ in range(bench.size):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await future

    with bench.watch:
        loop.run_until_complete(main())


@CORE.workload("asyncio.run(noop)", size=20)
def run_noop(bench: Bench) -> None:
    """Do what asyncio.run does: make a loop, run an empty coroutine, close the loop."""
    with bench.watch:
        for _ in range(bench.size):
            with asyncio.Runner(loop_factory=bench.make_loop) as runner:
                runner.run(noop())


@CORE.workload("run_until_complete(noop)", size=200)
def run_until_complete_noop(bench: Bench) -> None:
    """Enter and leave one loop."""
    loop = bench.loop
    with bench.watch:
        for _ in range(bench.size):
            loop.run_until_complete(noop())


@CORE.workload("GIL hand-over beside a busy loop", size=200)
def gil_handover(bench: Bench) -> None:
    """Give up the GIL in a thread and want it back, while the loop does sleep(0)."""
    finished = False

    def worker() -> None:
        nonlocal finished
        with bench.watch:
            for _ in range(bench.size):
                time.sleep(0)
        finished = True

    async def main() -> None:
        thread = threading.Thread(target=worker)
        thread.start()
        while not finished:
            await asyncio.sleep(0)
        thread.join()

    bench.loop.run_until_complete(main())


@CORE.workload("isinstance(x, asyncio.Future)", size=20_000)
def isinstance_future(bench: Bench) -> None:
    """Ask for a future of the loop, a stock future and something else."""
    ours = bench.loop.create_future()
    stock: asyncio.Future[None] = StockFuture(loop=bench.loop)
    other = object()
    with bench.watch:
        for _ in range(bench.size // 4):
            isinstance(ours, asyncio.Future)
            isinstance(stock, asyncio.Future)
            isinstance(other, asyncio.Future)
            isinstance(other, asyncio.Task)

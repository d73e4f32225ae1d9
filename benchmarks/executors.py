"""Workloads of threads beside a loop: executors, and coroutines and callbacks from other threads.

What runs in the threads is next to nothing, so that the hand-over there and back is measured. The
first call of a batch is made outside the watch: it starts the executor's first thread.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from benchmarks.core import CORE, noop, nothing, run_inside
from benchmarks.workload import Bench, Subject

if TYPE_CHECKING:
    from collections.abc import Coroutine

EXECUTORS = Subject()
EXECUTORS.take(CORE, "call_soon_threadsafe", "call_soon_threadsafe_foreign")


def run_warm(bench: Bench, main: Coroutine[object, object, None]) -> None:
    """Time a coroutine on a loop whose executor has a thread already."""
    loop = bench.loop
    loop.run_until_complete(loop.run_in_executor(None, nothing))
    with bench.watch:
        loop.run_until_complete(main)


@EXECUTORS.workload("run_in_executor", size=200)
def run_in_executor(bench: Bench) -> None:
    """Have a thread of the default executor do nothing, one call at a time."""
    loop = bench.loop

    async def main() -> None:
        for _ in range(bench.size):
            await loop.run_in_executor(None, nothing)

    run_warm(bench, main())


@EXECUTORS.workload("run_in_executor, 100 at once", size=1_000)
def run_in_executor_100(bench: Bench) -> None:
    """Have the default executor do nothing a hundred times, and gather that."""
    loop = bench.loop

    async def main() -> None:
        for _ in range(bench.size // 100):
            await asyncio.gather(*[loop.run_in_executor(None, nothing) for _ in range(100)])

    run_warm(bench, main())


@EXECUTORS.workload("to_thread", size=200)
def to_thread(bench: Bench) -> None:
    """Do nothing in a thread by asyncio's function, one call at a time."""

    async def main() -> None:
        for _ in range(bench.size):
            await asyncio.to_thread(nothing)

    run_warm(bench, main())


@EXECUTORS.workload("run_coroutine_threadsafe", size=200)
def run_coroutine_threadsafe(bench: Bench) -> None:
    """Run coroutines from another thread, which waits for each."""
    loop = bench.loop

    def feed() -> None:
        for _ in range(bench.size):
            asyncio.run_coroutine_threadsafe(noop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=feed)
    run_inside(bench, thread.start)
    thread.join()


@EXECUTORS.workload("run_coroutine_threadsafe, 100 at once", size=1_000)
def run_coroutine_threadsafe_100(bench: Bench) -> None:
    """Run a hundred coroutines from another thread, which waits for the last of them."""
    loop = bench.loop

    def feed() -> None:
        for _ in range(bench.size // 100):
            for future in [asyncio.run_coroutine_threadsafe(noop(), loop) for _ in range(100)]:
                future.result()
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=feed)
    run_inside(bench, thread.start)
    thread.join()


@EXECUTORS.workload("call_soon_threadsafe from four threads", size=4_000)
def call_soon_threadsafe_four(bench: Bench) -> None:
    """Feed a running loop from four threads at once until all has arrived."""
    loop = bench.loop
    share = bench.size // 4
    feeding = 4

    def fed() -> None:
        nonlocal feeding
        feeding -= 1
        if not feeding:
            loop.stop()

    def feed() -> None:
        for _ in range(share):
            loop.call_soon_threadsafe(nothing)
        loop.call_soon_threadsafe(fed)

    threads = [threading.Thread(target=feed) for _ in range(feeding)]

    def start() -> None:
        for thread in threads:
            thread.start()

    run_inside(bench, start)
    for thread in threads:
        thread.join()

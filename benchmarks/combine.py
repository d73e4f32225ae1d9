"""Workloads of what waits for others: sleep, gather, wait, timeouts, shields and groups.

As in the core, names from asyncio are looked up when a workload runs. The awaited coroutines take
one turn or none, so that what is measured is the combination and not what is combined.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks.core import CORE, noop
from benchmarks.workload import Bench, Subject

if TYPE_CHECKING:
    from collections.abc import Coroutine

COMBINE = Subject()
COMBINE.take(CORE, "sleep_zero", "sleep_zero_100", "create_task", "gather_1000")


async def one_turn() -> None:
    """Be the coroutine that is not done at once."""
    await asyncio.sleep(0)


def run_main(bench: Bench, main: Coroutine[Any, Any, None]) -> None:
    """Time a coroutine to its end."""
    with bench.watch:
        bench.loop.run_until_complete(main)


@COMBINE.workload("ensure_future + await", size=5_000)
def ensure_future(bench: Bench) -> None:
    """Make a task of a coroutine and await it."""

    async def main() -> None:
        for _ in range(bench.size):
            await asyncio.ensure_future(noop())

    run_main(bench, main())


@COMBINE.workload("gather of 2", size=2_000, pairs=True)
def gather_2(bench: Bench) -> None:
    """Gather two coroutines of one turn."""

    async def main() -> None:
        for _ in range(bench.size):
            await asyncio.gather(one_turn(), one_turn())

    run_main(bench, main())


@COMBINE.workload("TaskGroup of 100", size=5_000, pairs=True)
def task_group_100(bench: Bench) -> None:
    """Run a hundred coroutines in a group; an operation is one of them."""

    async def main() -> None:
        for _ in range(bench.size // 100):
            async with asyncio.TaskGroup() as group:
                for _ in range(100):
                    group.create_task(noop())

    run_main(bench, main())


@COMBINE.workload("wait_for a coroutine of one turn", size=2_000, pairs=True)
def wait_for_coroutine(bench: Bench) -> None:
    """Give a coroutine a minute that it does not need."""

    async def main() -> None:
        for _ in range(bench.size):
            await asyncio.wait_for(one_turn(), 60.0)

    run_main(bench, main())


@COMBINE.workload("wait_for a future", size=2_000, pairs=True)
def wait_for_future(bench: Bench) -> None:
    """Give a future a minute; a callback resolves it in the next turn."""
    loop = bench.loop

    async def main() -> None:
        for _ in range(bench.size):
            future = loop.create_future()
            loop.call_soon(future.set_result, None)
            await asyncio.wait_for(future, 60.0)

    run_main(bench, main())


@COMBINE.workload("timeout(60) around sleep(0)", size=2_000, pairs=True)
def timeout(bench: Bench) -> None:
    """Enter and leave a timeout that never comes."""

    async def main() -> None:
        for _ in range(bench.size):
            async with asyncio.timeout(60.0):
                await asyncio.sleep(0)

    run_main(bench, main())


@COMBINE.workload("timeout that comes", size=1_000)
def timeout_expires(bench: Bench) -> None:
    """Cancel what takes too long, and turn that into a TimeoutError."""

    async def main() -> None:
        for _ in range(bench.size):
            try:
                async with asyncio.timeout(0):
                    await asyncio.sleep(60)
            except TimeoutError:
                pass

    run_main(bench, main())


@COMBINE.workload("shield a task", size=2_000)
def shield(bench: Bench) -> None:
    """Await a task of one turn through a shield."""

    async def main() -> None:
        for _ in range(bench.size):
            await asyncio.shield(one_turn())

    run_main(bench, main())


@COMBINE.workload("as_completed of 100", size=5_000)
def as_completed_100(bench: Bench) -> None:
    """Take the results of a hundred coroutines as they come; an operation is one of them."""

    async def main() -> None:
        for _ in range(bench.size // 100):
            for each in asyncio.as_completed([noop() for _ in range(100)]):
                await each

    run_main(bench, main())


@COMBINE.workload("wait for 100 tasks", size=5_000)
def wait_100(bench: Bench) -> None:
    """Wait for a hundred tasks; an operation is one of them."""
    loop = bench.loop

    async def main() -> None:
        for _ in range(bench.size // 100):
            await asyncio.wait([loop.create_task(noop()) for _ in range(100)])

    run_main(bench, main())


@COMBINE.workload("wait for the first of 2", size=1_000)
def wait_first(bench: Bench) -> None:
    """Race a task against one that never ends, as a reader against a stop signal."""
    loop = bench.loop

    async def main() -> None:
        stopped = loop.create_task(asyncio.sleep(3600))
        for _ in range(bench.size):
            task = loop.create_task(one_turn())
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await asyncio.wait([stopped])

    run_main(bench, main())


@COMBINE.workload("sleep in 1000 tasks", size=1_000)
def sleep_1000(bench: Bench) -> None:
    """Let tasks sleep for up to a millisecond each, all at the same time."""
    loop = bench.loop
    size = bench.size

    async def main() -> None:
        delays = [(index * 7919 % size + 1) * 1e-6 for index in range(size)]
        await asyncio.wait([loop.create_task(asyncio.sleep(delay)) for delay in delays])

    run_main(bench, main())

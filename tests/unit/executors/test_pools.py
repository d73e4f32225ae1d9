"""Executors of other kinds under a running loop: processes by each way of starting, interpreters.

Each worker runs loops of its own, which share nothing with the one that waits for it.
"""

from __future__ import annotations

import concurrent.futures
from typing import Any

import pytest

from tests.support import Implementation, check_script

METHODS = ("fork", "forkserver", "spawn")
# A fork beside threads warns on 3.12 and later; the pool's own fork does as well.
OPTIONS = ("-W", "ignore::DeprecationWarning")

BEGIN = """
    import asyncio, concurrent.futures, multiprocessing, os, sys
    from tests.unit.executors import work
    method = sys.argv[1]

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    def pool(workers=2):
        context = multiprocessing.get_context(method)
        return concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)

    def run(main):
        loop = impl.new_loop()
        try:
            return loop.run_until_complete(main(loop))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
"""


def check(source: str, method: str, impl: Implementation, **options: Any) -> str:
    begin = "if __name__ == '__main__':\n"
    return check_script(
        begin + BEGIN + source, method, impl=impl.name, options=OPTIONS, timeout=60, **options
    )


@pytest.mark.parametrize("method", METHODS)
def test_processes(impl: Implementation, method: str) -> None:
    """Results, exceptions, and loops in the workers."""
    out = check(
        """
    async def main(loop):
        with pool() as executor:
            numbers = [loop.run_in_executor(executor, work.add, n, 1) for n in range(20)]
            print(await asyncio.gather(*numbers))
            try:
                await loop.run_in_executor(executor, work.fail, "there")
            except ValueError as error:
                print(repr(error), type(error.__cause__).__name__)
            loops = [loop.run_in_executor(executor, work.run_loops, impl.name, n) for n in (0, 10)]
            print(await asyncio.gather(*loops))
            await asyncio.sleep(0.001)
    run(main)
    """,
        method,
        impl,
    )
    found = [[(True, first + number + 1) for number in range(3)] for first in (0, 10)]
    assert out == f"{list(range(1, 21))}\nValueError('there') _RemoteTraceback\n{found}\n"


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_dies(impl: Implementation, method: str) -> None:
    out = check(
        """
    async def main(loop):
        with pool(1) as executor:
            waiting = [loop.run_in_executor(executor, work.end, 3)]
            waiting += [loop.run_in_executor(executor, work.add, 1, n) for n in range(3)]
            done = await asyncio.gather(*waiting, return_exceptions=True)
            print({type(error).__name__ for error in done})
            try:
                await loop.run_in_executor(executor, work.add, 1, 2)
            except concurrent.futures.BrokenExecutor as error:
                print(type(error).__name__)
    run(main)
    """,
        method,
        impl,
    )
    assert out == "{'BrokenProcessPool'}\nBrokenProcessPool\n"


def test_cancelled_work_is_not_begun(impl: Implementation) -> None:
    out = check(
        """
    async def main(loop):
        with pool(1) as executor:
            busy = loop.run_in_executor(executor, work.run_loops, impl.name, 0)
            # The pool marks what it has handed to its queue as running.
            waiting = [loop.run_in_executor(executor, work.add, 1, n) for n in range(20)]
            waiting[-1].cancel()
            done = await asyncio.gather(busy, *waiting, return_exceptions=True)
            print(done[1:-1], type(done[-1]).__name__)
    run(main)
    """,
        "fork",
        impl,
    )
    assert out == f"{list(range(1, 20))} CancelledError\n"


def test_no_descriptor_is_left(impl: Implementation) -> None:
    out = check(
        """
    async def once(loop):
        with pool(1) as executor:
            await loop.run_in_executor(executor, work.run_loop, impl.name, 1)
    run(once)
    before = descriptors()
    for _ in range(3):
        run(once)
    print(descriptors() - before)
    """,
        "fork",
        impl,
    )
    assert out == "0\n"


@pytest.mark.skipif(
    not hasattr(concurrent.futures, "InterpreterPoolExecutor"), reason="came with 3.14"
)
def test_interpreters(impl: Implementation) -> None:
    out = check(
        """
    async def main(loop):
        with concurrent.futures.InterpreterPoolExecutor(2) as executor:
            numbers = [loop.run_in_executor(executor, work.add, n, 1) for n in range(20)]
            print(await asyncio.gather(*numbers))
            try:
                await loop.run_in_executor(executor, work.fail, "there")
            except ValueError as error:
                print(repr(error))
            loops = [loop.run_in_executor(executor, work.run_loops, impl.name, n) for n in (0, 10)]
            print([list(map(tuple, found)) for found in await asyncio.gather(*loops)])
            await asyncio.sleep(0.001)
    run(main)
    """,
        "none",
        impl,
    )
    found = [[(True, first + number + 1) for number in range(3)] for first in (0, 10)]
    assert out == f"{list(range(1, 21))}\nValueError('there')\n{found}\n"

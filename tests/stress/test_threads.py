"""Threads and loops under a storm: no outcome is lost, none comes twice, nothing is left."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections import Counter
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.stress.test_leaks import growth, objects_by_type, open_descriptors
from tests.support import World, collect

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stress


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_in_both_directions(world: World, seed: int) -> None:
    """Work for an executor, coroutines from other threads, given up at any time by either side."""
    loop, api = world.loop, world.api
    count = Counter[str]()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    async def coroutine(number: int, delay: float) -> int:
        await asyncio.sleep(delay)
        return number

    def from_outside(own: random.Random) -> None:
        for number in range(300):
            future = api.run_coroutine_threadsafe(coroutine(number, own.choice([0, 1e-4])), loop)
            if own.random() < 0.3:
                future.cancel()
            try:
                assert future.result(30) == number
                count["done outside"] += 1
            except CancelledError:
                count["cancelled outside"] += 1

    async def to_executor(executor: ThreadPoolExecutor, own: random.Random) -> None:
        for number in range(300):
            future = loop.run_in_executor(executor, lambda n=number: n)
            if own.random() < 0.3:
                if own.random() < 0.5:
                    await asyncio.sleep(0)
                future.cancel()
            try:
                assert await future == number
                count["done inside"] += 1
            except asyncio.CancelledError:
                count["cancelled inside"] += 1

    async def main() -> None:
        with ThreadPoolExecutor(3) as executor, ThreadPoolExecutor(4) as feeders:
            feeding = [
                loop.run_in_executor(feeders, from_outside, random.Random(seed * 10 + n))
                for n in range(4)
            ]
            asking = [
                world.task(to_executor(executor, random.Random(seed * 10 + n))) for n in range(4)
            ]
            await asyncio.wait_for(asyncio.gather(*feeding, *asking), 60)

    try:
        world.run(main())
    finally:
        sys.setswitchinterval(interval)
    assert count["done outside"] + count["cancelled outside"] == 1200
    assert count["done inside"] + count["cancelled inside"] == 1200
    assert min(count.values()) > 50


def test_loops_that_are_closed_under_fire(world: World) -> None:
    """Outcomes that come before, while and after their loop is closed."""
    made = world.loops.new_loop
    with ThreadPoolExecutor(2) as executor:
        for number in range(300):
            loop = made()
            sources: list[Any] = [Future() for _ in range(10)]
            for source in sources:
                world.api.wrap_future(source, loop=loop)
            fire = [executor.submit(source.set_result, number) for source in sources]
            if number % 2:
                loop.call_soon(loop.stop)
                loop.run_forever()
            loop.close()
            for shot in fire:
                # asyncio asks whether a loop is closed and then calls it: it may be by then
                assert shot.result(10) is None


CASES: dict[str, Callable[[World], None]] = {}


def case(function: Callable[[World], None]) -> Callable[[World], None]:
    CASES[function.__name__] = function
    return function


@case
def outcomes(world: World) -> None:
    async def main() -> None:
        given: list[Any] = [Future() for _ in range(5)]
        wrapped = [world.api.wrap_future(source) for source in given]
        given[0].set_result(object())
        given[1].set_exception(ValueError())
        given[2].cancel()
        wrapped[3].cancel()
        await asyncio.gather(*wrapped[:4], return_exceptions=True)

    world.run(main())


@case
def executor(world: World) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            done = [world.loop.run_in_executor(pool, abs, -n) for n in range(3)]
            done.append(world.loop.run_in_executor(pool, int, "x"))
            done[0].cancel()
            await asyncio.gather(*done, return_exceptions=True)

    world.run(main())


@case
def threadsafe(world: World) -> None:
    async def main() -> None:
        loop, submit = world.loop, world.api.run_coroutine_threadsafe
        futures: list[Any] = []
        threads = [
            threading.Thread(target=lambda: futures.append(submit(asyncio.sleep(0), loop))),
            threading.Thread(target=lambda: futures.append(submit(asyncio.sleep(9), loop))),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for future in futures:
            future.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    world.run(main())
    world.turn(3)


@case
def nested(world: World) -> None:
    loop = world.loop
    if not world.loops.native:
        return
    bucle.allow_nesting(loop)

    async def inner(fails: bool) -> int:
        await asyncio.sleep(0)
        return 1 // (not fails)

    async def main() -> None:
        for fails in (False, True):
            try:
                loop.run_until_complete(inner(fails))
            except ZeroDivisionError:
                pass

    world.run(main())


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left(world: World, name: str) -> None:
    def act() -> None:
        CASES[name](world)

    for _ in range(5):
        act()
    collect()
    descriptors = open_descriptors()
    assert growth(act, objects_by_type, 60) == {}
    assert open_descriptors() <= descriptors

"""as_completed: the order of ends, timeouts, awaitings that are given up."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from tests.support import World, collect

from .names import same_as_stock, turns


async def after(trace: list[Any], name: Any, count: int, error: Any = None) -> Any:
    for _ in range(count):
        await asyncio.sleep(0)
    trace.append(f"end {name}")
    if error is not None:
        raise error
    return name


def is_async() -> bool:
    return not inspect.isgeneratorfunction(asyncio.as_completed)


async def in_order_of_ends(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    tasks = [world.task(after(trace, n, 9 - 2 * n)) for n in range(5)]
    for each in names.as_completed(tasks):
        trace.append(await each)
    await clock


async def errors(names: Any, world: World, trace: list[Any]) -> Any:
    tasks = [world.task(after(trace, n, n, ValueError(n))) for n in range(3)]
    for each in names.as_completed(tasks):
        try:
            await each
        except ValueError as error:
            trace.append(error.args)


async def coroutines_and_duplicates(names: Any, world: World, trace: list[Any]) -> Any:
    coro = after(trace, "c", 1)
    found = [await each for each in names.as_completed([coro, coro, world.task(coro_of(2))])]
    return sorted(map(str, found))


async def coro_of(value: Any) -> Any:
    return value


async def nothing(names: Any, world: World, trace: list[Any]) -> Any:
    return list(names.as_completed([]))


async def timed_out(names: Any, world: World, trace: list[Any]) -> Any:
    futures = [world.future() for _ in range(3)]
    futures[1].set_result("in time")
    for each in names.as_completed(futures, timeout=0.01):
        try:
            trace.append(await each)
        except TimeoutError as error:
            trace.append(error.args)
    return [future._callbacks or [] for future in futures]


async def in_time(names: Any, world: World, trace: list[Any]) -> Any:
    return [await each for each in names.as_completed([world.task(coro_of(1))], timeout=60)]


async def awaited_out_of_order(names: Any, world: World, trace: list[Any]) -> Any:
    futures = [world.future() for _ in range(3)]
    waits = list(names.as_completed(futures))
    tasks = [world.task(wait) for wait in waits]
    await asyncio.sleep(0)
    for number in (2, 0, 1):
        futures[number].set_result(number)
        await asyncio.sleep(0)
    return [await task for task in tasks]


async def given_up(names: Any, world: World, trace: list[Any]) -> Any:
    futures = [world.future() for _ in range(2)]
    waits = names.as_completed(futures)
    first = world.task(next(waits))
    second = world.task(next(waits))
    await asyncio.sleep(0)
    first.cancel()
    futures[0].set_result("a")
    trace.append(await second)
    try:
        await first
    except asyncio.CancelledError:
        trace.append("cancelled")
    futures[1].set_result("b")
    for each in waits:
        trace.append(await each)


async def cancelled_after_its_turn_came(names: Any, world: World, trace: list[Any]) -> Any:
    futures = [world.future() for _ in range(2)]
    waits = names.as_completed(futures)
    first, second = world.task(next(waits)), world.task(next(waits))
    await asyncio.sleep(0)
    futures[0].set_result("a")
    await asyncio.sleep(0)
    first.cancel()
    trace.append(await second if not first.done() else "too late")
    futures[1].set_result("b")
    second.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [first.cancelled(), second.cancelled()]


async def async_iteration(names: Any, world: World, trace: list[Any]) -> Any:
    if not is_async():
        return
    clock = world.task(turns(trace))
    tasks = [world.task(after(trace, n, 7 - 2 * n), name=str(n)) for n in range(4)]
    async for task in names.as_completed(tasks):
        trace.append((task.get_name(), task in tasks, task.done()))
    waits = names.as_completed([world.future()], timeout=0.01)
    try:
        async for _ in waits:
            trace.append("impossible")
    except TimeoutError:
        trace.append("timeout")
    async for _ in waits:
        trace.append("impossible")
    await clock


async def refused(names: Any, world: World, trace: list[Any]) -> Any:
    coro = coro_of(1)
    future = world.future()
    for bad in (coro, future, 3, [3]):
        try:
            list(names.as_completed(bad))
        except Exception as error:
            trace.append((type(error).__name__, error.args))
    coro.close()


@pytest.mark.parametrize(
    "scenario",
    [
        in_order_of_ends,
        errors,
        coroutines_and_duplicates,
        nothing,
        timed_out,
        in_time,
        awaited_out_of_order,
        given_up,
        cancelled_after_its_turn_came,
        async_iteration,
        refused,
    ],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_as_stock(scenario: Any, debug: bool, world: World) -> None:
    same_as_stock(scenario, world, lambda each: each.loop.set_debug(debug))


def test_a_generator_where_asyncio_has_one(world: World) -> None:
    names = world.api

    async def main() -> None:
        waits = names.as_completed([world.future()])
        assert inspect.isgenerator(waits) != is_async()
        assert hasattr(waits, "__anext__") == is_async()
        assert iter(waits) is waits
        next(waits).close()
        with pytest.raises(StopIteration):
            next(waits)
        if not is_async():
            names.as_completed(3)  # not looked at before it is iterated

    world.run(main())


def test_dropped_early(world: World) -> None:
    names = world.api

    async def main() -> None:
        tasks = [world.task(coro_of(n)) for n in range(3)]
        for each in names.as_completed(tasks):
            await each
            break
        await asyncio.gather(*tasks)

    world.run(main())
    collect()
    assert world.take_errors() == []


def test_awaited_by(world: World) -> None:
    if not hasattr(asyncio, "capture_call_graph"):
        pytest.skip("no graph of awaits before 3.14")
    names = world.api

    async def main() -> None:
        me = names.current_task()
        for timeout in (None, 0.005):
            futures = [world.future() for _ in range(2)]
            waits = names.as_completed(futures, timeout=timeout)
            assert [each._asyncio_awaited_by for each in futures] == [frozenset({me})] * 2
            futures[0].set_result(1)
            await next(waits)
            assert not futures[0]._asyncio_awaited_by
            if timeout is None:
                futures[1].set_result(1)
                await next(waits)
            else:
                with pytest.raises(TimeoutError):
                    await next(waits)
            assert not futures[1]._asyncio_awaited_by

    world.run(main())


def test_a_loop_whose_timers_have_no_handles(world: World) -> None:
    call_later = world.loop.call_later

    def nothing(*args: Any) -> None:
        call_later(*args)

    async def main() -> Any:
        first, never = world.future(), world.future()
        call_later(0.001, first.set_result, 1)
        assert [await each for each in world.api.as_completed([first], timeout=60)] == [1]
        with pytest.raises(TimeoutError):
            for each in world.api.as_completed([never], timeout=0.001):
                await each

    world.loop.call_later = nothing
    world.run(main())


def test_many_wait_in_line(world: World) -> None:
    many = 20_000

    async def main() -> list[int]:
        futures = [world.future() for _ in range(many)]

        async def take(waits: Any) -> None:
            taken.append(await waits)

        taken: list[int] = []
        takers = [world.task(take(each)) for each in world.api.as_completed(futures)]
        await asyncio.sleep(0)
        for number, future in enumerate(futures):
            future.set_result(number)
        await asyncio.wait(takers)
        return taken

    assert world.run(main()) == list(range(many))

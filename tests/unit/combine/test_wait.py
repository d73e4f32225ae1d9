"""wait: what it refuses, when it returns, what it leaves behind when it is cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support import World, collect

from .names import described, same_as_stock, turns


async def after(trace: list[Any], name: str, count: int, error: Any = None) -> str:
    for _ in range(count):
        await asyncio.sleep(0)
    trace.append(name)
    if error is not None:
        raise error
    return name


def shown(pair: Any) -> Any:
    return [sorted(task.get_name() for task in tasks) for tasks in pair]


def make(world: World, trace: list[Any], **counts: int) -> list[Any]:
    return [world.task(after(trace, name, count), name=name) for name, count in counts.items()]


async def all_completed(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    trace.append(shown(await names.wait(make(world, trace, a=3, b=1, c=5))))
    trace.append("waited")
    await clock


async def first_completed(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    tasks = make(world, trace, a=3, b=1, c=5)
    trace.append(shown(await names.wait(tasks, return_when="FIRST_COMPLETED")))
    await clock


async def first_exception(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    tasks = make(world, trace, a=3, b=1, c=7)
    tasks.append(world.task(after(trace, "x", 4, ValueError("x")), name="x"))
    tasks[1].cancel()
    trace.append(shown(await names.wait(tasks, return_when="FIRST_EXCEPTION")))
    await clock


async def done_already(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    tasks = make(world, trace, a=0, b=0)
    await tasks[0]
    await tasks[1]
    trace.append(shown(await names.wait(tasks)))
    trace.append(shown(await names.wait(iter(tasks), timeout=0)))
    await clock


async def timed_out(names: Any, world: World, trace: list[Any]) -> Any:
    future = world.future()
    task = world.task(after(trace, "a", 1), name="a")
    done, pending = await names.wait({future, task}, timeout=0.01)
    assert (done, pending) == ({task}, {future})
    assert not future._callbacks
    return "timed out"


async def cancelled(names: Any, world: World, trace: list[Any]) -> Any:
    futures = [world.future() for _ in range(3)]
    task = world.task(names.wait(futures, timeout=60))
    await asyncio.sleep(0)
    trace.append([len(future._callbacks) for future in futures])
    task.cancel("why")
    try:
        await task
    except asyncio.CancelledError as error:
        trace.append(described(error))
    return [future._callbacks for future in futures]


async def refused(names: Any, world: World, trace: list[Any]) -> Any:
    coro = after(trace, "never", 0)
    future = world.future()
    for arguments in (
        (coro,),
        (future,),
        ([],),
        (set(),),
        ([coro],),
        (iter([]),),
        (3,),
        ([3],),
    ):
        try:
            await names.wait(*arguments)
        except Exception as error:
            trace.append((type(error).__name__, error.args))
    for bad in (None, "x", 4):
        try:
            await names.wait([future], return_when=bad)
        except ValueError as error:
            trace.append(error.args)
    coro.close()


@pytest.mark.parametrize(
    "scenario",
    [
        all_completed,
        first_completed,
        first_exception,
        done_already,
        timed_out,
        cancelled,
        refused,
    ],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_as_stock(scenario: Any, debug: bool, world: World) -> None:
    same_as_stock(scenario, world, lambda each: each.loop.set_debug(debug))
    collect()
    world.take_errors()  # of the task that failed and that nobody asked


def test_needs_a_running_loop(world: World) -> None:
    coro = world.api.wait([world.future()])
    with pytest.raises(RuntimeError, match="no running event loop"):
        coro.send(None)


def test_futures_of_a_subclass_are_asked_by_name(world: World) -> None:
    asked: list[str] = []

    class Asked(world.types.Future):  # type: ignore[name-defined, misc]
        def done(self) -> bool:
            asked.append("done")
            return bool(super().done())

        def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
            asked.append("add")
            super().add_done_callback(*args, **kwargs)

        def remove_done_callback(self, *args: Any) -> int:
            asked.append("remove")
            return int(super().remove_done_callback(*args))

    async def main() -> None:
        future = Asked(loop=world.loop)
        world.loop.call_soon(future.set_result, 1)
        done, _ = await world.api.wait([future])
        assert done == {future}

    world.run(main())
    assert asked == ["add", "remove", "done"]


def test_a_loop_whose_timers_have_no_handles(world: World) -> None:
    call_later = world.loop.call_later

    def nothing(*args: Any) -> None:
        call_later(*args)

    async def main() -> None:
        first, never = world.future(), world.future()
        call_later(0.001, first.set_result, 1)
        assert await world.api.wait([first], timeout=60) == ({first}, set())
        assert await world.api.wait([never], timeout=0.001) == (set(), {never})

    world.loop.call_later = nothing
    world.run(main())


def test_the_timer_calls_what_asyncio_s_calls(world: World) -> None:
    calls: list[Any] = []

    def call_later(delay: float, callback: Any, *args: Any) -> None:
        calls.append((delay, callback.__name__, args))
        world.loop.call_soon(callback, *args, "more")

    async def main() -> None:
        assert (await world.api.wait([world.future()], timeout=5))[0] == set()

    world.loop.call_later = call_later
    world.run(main())
    ((delay, name, (waiter,)),) = calls
    assert (delay, name) == (5, "_release_waiter")
    assert waiter.done()

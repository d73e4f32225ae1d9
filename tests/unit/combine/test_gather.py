"""gather: order and sharing of results, the turns it takes, what cancels what, leftovers."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from typing import Any

import pytest

from tests.support import World, check_script, collect
from tests.support import world as make_world

from .names import described, same_as_stock, turns


async def value(trace: list[Any], result: Any, after: int) -> Any:
    for _ in range(after):
        await asyncio.sleep(0)
    trace.append(f"value {result}")
    return result


async def failure(trace: list[Any], after: int, error: type[BaseException] = ValueError) -> None:
    for _ in range(after):
        await asyncio.sleep(0)
    trace.append("failure")
    raise error("bad")


async def results_in_order(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    trace.append(await names.gather(*(value(trace, n, 5 - n) for n in range(5))))
    trace.append("gathered")
    await clock


async def first_error(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    try:
        await names.gather(value(trace, 1, 4), failure(trace, 1), failure(trace, 3))
    except ValueError as error:
        trace.append(described(error))
    await clock


async def errors_among_results(names: Any, world: World, trace: list[Any]) -> Any:
    future, cancelled, silent = world.future(), world.future(), world.future()
    outer = names.gather(
        failure(trace, 1), future, cancelled, value(trace, 2, 0), silent, return_exceptions=True
    )
    cancelled.cancel("why")
    silent.cancel()
    world.loop.call_soon(future.set_result, "late")
    found = await outer
    trace.append([described(each) if isinstance(each, BaseException) else each for each in found])


async def the_same_twice(names: Any, world: World, trace: list[Any]) -> Any:
    coro, task = value(trace, "c", 1), world.task(value(trace, "t", 2))
    outer = names.gather(coro, task, coro, task, task, value(trace, "o", 1), coro)
    trace.append(len({id(child) for child in outer._children}))
    return await outer


async def the_same_among_many(names: Any, world: World, trace: list[Any]) -> Any:
    coros = [value(trace, n, 0) for n in range(40)]
    return await names.gather(*coros, *reversed(coros), *coros[:7])


async def equal_awaitables(names: Any, world: World, trace: list[Any]) -> Any:
    class Equal:
        """All are equal, so the first stands for the others."""

        def __init__(self, number: int) -> None:
            self.number = number

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 7

        def __await__(self) -> Any:
            yield
            return self.number

    return await names.gather(Equal(1), value(trace, 2, 0), Equal(3))


async def cancelled_outer(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    future = world.future()
    outer = names.gather(value(trace, 1, 9), future, value(trace, 2, 0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    trace.append((outer.cancel("stop"), outer.cancelled(), outer._cancel_requested))
    try:
        await outer
    except asyncio.CancelledError as error:
        trace.append(error.args)
    trace.append((future.cancelled(), outer.cancelled(), outer.done(), outer.cancel()))
    await clock


async def cancelled_outer_with_return_exceptions(names: Any, world: World, trace: list[Any]) -> Any:
    async def stubborn() -> str:
        try:
            await world.future()
        except asyncio.CancelledError:
            return "survived"
        return ""

    outer = names.gather(stubborn(), world.future(), stubborn(), return_exceptions=True)
    await asyncio.sleep(0)
    outer.cancel("stop")
    return await outer


async def cancelled_by_its_awaiter(names: Any, world: World, trace: list[Any]) -> Any:
    async def middle() -> Any:
        return await names.gather(world.future(), value(trace, 1, 1))

    task = world.task(middle())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel("from above")
    try:
        await task
    except asyncio.CancelledError as error:
        trace.append(error.args)
    return task.cancelled()


async def cancelled_child(names: Any, world: World, trace: list[Any]) -> Any:
    child = world.future()
    other = world.task(value(trace, 1, 6))
    outer = names.gather(child, other)
    child.cancel("one")
    try:
        await outer
    except asyncio.CancelledError as error:
        trace.append((error.args, outer.cancelled()))
    return await other


async def nothing_accepts_to_be_cancelled(names: Any, world: World, trace: list[Any]) -> Any:
    done = world.future()
    done.set_result(1)
    outer = names.gather(done)
    trace.append((outer.done(), outer.cancel(), outer._cancel_requested))
    return await outer


async def done_children(names: Any, world: World, trace: list[Any]) -> Any:
    done, failed, cancelled = world.future(), world.future(), world.future()
    done.set_result("done")
    failed.set_exception(KeyError("x"))
    cancelled.cancel()
    trace.append(names.gather(done, done).done())
    outer = names.gather(done, failed, cancelled, return_exceptions=True)
    trace.append(outer.done())
    trace.append([str(each) for each in await outer])
    try:
        await names.gather(done, failed, value(trace, "late", 1))
    except KeyError as error:
        trace.append(described(error))
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def nothing(names: Any, world: World, trace: list[Any]) -> Any:
    outer = names.gather()
    trace.append((outer.done(), type(outer).__name__))
    return await outer


async def nested(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    inner = names.gather(value(trace, 1, 2), value(trace, 2, 1))
    trace.append(await names.gather(inner, value(trace, 3, 0), inner))
    await clock


async def stop_iteration(names: Any, world: World, trace: list[Any]) -> Any:
    class Duck(world.types.Future):  # type: ignore[name-defined, misc]
        def exception(self) -> Any:
            return LookupError("of the subclass")

    duck = Duck(loop=world.loop)
    duck.set_result(None)
    return await names.gather(duck)


SCENARIOS = [
    results_in_order,
    first_error,
    errors_among_results,
    the_same_twice,
    the_same_among_many,
    equal_awaitables,
    cancelled_outer,
    cancelled_outer_with_return_exceptions,
    cancelled_by_its_awaiter,
    cancelled_child,
    nothing_accepts_to_be_cancelled,
    done_children,
    nothing,
    nested,
    stop_iteration,
]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_as_stock(scenario: Any, debug: bool, world: World) -> None:
    same_as_stock(scenario, world, lambda each: each.loop.set_debug(debug))


def test_wrong_arguments(world: World) -> None:
    names = world.api
    other = world.loops.new_loop()

    async def main() -> None:
        for bad in (3, object()):
            with pytest.raises(TypeError, match=r"An asyncio\.Future, a coroutine or an awaitable"):
                names.gather(bad)
        with pytest.raises(TypeError, match="unexpected keyword argument 'loop'"):
            names.gather(loop=None)
        mine, foreign = world.future(), world.types.Future(loop=other)
        with pytest.raises(ValueError, match="The future belongs to a different loop"):
            names.gather(mine, foreign)

    world.run(main())
    other.close()


def test_children_outlive_a_call_that_failed(world: World) -> None:
    names = world.api

    async def main() -> None:
        child = world.future()
        with pytest.raises(TypeError):
            names.gather(child, 3)
        child.set_exception(ValueError("seen by the callback"))
        await asyncio.sleep(0)

    world.run(main())
    collect()
    assert world.take_errors() == []


def test_an_error_of_a_second_child_is_not_reported(world: World) -> None:
    names = world.api
    trace: list[Any] = []

    async def main() -> None:
        with pytest.raises(ValueError, match="bad"):
            await names.gather(failure(trace, 0), failure(trace, 2))
        for _ in range(3):
            await asyncio.sleep(0)

    world.run(main())
    collect()
    assert world.take_errors() == []


def test_an_error_that_nobody_awaits_is_reported(world: World) -> None:
    names = world.api

    async def main() -> None:
        outer = names.gather(failure([], 0))
        for _ in range(3):
            await asyncio.sleep(0)
        assert outer.done()

    world.run(main())
    collect()
    (report,) = world.take_errors()
    assert report["message"] == "_GatheringFuture exception was never retrieved"


def test_tasks_of_a_dropped_gather_are_destroyed_in_silence(world: World) -> None:
    names = world.api
    seen = []

    async def main() -> None:
        async def forever() -> None:
            await world.future()

        outer = names.gather(forever(), forever())
        seen.extend(weakref.ref(child) for child in outer._children)
        seen.append(weakref.ref(outer))
        await asyncio.sleep(0)

    world.run(main())
    collect()
    assert [ref() for ref in seen] == [None, None, None]
    assert world.take_errors() == []


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_leaves_the_loop_and_is_the_outer_exception(world: World, kind: Any) -> None:
    names = world.api
    kept = []

    async def main() -> None:
        kept.append(names.gather(failure([], 1, kind), value([], 1, 0)))
        await kept[0]

    with pytest.raises(kind):
        world.run(main())
    with pytest.raises(kind):
        world.loop.run_until_complete(kept[0])
    world.turn(2)
    collect()
    world.take_errors()


def test_what_it_is(world: World) -> None:
    names = world.api

    async def main() -> None:
        outer = names.gather(value([], 1, 0), names.gather(value([], 2, 0)))
        assert type(outer).__name__ == "_GatheringFuture"
        assert isinstance(outer, asyncio.Future)
        assert isinstance(outer, asyncio.tasks._GatheringFuture)  # type: ignore[attr-defined]
        assert isinstance(outer, world.types.Future)
        assert asyncio.isfuture(outer)
        assert repr(outer).startswith("<_GatheringFuture pending")
        assert outer.get_loop() is world.loop
        assert "gather.<locals>._done_callback()" in repr(outer._children[0])
        outer.note = "any attribute"
        assert vars(type(outer)).get("__dict__") is None
        assert await outer == [1, [2]]
        assert repr(outer).startswith("<_GatheringFuture finished result=[1, [2]]")

    world.run(main())


def test_signature() -> None:
    with make_world("bucle", "bucle") as world:
        gather = world.api.gather
    assert str(inspect.signature(gather)) == "(*coros_or_futures, return_exceptions=False)"
    assert gather.__doc__ == asyncio.gather.__doc__


def test_children_share_a_context(world: World) -> None:
    names = world.api

    class Task(world.types.Task):  # type: ignore[name-defined, misc]
        """What a factory makes."""

    world.loop.set_task_factory(lambda loop, coro, **kwargs: Task(coro, loop=loop, **kwargs))

    async def main() -> Any:
        outer = names.gather(value([], 1, 1), value([], 2, 0))
        assert {type(child) for child in outer._children} == {Task}
        assert not any(child._log_destroy_pending for child in outer._children)
        return await outer

    assert world.run(main()) == [1, 2]


def test_no_growth(world: World) -> None:
    names = world.api

    async def main() -> None:
        for _ in range(50):
            await names.gather(*(value([], n, 0) for n in range(20)))

    world.run(main())
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        world.run(main())
        assert len(gc.get_objects()) - before < 60  # no cycle holds a child or the outer future
    finally:
        gc.enable()


def test_awaited_by(world: World) -> None:
    if not hasattr(asyncio, "capture_call_graph"):
        pytest.skip("no graph of awaits before 3.14")
    names = world.api

    async def main() -> None:
        me = names.current_task()
        futures = [world.future() for _ in range(3)]
        outer = names.gather(*futures)
        assert [each._asyncio_awaited_by for each in futures] == [frozenset({me})] * 3
        futures[0].set_exception(ValueError("x"))
        with pytest.raises(ValueError, match="x"):
            await outer
        assert not any(each._asyncio_awaited_by for each in futures)

    world.run(main())


def test_on_a_stopped_interpreter() -> None:
    check_script(
        """
        import asyncio, bucle
        async def main():
            globals()["kept"] = bucle.gather(asyncio.sleep(30), asyncio.sleep(30))
            globals()["more"] = bucle.as_completed([bucle.create_task(asyncio.sleep(30))])
            globals()["shielded"] = bucle.shield(asyncio.sleep(30))
            await asyncio.sleep(0)
        loop = bucle.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        loop.run_until_complete(main())
        """
    )

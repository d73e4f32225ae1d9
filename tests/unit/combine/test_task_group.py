"""TaskGroup: failures, cancellations from inside and outside, and what is left afterwards."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import bucle

if TYPE_CHECKING:
    from tests.support import World

HAS_CANCEL = hasattr(asyncio.TaskGroup, "cancel")
FORGETS = hasattr(asyncio.TaskGroup, "_aexit")
CLOSES = "close" in asyncio.TaskGroup.create_task.__code__.co_names


async def fail(error: BaseException) -> None:
    raise error


async def turns(count: int, value: Any = None) -> Any:
    for _ in range(count):
        await asyncio.sleep(0)
    return value


@pytest.fixture(autouse=True)
def tasks_of_the_world(request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue("world")
    world.loop.set_task_factory(
        lambda loop, coro, **kwargs: world.types.Task(coro, loop=loop, **kwargs)
    )


def test_results(world: World, lib: Any) -> None:
    async def main() -> None:
        async with lib.TaskGroup() as group:
            tasks = [group.create_task(turns(i, i), name=f"t{i}") for i in range(3)]
            assert (group._tasks, group._errors, group._loop) == (set(tasks), [], world.loop)
            assert repr(group) == "<TaskGroup tasks=3 entered>"
        assert [task.result() for task in tasks] == [0, 1, 2]
        assert [task.get_name() for task in tasks] == ["t0", "t1", "t2"]
        assert group._parent_task is (None if FORGETS else asyncio.current_task())

    world.run(main())


def test_a_failure_cancels_the_rest_and_the_block(world: World, lib: Any) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(BaseExceptionGroup) as info:
            async with lib.TaskGroup() as group:
                first = group.create_task(world_forever(world))
                group.create_task(fail(KeyError("one")))
                try:
                    await world.future()
                except asyncio.CancelledError:
                    raise LookupError("from the block") from None
        assert info.value.message == "unhandled errors in a TaskGroup"
        assert [type(error) for error in info.value.exceptions] == [KeyError, LookupError]
        assert info.value.__cause__ is None
        assert info.value.__suppress_context__
        assert isinstance(info.value.__context__, LookupError)
        assert first.cancelled()
        assert task.cancelling() == 0

    world.run(main())


async def world_forever(world: World) -> None:
    await world.future()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_exit_exceptions_are_not_grouped(world: World, lib: Any, error: Any) -> None:
    async def main() -> None:
        async with lib.TaskGroup() as group:
            group.create_task(world_forever(world))
            group.create_task(fail(KeyError()))
            raise error

    task = world.task(main())
    with pytest.raises(error):
        world.loop.run_until_complete(task)


def test_cancelled_from_outside_while_it_waits(world: World, lib: Any) -> None:
    async def stubborn() -> None:
        try:
            await world.future()
        except asyncio.CancelledError:
            await turns(3)

    async def main() -> None:
        async with lib.TaskGroup() as group:
            children.append(group.create_task(stubborn()))

    children: list[Any] = []
    task = world.task(main())
    world.turn(3)
    task.cancel("first")
    world.turn()
    task.cancel("second")
    with pytest.raises(asyncio.CancelledError, match="first"):
        world.loop.run_until_complete(task)
    assert children[0].done()
    assert task.cancelling() == 2


def test_cancelled_from_outside_with_errors(world: World, lib: Any) -> None:
    """The group's errors win; the count of cancellations tells of the outer one."""

    async def main() -> int:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with lib.TaskGroup() as group:
                group.create_task(fail(KeyError()))
                task.cancel()
                await turns(2)
        except* KeyError:
            pass
        return task.cancelling()

    task = world.task(main())
    if (
        "cancelling"
        in (asyncio.TaskGroup._aexit if FORGETS else asyncio.TaskGroup.__aexit__).__code__.co_names
    ):
        with pytest.raises(asyncio.CancelledError):  # cancelled anew at its next await
            world.loop.run_until_complete(waiting_once(task))
    else:
        assert world.loop.run_until_complete(task) == 1


async def waiting_once(task: Any) -> Any:
    return await task


def test_refusals(world: World, lib: Any) -> None:
    def refused(group: Any, text: str) -> None:
        coro = turns(1)
        with pytest.raises(RuntimeError) as info:
            group.create_task(coro)
        assert str(info.value) == text
        assert (coro.cr_frame is None) == CLOSES
        coro.close()

    async def main() -> None:
        group = lib.TaskGroup()
        refused(group, "TaskGroup <TaskGroup> has not been entered")
        with pytest.raises(BaseExceptionGroup):
            async with group:
                with pytest.raises(RuntimeError, match="has already been entered"):
                    await group.__aenter__()
                group.create_task(fail(KeyError()))
                try:
                    await world.future()
                finally:
                    text = "TaskGroup <TaskGroup errors=1 cancelling> is shutting down"
                    refused(group, text)
        async with lib.TaskGroup() as done:
            pass
        refused(done, "TaskGroup <TaskGroup entered> is finished")

    world.run(main())


def test_the_done_callback_may_start_more(world: World, lib: Any) -> None:
    async def main() -> None:
        async with lib.TaskGroup() as group:
            first = group.create_task(turns(1))
            made = []
            first.add_done_callback(lambda _: made.append(1))
            group.create_task(parent(group, made))
        assert made == [1, "grandchild"]

    async def parent(group: Any, made: list[Any]) -> None:
        await turns(2)
        group.create_task(child(made))

    async def child(made: list[Any]) -> None:
        await turns(1)
        made.append("grandchild")

    world.run(main())


def test_turns(world: World, lib: Any) -> None:
    async def main(count: int) -> None:
        async with lib.TaskGroup() as group:
            for i in range(count):
                group.create_task(turns(i))

    found = []
    for count in range(4):
        task, used = world.task(main(count)), 0
        while not task.done():
            world.turn()
            used += 1
        found.append(used)
    assert found == [1, 4, 5, 6]


def test_subclass_is_asked_by_name(world: World, lib: Any) -> None:
    class Mine(lib.TaskGroup):  # type: ignore[misc, name-defined]
        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            calls.append("create_task")
            return super().create_task(coro, **kwargs)

        def _on_task_done(self, task: Any) -> None:
            calls.append("_on_task_done")
            super()._on_task_done(task)

        def _abort(self) -> None:
            calls.append("_abort")
            super()._abort()

        def _is_base_error(self, exc: BaseException) -> bool:
            calls.append("_is_base_error")
            return isinstance(exc, KeyError)

    async def main() -> None:
        async with Mine() as group:
            group.create_task(fail(KeyError("base")))

    calls: list[str] = []
    with pytest.raises(KeyError, match="base"):
        world.run(main())
    assert calls == ["create_task", "_on_task_done", "_is_base_error", "_abort"]


def test_no_cycle_is_left(world: World, lib: Any) -> None:
    async def main(error: Exception | None) -> Any:
        group = lib.TaskGroup()
        try:
            async with group:
                group.create_task(fail(error) if error else turns(1))
        except* KeyError:
            pass
        return weakref.ref(group)

    gc.collect()
    gc.disable()
    try:
        assert world.run(main(None))() is None
        if lib is bucle:  # asyncio's own leaves one on some versions
            assert world.run(main(KeyError()))() is None
    finally:
        gc.enable()


def test_a_dropped_group_is_collected(world: World, lib: Any) -> None:
    async def main() -> Any:
        group = lib.TaskGroup()
        await group.__aenter__()
        group.create_task(turns(1)).add_done_callback(lambda _: group)
        await turns(3)
        return weakref.ref(group)

    found = world.run(main())
    gc.collect()
    assert found() is None


def test_a_task_that_outlives_its_parent(world: World, lib: Any) -> None:
    async def main() -> None:
        group = lib.TaskGroup()
        await group.__aenter__()
        group.create_task(later())

    async def later() -> None:
        await turns(3)
        raise KeyError("late")

    world.run(main())
    world.turn(6)
    [told] = world.take_errors()
    assert "has errored out but its parent task" in told["message"]
    assert isinstance(told["exception"], KeyError)
    assert set(told) == {"message", "exception", "task"}


@pytest.mark.skipif(not HAS_CANCEL, reason="TaskGroup.cancel() is newer")
def test_cancel(world: World, lib: Any) -> None:
    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with lib.TaskGroup() as group:
            child = group.create_task(world_forever(world))
            group.cancel()
            group.cancel()
            await world.future()
        assert child.cancelled()
        early = lib.TaskGroup()
        early.cancel()
        async with early:
            await world.future()
        early.cancel()
        assert task.cancelling() == 0

    world.run(main())

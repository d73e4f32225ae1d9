"""Cancellation of tasks: where it arrives, what it counts, which message and object it carries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support import STOCK, World

CancelledError = asyncio.CancelledError


def test_cancel_before_the_first_step(world: World) -> None:
    ran = []

    async def body() -> None:
        ran.append(True)

    task = world.task(body())
    assert task.cancel() is True
    assert task._must_cancel is True
    with pytest.raises(CancelledError):
        world.loop.run_until_complete(task)
    assert (task.cancelled(), ran) == (True, [])


def test_cancel_reaches_the_awaited_future(world: World) -> None:
    future = world.future()

    async def wait() -> None:
        await future

    task = world.task(wait())
    world.turn()
    assert task.cancel("why") is True
    assert future.cancelled()
    assert future._cancel_message == "why"
    with pytest.raises(CancelledError) as caught:
        world.loop.run_until_complete(task)
    assert caught.value.args == ("why",)


def test_cancel_goes_down_a_chain_of_tasks(world: World) -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def level(depth: int) -> None:
            try:
                if depth:
                    await world.task(level(depth - 1))
                else:
                    await world.future()
            except CancelledError:
                order.append(f"level {depth}")
                raise

        top = world.task(level(3))
        for _ in range(6):
            await asyncio.sleep(0)
        top.cancel()
        with pytest.raises(CancelledError):
            await top
        return order

    assert world.run(main()) == [f"level {depth}" for depth in range(4)]


def test_cancel_of_a_done_task(world: World) -> None:
    async def body() -> int:
        return 1

    task = world.task(body())
    world.loop.run_until_complete(task)
    assert task.cancel() is False
    assert task.cancelling() == 0
    assert task.result() == 1


def test_cancelling_and_uncancel_count(world: World) -> None:
    async def main() -> list[int]:
        task = asyncio.current_task()
        assert task is not None
        counts = [task.cancelling(), task.uncancel()]
        for _ in range(3):
            task.cancel()
        counts.append(task.cancelling())
        with pytest.raises(CancelledError):
            await asyncio.sleep(0)
        counts += [task.uncancel(), task.uncancel(), task.uncancel(), task.uncancel()]
        return counts

    assert world.run(main()) == [0, 0, 3, 2, 1, 0, 0]


def test_a_swallowed_cancellation_lets_the_task_go_on(world: World) -> None:
    async def stubborn() -> str:
        try:
            await world.future()
        except CancelledError:
            await asyncio.sleep(0)
            return "survived"
        return "never"

    task = world.task(stubborn())
    world.turn()
    task.cancel()
    assert world.loop.run_until_complete(task) == "survived"
    assert task.cancelled() is False
    assert task.cancelling() == 1


def test_cancel_of_oneself(world: World) -> None:
    async def main() -> str:
        task = asyncio.current_task()
        assert task is not None
        assert task.cancel("self") is True
        assert task._must_cancel is True
        try:
            await asyncio.sleep(0)
        except CancelledError as error:
            return str(error.args)
        return "not cancelled"

    assert world.run(main()) == "('self',)"


@pytest.mark.parametrize("message", [None, "", "text", 5, ("a", "b")])
def test_messages_travel_to_the_awaiter(world: World, message: object) -> None:
    async def main() -> tuple[Any, ...]:
        async def sleep() -> None:
            await asyncio.sleep(10)

        task = world.task(sleep())
        await asyncio.sleep(0)
        task.cancel(message)
        with pytest.raises(CancelledError) as caught:
            await task
        return caught.value.args

    assert world.run(main()) == (() if message is None else (message,))


def test_the_last_message_before_the_step_wins(world: World) -> None:
    task = world.task(asyncio.sleep(0))
    task.cancel("first")
    task.cancel("second")
    assert task._cancel_message == "second"
    with pytest.raises(CancelledError, match=r"^second$"):
        world.loop.run_until_complete(task)


def test_cancel_while_a_foreign_future_is_awaited(world: World) -> None:
    future = STOCK.Future(loop=world.loop)

    async def wait() -> None:
        await future

    task = world.task(wait())
    world.turn()
    assert task.cancel("foreign") is True
    assert future.cancelled()
    with pytest.raises(CancelledError, match=r"^foreign$"):
        world.loop.run_until_complete(task)


def test_cancel_that_the_awaited_object_refuses(world: World) -> None:
    class Stubborn(STOCK.Future):  # type: ignore[name-defined,misc]
        def cancel(self, msg: object = None) -> bool:
            return False

    future = Stubborn(loop=world.loop)

    async def wait() -> str:
        try:
            await future
        except CancelledError:
            return "cancelled when woken"
        return "not cancelled"

    task = world.task(wait())
    world.turn()
    assert task.cancel() is True
    assert task._must_cancel is True
    future.set_result(None)
    assert world.loop.run_until_complete(task) == "cancelled when woken"


def test_an_exception_raised_in_place_of_the_cancellation(world: World) -> None:
    async def replace() -> None:
        try:
            await world.future()
        except CancelledError:
            raise LookupError("instead") from None

    task = world.task(replace())
    world.turn()
    task.cancel()
    with pytest.raises(LookupError):
        world.loop.run_until_complete(task)
    assert not task.cancelled()


def test_a_cancelled_error_that_the_coroutine_raises_itself(world: World) -> None:
    own = CancelledError("my own")

    async def body() -> None:
        raise own

    task = world.task(body())
    with pytest.raises(CancelledError) as caught:
        world.loop.run_until_complete(task)
    assert task.cancelled()
    assert caught.value is own


def test_timeouts_and_groups_of_asyncio_count_right(world: World) -> None:
    async def main() -> list[Any]:
        task = asyncio.current_task()
        assert task is not None
        seen: list[Any] = []
        try:
            async with asyncio.timeout(0):
                await world.future()
        except TimeoutError:
            seen.append(task.cancelling())
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(self_failing())
                await world.future()
        seen += [task.cancelling(), len(caught.value.exceptions)]
        return seen

    async def self_failing() -> None:
        raise KeyError("child")

    assert world.run(main()) == [0, 0, 1]


def test_wait_for_gives_the_inner_result_or_the_timeout(world: World) -> None:
    async def main() -> str:
        future = world.future()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)
        assert future.cancelled()
        task = world.task(asyncio.sleep(0, "in time"))
        return await asyncio.wait_for(task, 5)  # type: ignore[no-any-return]

    assert world.run(main()) == "in time"


def test_cancel_of_a_gather_cancels_its_children(world: World) -> None:
    async def main() -> list[bool]:
        children = [world.task(asyncio.sleep(10)) for _ in range(3)]
        outer = asyncio.gather(*children)
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(CancelledError):
            await outer
        return [child.cancelled() for child in children]

    assert world.run(main()) == [True] * 3


def test_shield_keeps_its_inner_task(world: World) -> None:
    async def main() -> Any:
        inner = world.task(asyncio.sleep(0.001, "kept"))
        outer = world.task(await_it(asyncio.shield(inner)))
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(CancelledError):
            await outer
        assert not inner.cancelled()
        return await inner

    async def await_it(awaitable: Any) -> Any:
        return await awaitable

    assert world.run(main()) == "kept"

"""Traps that lie in Condition."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support import World

CancelledError = asyncio.CancelledError
# What 3.13 changed: see the condition's source.
PASSES_ON = hasattr(asyncio.Condition, "_notify")


async def wait_in(condition: Any) -> Any:
    async with condition:
        return await condition.wait()


def test_the_lock_is_behind_all_three_names(world: World, api: Any) -> None:
    async def main() -> None:
        async with condition:
            assert condition.locked()
            assert condition._lock.locked()
            with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
                condition.release()
                condition.release()
            await condition.acquire()

    condition = api.Condition()
    assert condition.acquire.__self__ is condition._lock
    world.run(main())
    assert not condition.locked()
    assert not hasattr(asyncio.Condition, "acquire")


@pytest.mark.parametrize("foreign", [False, True])
def test_any_lock_can_be_given(world: World, api: Any, foreign: bool) -> None:
    class Own(api.Lock):  # type: ignore[misc, name-defined]
        taken = 0

        async def acquire(self) -> bool:
            self.taken += 1
            return bool(await super().acquire())

    lock = asyncio.Lock() if foreign else Own()
    condition = api.Condition(lock)
    waiting = world.task(wait_in(condition))
    world.turn()

    async def main() -> None:
        async with condition:
            condition.notify_all()
        assert await waiting is True

    world.run(main())
    assert not lock.locked()
    assert foreign or lock.taken == 3


def test_what_is_no_lock_is_refused(world: World, api: Any) -> None:
    with pytest.raises(AttributeError):
        api.Condition(object())


def test_an_assigned_method_is_used(world: World, api: Any) -> None:
    async def acquire() -> bool:
        seen.append("acquire")
        return bool(await lock.acquire())

    async def main() -> None:
        async with condition:
            pass

    seen: list[str] = []
    condition = api.Condition()
    lock = condition._lock
    condition.acquire = acquire
    world.run(main())
    assert seen == ["acquire"]
    assert vars(condition)["acquire"] is acquire
    del condition.acquire
    assert not hasattr(condition, "acquire")


def test_a_subclass_cannot_override_what_comes_from_the_lock(world: World, api: Any) -> None:
    class Own(api.Condition):  # type: ignore[misc, name-defined]
        def locked(self) -> str:
            return "mine"

    condition = Own()
    assert condition.locked() is False
    assert repr(condition).endswith("[unlocked]>")


def test_a_subclass_that_overrides_wait(world: World, api: Any) -> None:
    class Own(api.Condition):  # type: ignore[misc, name-defined]
        async def wait(self) -> bool:
            answers.append(True)
            return True

    answers: list[bool] = []
    condition = Own()
    assert world.run(condition.wait_for(lambda: answers)) == [True]


def test_notify_counts_those_who_still_wait(world: World, api: Any) -> None:
    async def main(count: Any) -> None:
        async with condition:
            condition.notify(count)

    condition = api.Condition()
    waiting = [world.task(wait_in(condition)) for _ in range(4)]
    world.turn()
    condition._waiters[0].set_result(True)
    world.run(main(1.5))
    world.turn(4)
    assert [task.done() for task in waiting] == [True, True, True, False]
    world.run(main(1 << 80))
    world.turn(4)
    assert waiting[3].result() is True


def test_unlocked_use_is_refused(world: World, api: Any) -> None:
    condition = api.Condition()
    with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
        world.run(condition.wait())
    for notify in (condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
            notify()


def test_cancellations_while_the_lock_is_taken_back(world: World, api: Any) -> None:
    async def main() -> Any:
        condition = api.Condition()
        waiting = world.task(wait_in(condition))
        await asyncio.sleep(0)
        await condition.acquire()
        for message in ("first", "second", "third"):
            waiting.cancel(message)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not waiting.done()
        condition.release()
        try:
            await waiting
        except CancelledError as error:
            chain = [error.args]
            context = error.__context__
            while context is not None:
                chain.append((type(context), context.args))
                context = context.__context__
            return chain, condition.locked()

    chain, locked = world.run(main())
    assert not locked
    if PASSES_ON:
        assert chain == [("third",), (CancelledError, ("first",))]
    else:
        assert chain[-1] == (CancelledError, ("first",))
        assert ("third",) not in chain


def test_a_failing_waiter_notifies_another(world: World, api: Any) -> None:
    async def main() -> list[bool]:
        condition = api.Condition()
        first, second = world.task(wait_in(condition)), world.task(wait_in(condition))
        await asyncio.sleep(0)
        async with condition:
            condition.notify()
            first.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        done = [first.cancelled(), second.done()]
        second.cancel()
        await asyncio.wait([first, second])
        return done

    assert world.run(main()) == [True, PASSES_ON]


def test_another_loop_is_refused_and_the_lock_kept(world: World, api: Any) -> None:
    async def main() -> None:
        async with condition:
            with pytest.raises(RuntimeError, match="is bound to a different event loop"):
                await condition.wait()
            assert condition.locked()

    condition = api.Condition()
    waiting = world.task(wait_in(condition))
    world.turn()
    other = asyncio.SelectorEventLoop()
    other.run_until_complete(main())
    other.close()
    waiting.cancel()
    world.turn(2)


def test_closing_a_wait_whose_lock_is_taken(world: World, api: Any) -> None:
    async def main() -> None:
        condition = api.Condition()
        await condition.acquire()
        coro = condition.wait()
        coro.send(None)
        await condition.acquire()
        with pytest.raises(RuntimeError, match=r"^coroutine ignored GeneratorExit$"):
            coro.close()
        condition.release()
        coro.throw(ZeroDivisionError())

    with pytest.raises(ZeroDivisionError) as caught:
        world.run(main())
    assert isinstance(caught.value.__context__, GeneratorExit)

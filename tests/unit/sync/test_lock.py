"""Traps that lie in Lock."""

from __future__ import annotations

import asyncio
import collections
import weakref
from typing import Any

import pytest

from tests.support import World, collect, outcome

CancelledError = asyncio.CancelledError


def test_a_free_lock_makes_nothing_and_binds_to_no_loop(world: World, api: Any) -> None:
    async def main() -> None:
        async with lock:
            assert lock.locked()
        await lock.acquire()
        lock.release()

    lock = api.Lock()
    world.run(main())
    assert lock._waiters is None
    assert lock._loop is None


def test_waiters_are_alive_while_somebody_looks(world: World, api: Any) -> None:
    lock = api.Lock()
    world.run(lock.acquire())
    tasks = [world.task(lock.acquire()) for _ in range(3)]
    world.turn()
    waiters = lock._waiters
    assert isinstance(waiters, collections.deque)
    assert [waiter.done() for waiter in waiters] == [False] * 3
    assert lock._waiters is waiters
    lock.release()
    assert [waiter.done() for waiter in waiters] == [True, False, False]
    world.turn(2)
    assert len(waiters) == 2
    for task in tasks[1:]:
        task.cancel()
    world.turn(2)
    assert not waiters
    assert f"{lock!r}".endswith("[locked]>")


def test_a_woken_and_cancelled_waiter_passes_the_lock_on(world: World, api: Any) -> None:
    lock = api.Lock()
    world.run(lock.acquire())
    first, second = world.task(lock.acquire()), world.task(lock.acquire())
    world.turn()
    lock.release()
    first.cancel()
    world.turn(3)
    assert first.cancelled()
    assert second.result() is True


def test_no_barging_while_a_woken_waiter_has_not_run(world: World, api: Any) -> None:
    async def main() -> list[str]:
        async def take(name: str) -> None:
            async with lock:
                order.append(name)

        order: list[str] = []
        await lock.acquire()
        waiting = world.task(take("waiting"))
        await asyncio.sleep(0)
        lock.release()
        await take("barging")
        await waiting
        return order

    lock = api.Lock()
    assert world.run(main()) == ["waiting", "barging"]


def test_async_with_calls_what_a_subclass_overrides(world: World, api: Any) -> None:
    seen = []

    class Watched(api.Lock):  # type: ignore[misc, name-defined]
        async def acquire(self) -> bool:
            seen.append("acquire")
            return bool(await super().acquire())

        def release(self) -> None:
            seen.append("release")
            super().release()

    async def main() -> None:
        async with lock as entered:
            assert entered is None

    lock = Watched()
    world.run(main())
    assert seen == ["acquire", "release"]


def test_another_loop_is_refused(world: World, api: Any) -> None:
    lock = api.Lock()
    world.run(lock.acquire())
    waiting = world.task(lock.acquire())
    world.turn()
    assert lock._loop is world.loop

    async def main() -> Any:
        with pytest.raises(RuntimeError, match="is bound to a different event loop") as caught:
            await lock.acquire()
        return str(caught.value).startswith(repr(lock))

    other = asyncio.SelectorEventLoop()
    assert other.run_until_complete(main())
    other.close()
    lock.release()
    world.turn(2)
    assert waiting.result() is True


def test_waiting_without_a_loop_fails_as_asyncio_does(world: World, api: Any) -> None:
    lock = api.Lock()
    for expected in (StopIteration, AttributeError):
        with pytest.raises(expected):
            lock.acquire().send(None)


def test_foreign_futures_among_the_waiters(world: World, api: Any) -> None:
    lock = api.Lock()
    world.run(lock.acquire())
    foreign = asyncio.futures._PyFuture(loop=world.loop)  # type: ignore[attr-defined]
    lock._waiters = collections.deque([foreign])
    lock.release()
    assert foreign.result() is True
    assert lock._waiters.popleft() is foreign


def test_errors_name_the_class_as_asyncio_does(world: World, api: Any) -> None:
    async def main() -> None:
        await api.Lock()

    kind, name, text = outcome(world.run, main())
    assert (kind, name) == ("raised", "TypeError")
    assert "object Lock can't be used" in text or "'Lock' object can't be awaited" in text
    assert outcome(api.Lock().release) == ("raised", "RuntimeError", "Lock is not acquired.")


def test_a_cycle_through_a_waiting_task_is_collected(world: World, api: Any) -> None:
    class Owner:
        pass

    owner = Owner()
    owner.lock = api.Lock()  # type: ignore[attr-defined]
    owner.lock.owner = owner  # type: ignore[attr-defined]
    watch = weakref.ref(owner)
    lock = weakref.ref(owner.lock)  # type: ignore[attr-defined]
    del owner
    collect()
    assert watch() is None
    assert lock() is None


def test_a_kept_stop_iteration_is_nobody_else_s(world: World, api: Any) -> None:
    def stop() -> StopIteration:
        with pytest.raises(StopIteration) as caught:
            next(api.Lock().acquire().__await__())
        return caught.value

    first = stop()
    first.args = (1,)
    second = stop()
    assert first is not second
    assert (second.value, second.args, second.__context__) == (True, (True,), None)
    del first, second
    third = stop()
    assert (third.value, third.args, third.__context__) == (True, (True,), None)

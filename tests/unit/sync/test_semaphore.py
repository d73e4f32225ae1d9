"""Traps that lie in Semaphore and BoundedSemaphore."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import pytest

from tests.support import World, outcome

HUGE = 1 << 70


def test_a_free_semaphore_makes_nothing_and_binds_to_no_loop(world: World, api: Any) -> None:
    async def main() -> None:
        async with semaphore:
            assert semaphore._value == 1

    for kind in (api.Semaphore, api.BoundedSemaphore):
        semaphore = kind(2)
        world.run(main())
        assert semaphore._waiters is None
        assert semaphore._loop is None
        assert semaphore._value == 2


def test_a_slot_is_given_when_the_waiter_is_woken(world: World, api: Any) -> None:
    semaphore = api.Semaphore(0)
    waiting = world.task(semaphore.acquire())
    world.turn()
    semaphore.release()
    assert semaphore._value == 0
    assert semaphore.locked()
    world.turn(2)
    assert waiting.result() is True


def test_a_woken_and_cancelled_waiter_gives_its_slot_back(world: World, api: Any) -> None:
    semaphore = api.Semaphore(0)
    first, second = world.task(semaphore.acquire()), world.task(semaphore.acquire())
    world.turn()
    semaphore.release()
    first.cancel()
    world.turn(3)
    assert first.cancelled()
    assert second.result() is True
    assert semaphore._value == 0


def test_many_releases_before_anybody_runs(world: World, api: Any) -> None:
    semaphore = api.Semaphore(0)
    waiting = [world.task(semaphore.acquire()) for _ in range(4)]
    world.turn()
    for _ in range(5):
        semaphore.release()
    assert semaphore._value == 1
    world.turn(2)
    assert all(task.done() for task in waiting)
    assert not semaphore.locked()


@pytest.mark.parametrize("value", [True, 1.0, Fraction(3, 2), HUGE])
def test_values_that_are_no_small_ints(world: World, api: Any, value: Any) -> None:
    semaphore = api.BoundedSemaphore(value)
    assert semaphore._value is value
    assert world.run(semaphore.acquire()) is True
    assert semaphore._value == value - 1
    semaphore.release()
    assert semaphore._value == value
    with pytest.raises(ValueError, match=r"^BoundedSemaphore released too many times$"):
        semaphore.release()


def test_bad_values_are_refused_as_by_asyncio(world: World, api: Any) -> None:
    assert outcome(api.Semaphore, -1) == (
        "raised",
        "ValueError",
        "Semaphore initial value must be >= 0",
    )
    kind, name, text = outcome(api.BoundedSemaphore, None)
    assert (kind, name) == ("raised", "TypeError")
    assert text == "'<' not supported between instances of 'NoneType' and 'int'"


def test_a_subclass_is_asked_by_name(world: World, api: Any) -> None:
    seen = []

    class Watched(api.Semaphore):  # type: ignore[misc, name-defined]
        def locked(self) -> bool:
            seen.append("locked")
            return bool(super().locked())

        def _wake_up_next(self) -> Any:
            seen.append("wake")
            return super()._wake_up_next()

    async def main() -> None:
        async with semaphore:
            pass

    semaphore = Watched()
    world.run(main())
    assert seen == ["locked", "wake"]


def test_a_bounded_one_is_a_semaphore_of_both_kinds(world: World, api: Any) -> None:
    semaphore = api.BoundedSemaphore()
    assert isinstance(semaphore, api.Semaphore)
    assert isinstance(semaphore, asyncio.Semaphore)
    assert isinstance(semaphore, asyncio.BoundedSemaphore)


def test_assigned_values_count(world: World, api: Any) -> None:
    semaphore = api.Semaphore(0)
    semaphore._value = 2
    assert repr(semaphore).endswith("[unlocked, value:2]>")
    assert world.run(semaphore.acquire()) is True
    assert semaphore._value == 1

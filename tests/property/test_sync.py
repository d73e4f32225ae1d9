"""Random programs about locks, events, conditions, semaphores and barriers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.property.programs import Failure, Run, by_name, check, plain, weights

pytestmark = [
    pytest.mark.property,
    pytest.mark.timeout(3000),
    # what a cancelled task never came to await
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


class Lock(Run):
    own = weights(acquire=5, release=3, hold=5, by_hand=1, is_locked=1)
    own_nesting = frozenset({"hold"})
    calls = ("release_now", "repr_now")

    def begin(self, setup: int) -> None:
        self.thing = self.api.Lock()

    def state(self) -> Any:
        return (plain(repr(self.thing)), self.thing.locked(), self.look("_waiters"))

    def release_now(self, number: int) -> Any:
        return self.thing.release()

    def repr_now(self, number: int) -> Any:
        return plain(repr(self.thing))

    async def acquire(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.acquire()

    async def release(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.release()

    async def is_locked(self, label: str, number: int, inside: Any) -> Any:
        return self.state()

    async def hold(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing as entered:
            self.note(label, "holds", entered is None)
            await self.block(label, inside)

    async def by_hand(self, label: str, number: int, inside: Any) -> Any:
        return (self.drive(self.thing.acquire(), number), self.state())


class Semaphore(Lock):
    def begin(self, setup: int) -> None:
        self.thing = self.api.Semaphore(setup % 3)

    def state(self) -> Any:
        return (*super().state(), self.thing._value)


class BoundedSemaphore(Semaphore):
    def begin(self, setup: int) -> None:
        self.thing = self.api.BoundedSemaphore(setup % 3)


class Event(Run):
    own = weights(wait=8, set=3, clear=3, by_hand=1)
    calls = ("set_now", "clear_now")

    def begin(self, setup: int) -> None:
        self.thing = self.api.Event()
        if setup % 2:
            self.thing.set()

    def state(self) -> Any:
        return (plain(repr(self.thing)), self.thing.is_set(), self.look("_waiters"))

    def set_now(self, number: int) -> Any:
        return self.thing.set()

    def clear_now(self, number: int) -> Any:
        return self.thing.clear()

    async def wait(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.wait()

    async def set(self, label: str, number: int, inside: Any) -> Any:
        if number % 3 == 0:  # and back at once: who waited is woken all the same
            self.thing.set()
            return self.thing.clear()
        return self.thing.set()

    async def clear(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.clear()

    async def by_hand(self, label: str, number: int, inside: Any) -> Any:
        return (self.drive(self.thing.wait(), number), self.state())


class Condition(Run):
    own = weights(
        acquire=1,
        release=2,
        hold=6,
        wait=3,
        hold_and_wait=6,
        wait_for=4,
        notify=2,
        hold_and_notify=4,
        count=2,
        lock_itself=1,
    )
    own_nesting = frozenset({"hold"})
    calls = ("notify_now", "release_now")

    def begin(self, setup: int) -> None:
        self.counter = 0
        # A lock of its own, one that others use as well, or one of the other implementation.
        locks = (None, self.api.Lock(), asyncio.Lock())
        self.lock = locks[setup % 3]
        self.thing = self.api.Condition(self.lock)

    def state(self) -> Any:
        thing = self.thing
        return (plain(repr(thing)), thing.locked(), self.look("_waiters"), self.counter)

    def rescue(self) -> None:
        if self.thing.locked():  # by somebody who has forgotten it, and wait() insists on it
            self.thing.release()

    def notify_now(self, number: int) -> Any:
        return self.thing.notify(number % 3)

    def release_now(self, number: int) -> Any:
        return self.thing.release()

    async def acquire(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.acquire()

    async def release(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.release()

    async def lock_itself(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing if self.lock is None else self.lock:
            await self.api.sleep(0)

    async def hold(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing as entered:
            self.note(label, "holds", entered is None)
            await self.block(label, inside)

    async def wait(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.wait()

    async def hold_and_wait(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing:
            self.note(label, "waits")
            return await self.thing.wait()

    async def wait_for(self, label: str, number: int, inside: Any) -> Any:
        def predicate() -> Any:
            self.note(label, "asks", self.counter)
            if self.counter == 7:
                raise Failure("in a predicate")
            return self.counter > number % 3 and ("enough", self.counter)

        async with self.thing:
            return await self.thing.wait_for(predicate)

    async def count(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing:
            self.counter += 1
            return self.thing.notify_all()

    async def notify(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.notify(number % 4) if number % 2 else self.thing.notify_all()

    async def hold_and_notify(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing:
            self.thing.notify(number % 3)
            await self.api.sleep(0)


class Barrier(Run):
    own = weights(wait=12, enter=4, reset=2, abort=1)
    own_nesting = frozenset({"enter"})

    def begin(self, setup: int) -> None:
        self.thing = self.api.Barrier(1 + setup % 4)

    def state(self) -> Any:
        thing = self.thing
        return (plain(repr(thing)), thing.parties, thing.n_waiting, thing.broken)

    async def wait(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.wait()

    async def enter(self, label: str, number: int, inside: Any) -> Any:
        async with self.thing as index:
            self.note(label, "passes", index)
            await self.block(label, inside)

    async def reset(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.reset()

    async def abort(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.abort()


@pytest.mark.parametrize(**by_name([Lock, Event, Condition, Semaphore, BoundedSemaphore, Barrier]))
def test_random_programs_have_the_same_history(
    kind: type[Run], request: pytest.FixtureRequest
) -> None:
    check(kind, request.config.getoption("--impl"))

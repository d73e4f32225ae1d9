"""The random programs find a mistake where there is one, after a fraction of a large run.

Each saboteur is a stock primitive with one line wrong, of the kind that a native one might have.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest

from tests.property import programs, test_combine, test_queues, test_sync
from tests.property.programs import ORACLE, Arena, Kinds, Run, decode
from tests.support import STOCK_NAMES

pytestmark = [
    pytest.mark.property,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


MANY = 2000


class ForgetfulLock(asyncio.Lock):
    """A waiter that is cancelled after it was woken wakes no other."""

    async def acquire(self) -> Any:
        if not self._locked and not self._waiters:
            self._locked = True
            return True
        waiter = asyncio.get_running_loop().create_future()
        self._waiters = self._waiters or deque()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
        self._locked = True
        return True


class UnfairSemaphore(asyncio.Semaphore):
    """Who comes late may overtake those who wait."""

    def locked(self) -> bool:
        return self._value == 0


class HastyEvent(asyncio.Event):
    """A waiter looks at the event again when it runs."""

    async def wait(self) -> Any:
        await super().wait()
        return self._value


class DeafCondition(asyncio.Condition):
    """notify() counts waiters that are cancelled already."""

    def notify(self, n: int = 1) -> None:
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        for waiter in list(self._waiters)[:n]:
            if not waiter.done():
                waiter.set_result(False)


class LooseBarrier(asyncio.Barrier):
    """reset() breaks nobody."""

    async def reset(self) -> None:
        async with self._cond:
            self._cond.notify_all()


class SelfishQueue(asyncio.Queue[Any]):
    """A getter that is cancelled after it was woken wakes no other."""

    async def get(self) -> Any:
        while self.empty() and not getattr(self, "_is_shutdown", False):
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if getter in self._getters:
                    self._getters.remove(getter)
                raise
        return self.get_nowait()


async def sleep_a_turn_more(delay: float, result: Any = None) -> Any:
    if delay == 0:
        await asyncio.sleep(0)
    return await asyncio.sleep(delay, result)


async def wait_for_without_cancelling(awaitable: Any, timeout: Any) -> Any:
    future = asyncio.ensure_future(awaitable)
    done, _ = await asyncio.wait([future], timeout=timeout)
    if not done:
        raise TimeoutError
    return future.result()


def gather_without_order(*awaitables: Any, return_exceptions: bool = False) -> Any:
    return asyncio.gather(*reversed(awaitables), return_exceptions=return_exceptions)


def shield_without_protection(awaitable: Any) -> Any:
    return asyncio.ensure_future(awaitable)


class ForgivingTimeout(asyncio.Timeout):
    """Takes any cancellation for its own."""

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> Any:
        try:
            return await super().__aexit__(kind, error, trace)
        finally:
            me = asyncio.current_task()
            if kind is asyncio.CancelledError and me is not None:
                me.uncancel()


def forgiving_timeout(delay: Any) -> Any:
    return ForgivingTimeout(None if delay is None else asyncio.get_running_loop().time() + delay)


class PatientGroup(asyncio.TaskGroup):
    """Lets the others finish when one fails."""

    def _abort(self) -> None:
        self._aborting = True


SABOTEURS: list[tuple[type[Run], str, Any]] = [
    (test_sync.Lock, "Lock", ForgetfulLock),
    (test_sync.Semaphore, "Semaphore", UnfairSemaphore),
    (test_sync.Event, "Event", HastyEvent),
    (test_sync.Condition, "Condition", DeafCondition),
    (test_sync.Barrier, "Barrier", LooseBarrier),
    (test_queues.Queue, "Queue", SelfishQueue),
    (test_combine.Sleep, "sleep", sleep_a_turn_more),
    (test_combine.WaitFor, "wait_for", wait_for_without_cancelling),
    (test_combine.Gather, "gather", gather_without_order),
    (test_combine.Shield, "shield", shield_without_protection),
    (test_combine.Timeout, "timeout", forgiving_timeout),
    (test_combine.TaskGroup, "TaskGroup", PatientGroup),
]


@pytest.mark.parametrize(
    ("kind", "name", "saboteur"), SABOTEURS, ids=[name for _, name, _ in SABOTEURS]
)
def test_a_mistake_is_found(
    kind: type[Run], name: str, saboteur: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(saboteur, type):
        saboteur = type(name, (saboteur,), {})  # its name in a repr would give it away
    sabotaged = SimpleNamespace(**{**vars(STOCK_NAMES), name: saboteur})
    monkeypatch.setattr(
        programs, "library", lambda kind: STOCK_NAMES if kind == "stock" else sabotaged
    )
    arena = Arena(Kinds("sabotaged", "stock", "stock"))
    chance = random.Random(5)
    try:
        with pytest.raises(AssertionError, match="sabotaged primitives"):
            for _ in range(MANY):
                arena.compare(kind, decode(chance.randbytes(80), kind))
    finally:
        arena.close()


def test_a_program_is_read_off_its_bytes_alone() -> None:
    data = random.Random(6).randbytes(120)
    program = decode(data, test_sync.Lock)
    assert program == decode(data, test_sync.Lock)
    arena = Arena(ORACLE)
    try:
        arena.compare(test_sync.Lock, program)
    finally:
        arena.close()

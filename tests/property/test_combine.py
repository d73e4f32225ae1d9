"""Random programs about what waits for other awaitables: gather, wait, timeouts, groups.

What stands inside a step are its awaitables: a future of the pool, an earlier task, or a coroutine
that does just that one step.  A task waits for earlier tasks only: who waits in a circle is
cancelled for ever.  asyncio keeps some tasks in sets, whose order is that of their addresses; the
programs avoid what depends on it, and a TaskGroup gets a set that has an order.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
from typing import Any

import pytest

from tests.property.programs import (
    MESSAGES,
    Failure,
    Run,
    by_name,
    check,
    describe,
    plain,
    show,
    weights,
)

pytestmark = [
    pytest.mark.property,
    pytest.mark.timeout(3000),
    # what a cancelled task never came to await
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

POOL = 4


class InOrder(set[Any]):
    """A set of tasks whose order is that of their names."""

    def __iter__(self) -> Any:
        return iter(sorted(super().__iter__(), key=lambda task: task.get_name()))


class Combined(Run):
    """A pool of futures, and the steps that end them or wait for them."""

    common = Run.common | weights(settle=4, await_future=2, join=2, cancel_outer=1)
    calls = ("settle_now", "cancel_outer_now")

    def begin(self, setup: int) -> None:
        self.futures = [self.side.loop.create_future() for _ in range(POOL)]
        self.outers: list[Any] = []

    def state(self) -> Any:
        return (
            [(future._state, len(future._callbacks or ())) for future in self.futures],
            [show(outer) for outer in self.outers],
        )

    def rescue(self) -> None:
        for future in self.futures:
            future.cancel()

    def settle_now(self, number: int) -> Any:
        at = number % POOL
        future = self.futures[at]
        if future.done():
            self.futures[at] = self.side.loop.create_future()
            return "a new future"
        if number % 3 == 0:
            return future.set_result(number)
        if number % 3 == 1:
            return future.set_exception(Failure(f"future {at}"))
        return future.cancel(MESSAGES[number % 2])

    def cancel_outer_now(self, number: int) -> Any:
        if not self.outers:
            return None
        return self.outers[number % len(self.outers)].cancel(MESSAGES[number % 3])

    def keep(self, outer: Any) -> Any:
        """A future that others may cancel; nobody else waits for it."""
        self.outers.append(outer)
        return outer

    def earlier(self, label: str, number: int) -> Any:
        mine = int(label[1:].split(".")[0])
        return self.tasks[number % mine] if mine else None

    def awaitables(self, label: str, inside: Any) -> list[Any]:
        found = []
        for place, step in enumerate(inside):
            name, number, _ = step
            if name == "await_future":
                found.append(self.futures[number % POOL])
            elif name == "join" and self.earlier(label, number) is not None:
                found.append(self.earlier(label, number))
            else:
                found.append(self.inner(f"{label}.{place}", (step,)))
        return found

    def started(self, label: str, inside: Any) -> list[Any]:
        """The same without coroutines, in tasks with names."""
        found = self.awaitables(label, inside)
        for place, awaitable in enumerate(found):
            if not asyncio.isfuture(awaitable):
                name = f"{label}.{place}"
                found[place] = self.side.loop.create_task(awaitable, name=name)
                self.inner_tasks[found[place]] = None
        return found

    def one(self, label: str, inside: Any) -> Any:
        awaitables = self.awaitables(label, inside[:1])
        return awaitables[0] if awaitables else self.inner(label, inside)

    def name_of(self, future: Any) -> str:
        if future in self.futures:
            return f"future {self.futures.index(future)}"
        return getattr(future, "get_name", lambda: "no task")()

    async def settle(self, label: str, number: int, inside: Any) -> Any:
        return self.settle_now(number)

    async def cancel_outer(self, label: str, number: int, inside: Any) -> Any:
        return self.cancel_outer_now(number)

    async def await_future(self, label: str, number: int, inside: Any) -> Any:
        return await self.futures[number % POOL]

    async def join(self, label: str, number: int, inside: Any) -> Any:
        task = self.earlier(label, number)
        return task is not None and await task


class Sleep(Combined):
    own = weights(sleep_with_result=4, odd_sleep=2, by_hand=2)

    async def sleep_with_result(self, label: str, number: int, inside: Any) -> Any:
        if number % 3 == 0:
            return await self.api.sleep(0, ("slept", number))
        return await self.api.sleep(self.delay(number), result=number)

    async def odd_sleep(self, label: str, number: int, inside: Any) -> Any:
        delay = (-1, -0.5, False, "x", None, float("nan"))[number % 6]
        if delay != delay and not await self.rejects_nan():
            return None
        return await self.api.sleep(delay)

    async def rejects_nan(self) -> bool:
        try:
            await asyncio.wait_for(asyncio.sleep(float("nan")), 0)
        except ValueError:
            return True
        except TimeoutError:
            pass
        return False

    async def by_hand(self, label: str, number: int, inside: Any) -> Any:
        if number % 5 == 0:
            return self.api.sleep(0).close()
        return self.drive(self.api.sleep(self.delay(number), number), number)


class Gather(Combined):
    own = weights(gather=10)
    own_nesting = frozenset({"gather"})

    async def gather(self, label: str, number: int, inside: Any) -> Any:
        awaitables = self.awaitables(label, inside)
        if number % 5 == 1:
            awaitables += awaitables[:1]
        try:
            future = self.api.gather(*awaitables, return_exceptions=number % 2 == 0)
        except BaseException:
            for awaitable in awaitables:
                if asyncio.iscoroutine(awaitable):
                    awaitable.close()
            raise
        got = await self.keep(future)
        return [describe(each) if isinstance(each, BaseException) else each for each in got]


class Wait(Combined):
    own = weights(wait=10, misuse=1)
    own_nesting = frozenset({"wait"})

    async def wait(self, label: str, number: int, inside: Any) -> Any:
        timeout = self.delay(number // 3) if number % 4 else (None, self.over())[number // 4 % 2]
        ends = (asyncio.ALL_COMPLETED, asyncio.FIRST_COMPLETED, asyncio.FIRST_EXCEPTION)
        futures = self.started(label, inside)
        for future in futures:
            # Which of them wait() itself looks at depends on their order in a set.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        done, pending = await self.api.wait(
            futures if number % 2 else set(futures), timeout=timeout, return_when=ends[number % 3]
        )
        return (
            [type(done), type(pending)] == [set, set],
            sorted(map(self.name_of, done)),
            sorted(map(self.name_of, pending)),
        )

    async def misuse(self, label: str, number: int, inside: Any) -> Any:
        coroutine = self.inner(label, ())
        try:
            if number % 4 == 0:
                return await self.api.wait(coroutine)
            if number % 4 == 1:
                return await self.api.wait([coroutine])
            if number % 4 == 2:
                return await self.api.wait(self.futures[:1], return_when="never")
            return await self.api.wait(self.futures[0])
        finally:
            coroutine.close()


class WaitFor(Combined):
    own = weights(wait_for=10)
    own_nesting = frozenset({"wait_for"})

    async def wait_for(self, label: str, number: int, inside: Any) -> Any:
        timeout = self.delay(number) if number % 3 else (None, 0, -1)[number // 3 % 3]
        return await self.api.wait_for(self.one(label, inside), timeout=timeout)


class Shield(Combined):
    own = weights(shield=10, shield_and_forget=1)
    own_nesting = frozenset({"shield", "shield_and_forget"})

    async def shield(self, label: str, number: int, inside: Any) -> Any:
        inner = self.started(label, inside[:1])
        awaitable = inner[0] if inner else self.inner(label, inside)
        return await self.keep(self.api.shield(awaitable))

    async def shield_and_forget(self, label: str, number: int, inside: Any) -> Any:
        return show(self.keep(self.api.shield(self.one(label, inside))))


class AsCompleted(Combined):
    own = weights(as_completed=10, as_completed_async=5, misuse=1)
    own_nesting = frozenset({"as_completed", "as_completed_async"})

    def chosen(self, label: str, inside: Any) -> list[Any]:
        """At most one that is done already: their order would be that of a set."""
        futures = self.started(label, inside)
        done = [future for future in futures if future.done()]
        return done[:1] + [future for future in futures if not future.done()]

    def patience(self, number: int) -> Any:
        return self.delay(number) if number % 3 else (None, self.over())[number // 3 % 2]

    async def as_completed(self, label: str, number: int, inside: Any) -> Any:
        count = 0
        futures = self.chosen(label, inside)
        for each in self.api.as_completed(futures, timeout=self.patience(number)):
            count += 1
            try:
                self.note(label, "completed", show(await each))
            except (Failure, TimeoutError) as error:
                self.note(label, "completed", describe(error))
            except asyncio.CancelledError as error:
                self.note(label, "completed", describe(error))
                me = asyncio.current_task()
                assert me is not None
                if me.cancelling():
                    raise
        return count

    async def as_completed_async(self, label: str, number: int, inside: Any) -> Any:
        futures = self.chosen(label, inside)
        iterator = self.api.as_completed(futures, timeout=self.patience(number))
        if not hasattr(iterator, "__aiter__"):
            for each in iterator:
                each.close()
            return None
        async for each in iterator:
            self.note(label, "completed", self.name_of(each), each._state)
        return len(futures)

    async def misuse(self, label: str, number: int, inside: Any) -> Any:
        return self.api.as_completed(self.futures[0])


class Timeout(Combined):
    own = weights(timeout=8, timeout_at=4, reschedule=4, look=2, misuse=2)
    own_nesting = frozenset({"timeout", "timeout_at"})
    calls = (*Combined.calls, "reschedule_now")

    def begin(self, setup: int) -> None:
        super().begin(setup)
        self.timeouts: list[Any] = []

    def state(self) -> Any:
        return [self.seen(timeout) for timeout in self.timeouts]

    def seen(self, timeout: Any) -> Any:
        return (plain(repr(timeout)), timeout.when(), timeout.expired())

    def reschedule_now(self, number: int) -> Any:
        if not self.timeouts:
            return None
        timeout = self.timeouts[number % len(self.timeouts)]
        when = (None, self.side.now, self.side.now - 1)[number % 3]
        return timeout.reschedule(when if number % 2 else self.side.now + self.delay(number))

    async def timeout(self, label: str, number: int, inside: Any) -> Any:
        delay = self.delay(number) if number % 4 else (None, 0, -1)[number // 4 % 3]
        return await self.within(self.api.timeout(delay), label, inside)

    async def timeout_at(self, label: str, number: int, inside: Any) -> Any:
        when = None if number % 4 == 3 else self.side.now + self.delay(number) - 1
        return await self.within(self.api.timeout_at(when), label, inside)

    async def within(self, timeout: Any, label: str, inside: Any) -> Any:
        self.timeouts.append(timeout)
        async with timeout as entered:
            self.note(label, "within", entered is timeout, self.seen(timeout))
            await self.block(label, inside)
        return self.seen(timeout)

    async def reschedule(self, label: str, number: int, inside: Any) -> Any:
        return self.reschedule_now(number)

    async def look(self, label: str, number: int, inside: Any) -> Any:
        return self.state()

    async def misuse(self, label: str, number: int, inside: Any) -> Any:
        timeout = self.api.timeout(None)
        if number % 3 == 0:
            return timeout.reschedule(None)
        async with timeout:
            if number % 3 == 1:
                await timeout.__aenter__()
        return await timeout.__aenter__()


class TaskGroup(Combined):
    own = weights(group=10, grow=3, misuse=1)
    own_nesting = frozenset({"group"})
    calls = (*Combined.calls, "grow_now")

    def begin(self, setup: int) -> None:
        super().begin(setup)
        self.groups: list[Any] = []

    def state(self) -> Any:
        return (super().state(), [plain(repr(group)) for group in self.groups])

    def add(self, group: Any, label: str, coroutine: Any) -> Any:
        try:
            task = group.create_task(coroutine, name=label)
        except BaseException:
            coroutine.close()  # which newer versions have done
            raise
        self.inner_tasks[task] = None
        return task

    def grow_now(self, number: int) -> Any:
        if not self.groups:
            return None
        self.deadlines += 1
        label = f"t0.grown{self.deadlines}"
        steps = [("sleep", number, ()), ("pause", number, ()), ("fail", number, ())]
        coroutine = self.inner(label, (steps[number % 3],))
        return self.add(self.groups[number % len(self.groups)], label, coroutine).get_name()

    async def grow(self, label: str, number: int, inside: Any) -> Any:
        return self.grow_now(number)

    async def group(self, label: str, number: int, inside: Any) -> Any:
        group = self.api.TaskGroup()
        self.groups.append(group)
        async with group as entered:
            if type(group._tasks) is set:
                group._tasks = InOrder()
            self.note(label, "in the group", entered is group)
            for place, step in enumerate(inside):
                name = f"{label}.{place}"
                self.note(self.add(group, name, self.inner(name, (step,))).get_name())
            await self.block(label, (("sleep", number, ()), ("fail", number, ()))[: number % 3])
        return plain(repr(group))

    async def misuse(self, label: str, number: int, inside: Any) -> Any:
        group = self.api.TaskGroup()
        if number % 3 == 0:
            return self.add(group, label, self.inner(label, ()))
        async with group:
            if number % 3 == 1:
                await group.__aenter__()
        return self.add(group, label, self.inner(label, ()))


class Awaitable:
    """Neither a coroutine nor a future."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __await__(self) -> Any:
        return self.inner.__await__()


class Tasks(Combined):
    """Making tasks and asking for them, and futures of `concurrent.futures`."""

    own = weights(ensure=4, create=4, ask=2, wrap=4, threadsafe=4, settle_outside=6)
    own_nesting = frozenset({"ensure", "create", "threadsafe"})
    calls = (*Combined.calls, "settle_outside_now")

    def begin(self, setup: int) -> None:
        super().begin(setup)
        self.outside: list[concurrent.futures.Future[Any]] = []
        self.threadsafe_futures: set[Any] = set()  # whose results come from tasks

    def state(self) -> Any:
        return (super().state(), [future._state for future in self.outside])

    def rescue(self) -> None:
        super().rescue()
        for future in self.outside:
            future.cancel()

    def settle_outside_now(self, number: int) -> Any:
        if not self.outside:
            return None
        future = self.outside[number % len(self.outside)]
        if number % 4 == 0 or future.done() or future in self.threadsafe_futures:
            return future.cancel()
        if number % 4 == 1:
            return future.set_exception(Failure("outside"))
        return future.set_result(number)

    async def settle_outside(self, label: str, number: int, inside: Any) -> Any:
        return self.settle_outside_now(number)

    async def wrap(self, label: str, number: int, inside: Any) -> Any:
        self.outside.append(concurrent.futures.Future())
        future = self.api.wrap_future(self.outside[-1])
        assert self.api.wrap_future(future) is future
        return await self.keep(future)

    async def threadsafe(self, label: str, number: int, inside: Any) -> Any:
        coroutine = self.inner(label, inside)
        future = self.api.run_coroutine_threadsafe(coroutine, self.side.loop)
        self.outside.append(future)
        self.threadsafe_futures.add(future)
        return show(future)

    async def ensure(self, label: str, number: int, inside: Any) -> Any:
        one = self.one(label, inside)
        if number % 4 == 0:
            one = Awaitable(one)
        elif number % 4 == 1:
            one = self.api.ensure_future(one, loop=self.side.loop)
        future = self.api.ensure_future(one)
        if number % 8 == 3:
            return self.api.ensure_future(number)
        return ((future is one), await future)

    async def create(self, label: str, number: int, inside: Any) -> Any:
        options: dict[str, Any] = {} if number % 3 else {"context": contextvars.copy_context()}
        if number % 4:
            options["name"] = f"{label}.made"
        task = self.api.create_task(self.inner(label, inside), **options)
        self.inner_tasks[task] = None
        return await task if number % 2 else show(task)

    async def ask(self, label: str, number: int, inside: Any) -> Any:
        me = self.api.current_task()
        everybody = self.api.all_tasks()
        return (
            me is asyncio.current_task(self.side.loop),
            everybody == asyncio.all_tasks(self.side.loop),
            me in everybody,
            len(everybody),
            plain(repr(me)),
        )


class Everything(Gather, Wait, WaitFor, Shield, AsCompleted, Timeout, TaskGroup):
    """All of these inside each other."""

    own = weights(
        gather=2,
        wait=2,
        wait_for=2,
        shield=2,
        as_completed=2,
        timeout=2,
        reschedule=1,
        group=2,
        grow=1,
    )
    own_nesting = frozenset(
        {"gather", "wait", "wait_for", "shield", "as_completed", "timeout", "group"}
    )

    def state(self) -> Any:
        return (Combined.state(self), Timeout.state(self), TaskGroup.state(self))


KINDS: list[type[Run]] = [
    Sleep,
    Gather,
    Wait,
    WaitFor,
    Shield,
    AsCompleted,
    Timeout,
    TaskGroup,
    Tasks,
    Everything,
]


@pytest.mark.parametrize(**by_name(KINDS))
def test_random_programs_have_the_same_history(
    kind: type[Run], request: pytest.FixtureRequest
) -> None:
    check(kind, request.config.getoption("--impl"))

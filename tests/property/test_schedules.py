"""Random schedules: tasks, futures, cancels, contexts, timers and callbacks, step by step.

A state machine drives two worlds with the same operations: stock types on the stock loop (the
oracle) and one with native types or the native loop.  Both write a trace of all that can be
observed; after every turn the traces must be equal.  Time is ours: both loops' clocks are moved by
the machine, so that timers are part of the schedule and nothing waits.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import World

pytestmark = [pytest.mark.property, pytest.mark.timeout(3000)]

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="-")

# What a task does, as data: both worlds get the same program.
STEPS = st.one_of(
    st.tuples(st.just("sleep")),
    st.tuples(st.just("await"), st.integers(0, 5)),
    st.tuples(st.just("spawn"), st.integers(0, 2)),
    st.tuples(st.just("set"), st.integers(0, 5)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("join"), st.integers(0, 5)),
    st.tuples(st.just("variable"), st.text("abc", max_size=2)),
    st.tuples(st.just("fail")),
    st.tuples(st.just("shield"), st.integers(0, 5)),
    st.tuples(st.just("gather"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("uncancel")),
)
PROGRAM = st.tuples(
    st.sampled_from(["lets cancellation out", "swallows it once", "returns when cancelled"]),
    st.lists(STEPS, max_size=6),
)


class Failure(Exception):
    """What a failing step raises; compared by its text."""


class Side:
    """One world with its trace."""

    def __init__(self, types: str, loop: str) -> None:
        self.world = World(types, loop)
        self.now = 1000.0
        self.world.loop.time = lambda: self.now
        self.trace: list[Any] = []
        self.futures: list[Any] = []
        self.tasks: list[Any] = []
        self.timers: list[Any] = []
        self.world.loop.set_exception_handler(self.on_error)

    def on_error(self, loop: Any, context: dict[str, Any]) -> None:
        message = context["message"].split(" at ")[0].split("(")[0]
        self.trace.append(("error", message, repr(context.get("exception"))))

    def add_future(self) -> None:
        self.futures.append(self.world.future())

    def add_task(self, program: Any, label: str, eager: bool = False) -> Any:
        kwargs = {"eager_start": True} if eager else {}
        task = self.world.task(self.body(program, label), name=label, **kwargs)
        self.tasks.append(task)
        return task

    async def body(self, program: Any, label: str) -> str:
        manner, steps = program
        swallowed = 0
        self.trace.append((label, "starts", VARIABLE.get()))
        for number, step in enumerate(steps):
            try:
                got = await self.perform(step, label)
                self.trace.append((label, number, step[0], got, VARIABLE.get()))
            except asyncio.CancelledError as error:
                me = asyncio.current_task()
                assert me is not None
                self.trace.append((label, number, "cancelled", error.args, me.cancelling()))
                if manner == "returns when cancelled":
                    return "returned"
                if manner != "swallows it once" or swallowed:
                    raise
                swallowed += 1
            except Failure as error:
                self.trace.append((label, number, "saw", str(error)))
                if step[0] == "fail":
                    raise
        return f"end of {label}"

    async def perform(self, step: Any, label: str) -> Any:
        kind, *arguments = step
        if kind == "sleep":
            return await asyncio.sleep(0)
        if kind == "variable":
            VARIABLE.set(arguments[0])
            return None
        if kind == "fail":
            raise Failure(label)
        if kind == "uncancel":
            me = asyncio.current_task()
            assert me is not None
            return me.uncancel()
        if kind == "spawn":
            if len(self.tasks) < 40:
                self.add_task(("lets cancellation out", [("sleep",)] * arguments[0]), f"{label}.c")
            return len(self.tasks)
        if kind in ("await", "set", "shield"):
            if not self.futures:
                return None
            future = self.futures[arguments[0] % len(self.futures)]
            if kind == "set":
                return self.settle(future, label)
            return await (asyncio.shield(future) if kind == "shield" else future)
        if kind == "gather":
            chosen = [self.pick_earlier(number) for number in arguments]
            chosen = [task for task in chosen if task is not None]
            results = await asyncio.gather(*chosen, return_exceptions=True)
            return [repr(result) for result in results]
        if kind == "cancel":
            task = self.tasks[arguments[0] % len(self.tasks)] if self.tasks else None
            return task is not None and task.cancel(label)
        task = self.pick_earlier(arguments[0])
        return None if task is None else await task

    def pick_earlier(self, number: int) -> Any:
        """A task older than the one that asks: who waits in a circle is cancelled for ever."""
        me = asyncio.current_task()
        older = self.tasks[: self.tasks.index(me)] if me in self.tasks else self.tasks
        return older[number % len(older)] if older else None

    def settle(self, future: Any, value: Any) -> str:
        if future.done():
            return "done already"
        future.set_result(value)
        return "settled"

    def snapshot(self) -> list[Any]:
        return [
            [(f._state, outcome_of(f), len(f._callbacks or ())) for f in self.futures],
            [
                (t.get_name(), t._state, outcome_of(t), t.cancelling(), t._must_cancel)
                for t in self.tasks
            ],
            [timer.cancelled() for timer in self.timers],
            sorted(task.get_name() for task in asyncio.all_tasks(self.world.loop)),
        ]

    def settle_all(self) -> None:
        for future in self.futures:
            future.cancel()
        for _ in range(4):
            for task in self.tasks:
                task.cancel()
            self.world.turn(4)
        for task in self.tasks:
            task._log_destroy_pending = False
            if task.done() and not task.cancelled():
                task.exception()


def outcome_of(future: Any) -> str:
    if not future.done() or future.cancelled():
        return "-"
    error = future.exception()
    return repr(error) if error is not None else repr(future.result())


class Schedules(RuleBasedStateMachine):
    """The operations; each is done on the oracle and on the subject."""

    subject = ("bucle", "bucle")

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side("stock", "stock"), Side(*self.subject)]
        self.count = 0

    def label(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def both(self, act: Any) -> None:
        results = [act(side) for side in self.sides]
        assert results[0] == results[1]

    @initialize(count=st.integers(1, 4))
    def begin(self, count: int) -> None:
        for _ in range(count):
            for side in self.sides:
                side.add_future()

    @rule(program=PROGRAM)
    def spawn(self, program: Any) -> None:
        label = self.label()
        for side in self.sides:
            side.add_task(program, label)

    @precondition(lambda self: hasattr(asyncio, "eager_task_factory"))
    @rule(program=PROGRAM)
    def spawn_eagerly_from_a_task(self, program: Any) -> None:
        label = self.label()

        async def parent(side: Side) -> None:
            side.add_task(program, label, eager=True)

        for side in self.sides:
            side.tasks.append(side.world.task(parent(side), name=f"parent of {label}"))

    @rule()
    def new_future(self) -> None:
        for side in self.sides:
            side.add_future()

    @rule(index=st.integers(0, 9), value=st.integers())
    def set_result(self, index: int, value: int) -> None:
        self.both(lambda side: side.settle(side.futures[index % len(side.futures)], value))

    @rule(index=st.integers(0, 9))
    def set_exception(self, index: int) -> None:
        for side in self.sides:
            future = side.futures[index % len(side.futures)]
            if not future.done():
                future.set_exception(Failure(f"future {index}"))

    @rule(index=st.integers(0, 9), message=st.sampled_from([None, "m", ""]))
    def cancel_future(self, index: int, message: str | None) -> None:
        self.both(lambda side: side.futures[index % len(side.futures)].cancel(message))

    @precondition(lambda self: self.sides[0].tasks)
    @rule(index=st.integers(0, 20), message=st.sampled_from([None, "m", 5]))
    def cancel_task(self, index: int, message: Any) -> None:
        self.both(lambda side: side.tasks[index % len(side.tasks)].cancel(message))

    @precondition(lambda self: self.sides[0].tasks)
    @rule(index=st.integers(0, 20))
    def uncancel_task(self, index: int) -> None:
        self.both(lambda side: side.tasks[index % len(side.tasks)].uncancel())

    @rule(index=st.integers(0, 9), remove=st.booleans())
    def callback(self, index: int, remove: bool) -> None:
        for side in self.sides:
            future = side.futures[index % len(side.futures)]

            def done(settled: Any, side: Side = side) -> None:
                side.trace.append(("callback", index, settled._state, VARIABLE.get()))

            future.add_done_callback(done)
            if remove:
                side.trace.append(future.remove_done_callback(done))

    @rule(text=st.text("xy", max_size=2))
    def call_soon(self, text: str) -> None:
        for side in self.sides:
            context = contextvars.copy_context()
            context.run(VARIABLE.set, text)
            side.world.loop.call_soon(
                lambda side=side: side.trace.append(("soon", VARIABLE.get())), context=context
            )

    @rule()
    def call_that_fails(self) -> None:
        def fail() -> None:
            raise Failure("in a callback")

        for side in self.sides:
            side.world.loop.call_soon(fail)

    @rule(delay=st.integers(0, 5))
    def arm(self, delay: int) -> None:
        # Equal deadlines are avoided: a heap of asyncio's promises no order for them.
        self.count += 1
        when = self.sides[0].now + delay + self.count * 1e-6
        for side in self.sides:
            number = len(side.timers)
            side.timers.append(side.world.loop.call_at(when, side.trace.append, ("timer", number)))

    @precondition(lambda self: self.sides[0].timers)
    @rule(index=st.integers(0, 20))
    def disarm(self, index: int) -> None:
        for side in self.sides:
            side.timers[index % len(side.timers)].cancel()

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        for side in self.sides:
            side.now += seconds
        self.turn(1)

    @rule(times=st.integers(1, 3))
    def turn(self, times: int) -> None:
        for _ in range(times):
            for side in self.sides:
                side.world.turn()

    @rule()
    def drop_and_collect(self) -> None:
        for side in self.sides:
            side.tasks[:] = [task for task in side.tasks if not task.done()]
            gc.collect()

    @invariant()
    def same_trace(self) -> None:
        oracle, subject = self.sides
        assert subject.trace == oracle.trace
        assert subject.snapshot() == oracle.snapshot()

    def teardown(self) -> None:
        oracle, subject = self.sides
        try:
            for side in self.sides:
                side.settle_all()
            assert subject.trace == oracle.trace
        finally:
            for side in self.sides:
                side.world.close()


WORLDS = [("bucle", "bucle"), ("bucle", "stock"), ("stock", "bucle")]


@pytest.mark.parametrize("world_under_test", WORLDS, ids=lambda pair: f"{pair[0]}-on-{pair[1]}")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_random_schedules_leave_the_same_trace(
    world_under_test: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--impl") == "stock":
        world_under_test = ("stock", "stock")
    machine = type("Machine", (Schedules,), {"subject": world_under_test})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            deadline=None,
            stateful_step_count=40,
            suppress_health_check=list(HealthCheck),
        ),
    )

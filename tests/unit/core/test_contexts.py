"""Context variables: each task, handle, callback and timer runs in the context it was given.

The loop must enter and leave a context around everything it calls, also when that fails.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import collect

if TYPE_CHECKING:
    from tests.support import World

V: contextvars.ContextVar[Any] = contextvars.ContextVar("V", default="default")


def test_handles_run_in_the_context_of_the_call(world: World) -> None:
    seen: list[Any] = []
    token = V.set("at the call")
    world.loop.call_soon(lambda: seen.append(V.get()))
    world.loop.call_later(0, lambda: seen.append(V.get()))
    world.loop.call_soon_threadsafe(lambda: seen.append(V.get()))
    V.reset(token)
    world.loop.call_later(0.002, world.loop.stop)
    world.loop.run_forever()
    assert seen == ["at the call"] * 3
    assert V.get() == "default"


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_handles_run_in_the_context_given(world: World, method: str) -> None:
    context = contextvars.Context()
    context.run(V.set, "given")
    seen: list[Any] = []
    delay = {"call_later": [0], "call_at": [world.loop.time()]}.get(method, [])
    call = getattr(world.loop, method)
    call(*delay, lambda: seen.append((V.get(), V.set("changed"))), context=context)
    world.loop.call_later(0.002, world.loop.stop)
    world.loop.run_forever()
    assert seen[0][0] == "given"
    assert context[V] == "changed"
    assert V.get() == "default"


def test_an_empty_context_stays_apart(world: World) -> None:
    seen: list[Any] = []

    def write() -> None:
        V.set("inner")
        seen.append(len(contextvars.copy_context()))

    contextvars.Context().run(world.loop.call_soon, write)
    contextvars.Context().run(world.loop.call_soon, lambda: seen.append(V.get()))
    world.turn()
    assert seen == [1, "default"]


def test_one_context_shared_by_tasks(world: World) -> None:
    context = contextvars.copy_context()

    async def add(number: int) -> None:
        before = V.get()
        await asyncio.sleep(0)
        V.set((*([] if before == "default" else V.get()), number))

    async def main() -> None:
        tasks = [world.task(add(number), context=context) for number in range(3)]
        await asyncio.gather(*tasks)

    world.run(main())
    assert context[V] == (0, 1, 2) or context[V][-1] == 2


def test_tasks_do_not_see_each_other(world: World) -> None:
    async def write(value: int) -> tuple[int, Any]:
        V.set(value)
        await asyncio.sleep(0)
        return value, V.get()

    async def main() -> list[Any]:
        return await asyncio.gather(*(world.task(write(n)) for n in range(5)))

    assert world.run(main()) == [(n, n) for n in range(5)]


def test_a_context_is_left_after_a_failure(world: World) -> None:
    context = contextvars.copy_context()

    def fail() -> None:
        raise LookupError

    world.loop.call_soon(fail, context=context)
    world.loop.call_soon(fail, context=context)
    world.turn()
    assert context.run(V.get) == "default"
    assert len(world.take_errors()) == 2


def test_a_context_is_left_after_an_interrupt(world: World) -> None:
    context = contextvars.copy_context()

    def interrupt() -> None:
        raise KeyboardInterrupt

    async def interrupt_in_task() -> None:
        raise KeyboardInterrupt

    world.loop.call_soon(interrupt, context=context)
    with pytest.raises(KeyboardInterrupt):
        world.loop.run_forever()
    context.run(lambda: None)
    task = world.task(interrupt_in_task(), context=context)
    with pytest.raises(KeyboardInterrupt):
        world.loop.run_forever()
    assert isinstance(task.exception(), KeyboardInterrupt)
    context.run(lambda: None)


def test_entering_an_entered_context_is_reported(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    context, ran = contextvars.copy_context(), []
    world.loop.call_soon(ran.append, "never", context=context)
    context.run(world.turn)
    # A handler runs in the same context, so from 3.12 on it fails as well: then it is logged.
    reports = world.take_errors()
    assert ran == []
    assert "is already entered" in caplog.text or "is already" in str(reports[0]["exception"])
    world.turn()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="came with 3.12")
def test_the_exception_handler_runs_in_the_tasks_context(world: World) -> None:
    seen: list[Any] = []
    world.loop.set_exception_handler(lambda loop, context: seen.append(V.get()))

    async def fail() -> None:
        V.set("inside the task")
        world.loop.call_soon(fail_in_callback)

    def fail_in_callback() -> None:
        raise LookupError

    world.loop.run_until_complete(world.task(fail()))
    world.turn()
    assert seen == ["inside the task"]


class Stranger:
    """asyncio asks of a context no more than a method run()."""

    def __init__(self) -> None:
        self.ran = 0

    def run(self, callback: Any, *args: Any) -> Any:
        self.ran += 1
        return callback(*args)


def test_a_context_by_its_method_run(world: World) -> None:
    stranger, seen = Stranger(), []

    async def work() -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return 5

    world.loop.call_soon(seen.append, 1, context=stranger)
    world.loop.call_later(0, seen.append, 2, context=stranger)
    world.loop.call_soon_threadsafe(seen.append, 3, context=stranger)
    future = world.future()
    future.add_done_callback(seen.append, context=stranger)
    future.set_result(None)
    task = world.task(work(), context=stranger)
    assert world.loop.run_until_complete(task) == 5
    assert set(seen) == {1, 2, 3, future}
    assert stranger.ran == 4 + 3


def test_what_is_no_context_at_all(world: World) -> None:
    world.loop.call_soon(print, context=5)
    world.turn()
    (report,) = world.take_errors()
    assert str(report["exception"]) == "'int' object has no attribute 'run'"


def test_wakeups_run_in_the_tasks_own_context(world: World) -> None:
    future = world.future()

    async def wait() -> Any:
        V.set("task")
        await future
        return V.get()

    task = world.task(wait())
    world.turn()
    token = V.set("setter")
    future.set_result(None)
    V.reset(token)
    assert world.loop.run_until_complete(task) == "task"
    assert V.get() == "default"


def test_decimal_contexts_do_not_leak_between_tasks(world: World) -> None:
    import decimal

    async def compute(precision: int) -> str:
        with decimal.localcontext() as context:
            context.prec = precision
            await asyncio.sleep(0)
            return str(decimal.Decimal(1) / 3)

    async def main() -> list[str]:
        return await asyncio.gather(*(world.task(compute(p)) for p in (2, 4, 6)))

    assert world.run(main()) == ["0.33", "0.3333", "0.333333"]


def test_steps_take_turns_with_everything_else(world: World) -> None:
    """Each sees its own context, whatever ran before it in the same turn."""
    loop, seen = world.loop, []

    async def step(name: str, *, write: bool = False) -> None:
        for _ in range(3):
            seen.append((name, V.get()))
            if write:
                V.set(name)
            loop.call_soon(lambda: seen.append((f"after {name}", V.get())))
            await asyncio.sleep(0)

    def start(name: str, **kwargs: Any) -> Any:
        return contextvars.Context().run(world.task, step(name, **kwargs))

    async def main() -> None:
        own = contextvars.Context()
        own.run(V.set, "own")
        tasks = [start("a"), start("b", write=True), start("c"), start("d")]
        tasks += [world.task(step(name), context=own) for name in ("e", "f")]
        V.set("main")
        await asyncio.gather(*tasks)

    world.run(main())
    expected = {"a": {"default"}, "b": {"default", "b"}, "e": {"own"}}
    expected |= {"c": expected["a"], "d": expected["a"], "f": expected["e"]}
    for name, values in expected.items():
        assert {value for who, value in seen if who == name} == values, name
        after = {value for who, value in seen if who == f"after {name}"}
        assert after == values - {"default"} or after == values == {"default"}, name


def test_what_a_task_leaves_dies_outside_its_context(world: World) -> None:
    """The last reference to a done task is the loop's: what is told then, is told outside."""
    seen: list[Any] = []

    async def finish() -> None:
        await asyncio.sleep(0)

    def tell(_: object) -> None:
        seen.append((V.get(), world.api.current_task()))
        V.set("by the finalizer")

    def start() -> None:
        contextvars.Context().run(start_watched)

    def start_watched() -> None:
        watched.append(weakref.ref(world.task(finish()), tell))

    watched: list[Any] = []

    def run() -> None:
        V.set("outside")
        start()
        world.turn(4)
        start()
        world.turn(4)

    contextvars.Context().run(run)
    assert seen == [("outside", None), ("by the finalizer", None)]


def test_tasks_that_wait_share_no_context(world: World) -> None:
    """One that asks for its own gets it, and it stays its own."""

    async def wait(future: Any) -> Any:
        await future
        return V.get()

    def start() -> tuple[Any, Any]:
        future = world.future()
        return future, contextvars.Context().run(world.task, wait(future))

    started = [start() for _ in range(3)]
    world.turn()
    if sys.version_info >= (3, 12):
        contexts = [task.get_context() for _, task in started]
        assert len(set(map(id, contexts))) == 3
        contexts[1].run(V.set, "set from outside")
        assert [task.get_context() for _, task in started] == contexts
    for future, _ in started:
        future.set_result(None)
    results = [world.loop.run_until_complete(task) for _, task in started]
    if sys.version_info >= (3, 12):
        assert results == ["default", "set from outside", "default"]


@pytest.mark.native
def test_a_waiting_task_has_no_context_of_its_own(world: World) -> None:
    async def wait(future: Any) -> None:
        await asyncio.sleep(0)
        await future

    def contexts() -> int:
        return sum(type(thing) is contextvars.Context for thing in gc.get_objects())

    collect()
    before = contexts()
    future = world.future()
    tasks = [contextvars.Context().run(world.task, wait(future)) for _ in range(100)]
    world.turn()
    world.turn()
    assert contexts() - before < 5
    future.set_result(None)
    world.loop.run_until_complete(world.api.wait(tasks))

"""Context variables: each task, handle, callback and timer runs in the context it was given.

The loop must enter and leave a context around everything it calls, also when that fails.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any

import pytest

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

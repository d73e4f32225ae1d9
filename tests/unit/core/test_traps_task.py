"""Traps that lie in Task: interrupts, cancellation races, bad yields, bookkeeping, deep chains.

The number in a test's name is the trap's number in the list that the project keeps: known places
where a native implementation of asyncio goes wrong.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import types
import weakref
from typing import Any

import pytest

from tests.support import STOCK, World, check_script, collect, outcome

CancelledError = asyncio.CancelledError
SINCE_3_12 = sys.version_info >= (3, 12)
CLOSED = ("raised", "RuntimeError", "Event loop is closed")
eager = pytest.mark.skipif(not SINCE_3_12, reason="eager tasks came with 3.12")


@types.coroutine
def give_out(value: Any) -> Any:
    """Yields a value to whoever steps the task."""
    return (yield value)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_trap_04_an_interrupt_is_stored_and_leaves_the_loop(
    world: World, error: type[BaseException]
) -> None:
    async def interrupt() -> None:
        raise error("now")

    task = world.task(interrupt())
    with pytest.raises(error, match=r"^now$"):
        world.loop.run_forever()
    assert not world.loop.is_running()
    assert isinstance(task.exception(), error)
    assert world.run(asyncio.sleep(0, "usable")) == "usable"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_trap_04_an_interrupt_in_the_main_task_is_raised_once(
    world: World, error: type[BaseException]
) -> None:
    async def interrupt() -> None:
        raise error("main")

    with pytest.raises(error, match=r"^main$"):
        world.loop.run_until_complete(interrupt())
    collect()
    assert world.take_errors() == []
    assert world.run(asyncio.sleep(0, "usable")) == "usable"


def test_trap_04_an_interrupt_in_a_side_task_is_logged_later(world: World) -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        world.task(interrupt())
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    main_task = world.task(main())
    with pytest.raises(KeyboardInterrupt):
        world.loop.run_until_complete(main_task)
    world.loop.run_until_complete(main_task)
    collect()
    (context,) = world.take_errors()
    assert context["message"] == "Task exception was never retrieved"


@eager
def test_trap_04_an_interrupt_in_an_eager_start_comes_out_of_the_constructor(
    world: World,
) -> None:
    async def interrupt() -> None:
        raise KeyboardInterrupt

    async def main() -> bool:
        current = asyncio.current_task()
        with pytest.raises(KeyboardInterrupt):
            world.task(interrupt(), eager_start=True)
        return asyncio.current_task() is current

    assert world.run(main())
    collect()
    world.take_errors()


def test_trap_05_a_return_while_cancellation_is_due_is_a_cancellation(world: World) -> None:
    async def body() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("due")
        return "returned all the same"

    task = world.task(body())
    with pytest.raises(CancelledError, match=r"^due$"):
        world.loop.run_until_complete(task)
    assert task.cancelled()


def test_trap_05_cancel_then_uncancel_before_the_step(world: World) -> None:
    def attempt(task_type: Any) -> bool:
        async def body() -> None:
            await asyncio.sleep(0)

        task = task_type(body(), loop=world.loop)
        task.cancel()
        task.uncancel()
        world.turn(3)
        return bool(task.cancelled())

    assert attempt(world.types.Task) == attempt(STOCK.Task)


def test_trap_06_cancel_after_the_result_was_set_wins(world: World) -> None:
    future = world.future()

    async def wait() -> Any:
        return await future

    task = world.task(wait())
    world.turn()
    future.set_result("lost")
    assert task._fut_waiter is future
    assert task.cancel() is True
    assert task._must_cancel is True
    with pytest.raises(CancelledError):
        world.loop.run_until_complete(task)


def test_trap_06_cancel_after_the_exception_was_set_wins(world: World) -> None:
    future = world.future()

    async def wait() -> Any:
        return await future

    task = world.task(wait())
    world.turn()
    future.set_exception(ValueError("lost"))
    assert task.cancel() is True
    with pytest.raises(CancelledError):
        world.loop.run_until_complete(task)


def bad_yield_cases(world: World) -> list[tuple[Any, str]]:
    other = world.loops.new_loop()
    blocking = STOCK.Future(loop=other)
    blocking._asyncio_future_blocking = True
    cases: list[tuple[Any, str]] = [
        (5, r"Task got bad yield: 5"),
        ("text", r"Task got bad yield: 'text'"),
        (world.future(), r"yield was used instead of yield from in task <Task .* with <Future "),
        (
            (n for n in ()),
            r"yield was used instead of yield from for generator in task <Task .* with <generator",
        ),
        (blocking, r"Task <Task .* got Future <Future pending> attached to a different loop"),
    ]
    other.close()
    return cases


def test_trap_10_bad_yields_come_back_on_the_next_turn(world: World) -> None:
    for value, text in bad_yield_cases(world):
        order: list[str] = []

        async def body(value: Any = value, order: list[str] = order) -> None:
            world.loop.call_soon(order.append, "turn")
            try:
                await give_out(value)
            except RuntimeError as error:
                order.append("thrown")
                raise RuntimeError(*error.args) from None

        with pytest.raises(RuntimeError, match=text):
            world.run(body())
        assert order == ["turn", "thrown"]


def test_trap_10_a_task_cannot_await_itself(world: World) -> None:
    async def body() -> None:
        await asyncio.current_task()  # type: ignore[misc]

    with pytest.raises(RuntimeError, match=r"^Task cannot await on itself: <Task "):
        world.run(body())


def test_trap_11_only_a_yielded_none_means_the_next_turn(world: World) -> None:
    async def body() -> str:
        for falsy in (0, False, "", ()):
            with pytest.raises(RuntimeError, match=r"Task got bad yield"):
                await give_out(falsy)
        assert await give_out(None) is None
        return "end"

    assert world.run(body()) == "end"


@eager
def test_trap_12_eager_start_in_an_entered_context(world: World) -> None:
    async def child() -> None:
        pass

    async def main() -> str:
        context = contextvars.copy_context()
        coro = child()

        def start() -> None:
            world.task(coro, eager_start=True, context=context)

        with pytest.raises(RuntimeError, match=r"^cannot enter context: .* is already entered$"):
            context.run(start)
        coro.close()
        current = asyncio.current_task()
        assert current is not None
        await asyncio.sleep(0)
        return "still turning"

    if not world.types.native:
        pytest.skip("stock leaves the wrong task current here, and then hangs")
    assert world.run(main()) == "still turning"
    collect()
    world.take_errors()


def test_trap_12_done_callbacks_without_context_copy_the_current_one(world: World) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen: list[int] = []

    async def body() -> None:
        pass

    task = world.task(body())
    token = variable.set(7)
    task.add_done_callback(lambda t: seen.append(variable.get()))
    variable.reset(token)
    task.add_done_callback(lambda t: seen.append(variable.get()))
    world.turn(3)
    assert seen == [7, 0]


def test_trap_13_current_task_is_cleared_on_every_way_out(world: World) -> None:
    current: list[Any] = []

    async def fail() -> None:
        raise KeyError

    async def interrupt() -> None:
        raise KeyboardInterrupt

    def note(_: object = None) -> None:
        current.append(asyncio.current_task(world.loop))

    for body in (fail, interrupt):
        task = world.task(body())
        task.add_done_callback(note)
        world.loop.call_soon(note)
        try:
            world.turn(2)
        except KeyboardInterrupt:
            world.turn(2)
        task.exception()
    assert current == [None] * len(current)
    assert len(current) >= 3
    assert asyncio.current_task(world.loop) is None


def test_trap_14_a_chain_of_twenty_thousand_tasks(world: World) -> None:
    async def main() -> int:
        future = world.future()

        async def wait(previous: Any) -> int:
            return int(await previous) + 1

        last = future
        for _ in range(20_000):
            last = world.task(wait(last))
        world.loop.call_soon(future.set_result, 0)
        return int(await last)

    assert world.run(main()) == 20_000


def test_trap_14_a_deep_coroutine_raises_recursion_error_inside_the_task(world: World) -> None:
    async def deeper(depth: int) -> None:
        await deeper(depth + 1)

    task = world.task(deeper(0))
    world.turn(2)
    assert isinstance(task.exception(), RecursionError)


def test_trap_14_long_chains_are_freed_without_recursion(impl: Any) -> None:
    out = check_script(
        """
        import asyncio, gc
        loop = impl.new_loop()
        loop.set_exception_handler(lambda *_: None)

        async def wait(previous):
            await previous

        def chain():
            last = impl.Future(loop=loop)
            for _ in range(100_000):
                last = impl.Task(wait(last), loop=loop)
            loop.call_soon(loop.stop)
            loop.run_forever()
            return last

        def futures():
            last = impl.Future(loop=loop)
            for _ in range(100_000):
                following = impl.Future(loop=loop)
                following.add_done_callback(last.set_result)
                last = following
            return last

        kept = chain(), futures()
        del kept
        gc.collect()
        loop.close()
        print("freed")
        """,
        impl=impl.name,
        timeout=120,
    )
    assert out == "freed\n"


def test_trap_14_a_cancellation_down_a_very_long_chain(impl: Any) -> None:
    """Stock gives up with RecursionError; whatever the answer, the process lives."""
    out = check_script(
        """
        import asyncio

        async def leaf():
            await asyncio.sleep(1000)

        async def link(task):
            await task

        async def main():
            task = impl.Task(leaf(), loop=loop)
            for _ in range(100_000):
                task = impl.Task(link(task), loop=loop)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                task.cancel()
                print("cancelled")
            except RecursionError:
                print("refused")

        loop = impl.new_loop()
        loop.set_exception_handler(lambda *_: None)
        loop.run_until_complete(main())
        """,
        impl=impl.name,
        options=("-W", "ignore::ResourceWarning"),
        timeout=120,
    )
    assert out in ("cancelled\n", "refused\n")


@pytest.mark.parametrize("waiter_kept", [True, False])
def test_trap_15_a_handler_that_keeps_the_task_resurrects_it(
    world: World, waiter_kept: bool
) -> None:
    async def wait() -> None:
        await world.future()

    task = world.task(wait(), name="revived")
    world.turn()
    if not waiter_kept:  # up to 3.13 nothing leads back to the task then: freed without collector
        ((wakeup, _),) = task._fut_waiter._callbacks
        task._fut_waiter.remove_done_callback(wakeup)
        del wakeup
    del task
    collect()
    (context,) = world.take_errors()
    task = context["task"]
    assert (task.done(), task.get_name()) == (False, "revived")
    assert asyncio.isfuture(task._fut_waiter)
    assert repr(task)
    del task, context
    collect()
    assert world.take_errors() == []


def test_trap_15_a_task_that_its_finalizer_registers_again(impl: Any) -> None:
    """The dying task must not stay in the list of tasks that all_tasks() walks."""
    out = check_script(
        """
        import asyncio, gc

        class Loop:
            def get_debug(self):
                return False

            def call_soon(self, *args, **kwargs):
                pass

            def call_exception_handler(self, context):
                asyncio.tasks._register_task(context["task"])

        async def body():
            await asyncio.sleep(0)

        for _ in range(3):
            tasks = [impl.Task(body(), loop=Loop()) for _ in range(50)]
            for task in tasks:
                task.get_coro().close()
            del tasks, task
            gc.collect()
            kept = [impl.Task(body(), loop=impl.new_loop()) for _ in range(50)]
            for task in kept:
                assert asyncio.all_tasks(task.get_loop()) == {task}
                task.cancel()
                task.get_loop().call_soon(task.get_loop().stop)
                task.get_loop().run_forever()
                task.get_loop().close()
            del kept, task
        print("ok")
        """,
        impl=impl.name,
        timeout=60,
    )
    assert out == "ok\n"


def test_trap_16_a_task_that_nobody_keeps_is_collected(world: World) -> None:
    async def wait() -> None:
        await world.future()

    reference = weakref.ref(world.task(wait()))
    world.turn(2)
    gc.collect()
    (context,) = world.take_errors()
    assert context["message"] == "Task was destroyed but it is pending!"
    del context  # it was the last to keep the task
    gc.collect()
    assert reference() is None


def test_trap_17_log_destroy_pending_silences_the_report(world: World) -> None:
    async def wait() -> None:
        await world.future()

    task = world.task(wait())
    world.turn()
    task._log_destroy_pending = False
    del task
    collect()
    assert world.take_errors() == []


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_trap_18_create_task_on_a_closed_loop(world: World) -> None:
    async def body() -> None:
        pass

    loop = world.loops.new_loop()
    loop.close()
    with pytest.warns(RuntimeWarning, match=r"was never awaited"):
        assert outcome(loop.create_task, body()) == CLOSED


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_trap_18_a_task_type_on_a_closed_loop(world: World) -> None:
    async def body() -> None:
        pass

    loop = world.loops.new_loop()
    loop.close()
    with pytest.warns(RuntimeWarning, match=r"was never awaited"):
        assert outcome(world.types.Task, body(), loop=loop) == CLOSED


def test_trap_19_generator_coroutines(world: World) -> None:
    @types.coroutine
    def generator() -> Any:
        yield
        return "from a generator"

    def attempt(task_type: Any) -> Any:
        try:
            return world.loop.run_until_complete(task_type(generator(), loop=world.loop))
        except TypeError as error:
            return str(error).split(" at 0x")[0]

    assert attempt(world.types.Task) == attempt(STOCK.Task)
    assert world.loop.run_until_complete(generator()) == "from a generator"
    collect()


def test_trap_22_overrides_of_a_task_subclass_are_called(world: World) -> None:
    calls: list[str] = []

    class Sub(world.types.Task):  # type: ignore[name-defined,misc]
        def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
            calls.append("add_done_callback")
            super().add_done_callback(*args, **kwargs)

        def cancel(self, *args: Any, **kwargs: Any) -> bool:
            calls.append("cancel")
            return bool(super().cancel(*args, **kwargs))

    async def main() -> None:
        inner = Sub(asyncio.sleep(0, 5), loop=world.loop)
        assert await inner == 5
        assert calls == ["add_done_callback"]
        inner = Sub(asyncio.sleep(10), loop=world.loop)
        outer = world.task(wait(inner))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(CancelledError):
            await outer
        assert "cancel" in calls

    async def wait(awaitable: Any) -> None:
        await awaitable

    world.run(main())


def test_trap_22_a_task_on_a_loop_made_of_mocks(world: World) -> None:
    from unittest import mock

    loop = mock.Mock()
    loop.get_debug.return_value = False
    scheduled: list[Any] = []
    loop.call_soon.side_effect = lambda callback, *args, context=None: scheduled.append(
        (callback, args, context)
    )

    async def body() -> str:
        return "stepped by hand"

    task = world.types.Task(body(), loop=loop)
    ((callback, args, context),) = scheduled
    assert callable(callback)
    asyncio._set_running_loop(loop)
    try:
        context.run(callback, *args)
    finally:
        asyncio._set_running_loop(None)
    assert task.result() == "stepped by hand"


def test_trap_31_rebinding_the_names_of_asyncio_tasks_does_no_harm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the C function must be fetched once, not through the module")

    for name in ("_enter_task", "_leave_task", "_register_task", "_unregister_task"):
        monkeypatch.setattr(asyncio.tasks, name, forbidden)

    async def body() -> str:
        await asyncio.sleep(0)
        return "unharmed"

    assert world.run(body()) == "unharmed"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with 3.14")
def test_trap_32_awaited_by_is_dropped_before_the_result_is_read(world: World) -> None:
    future: Any = None

    async def wait() -> None:
        await future

    for end in ("set_result", "set_exception", "cancel"):
        future = world.future()
        tasks = [world.task(wait()) for _ in range(3)]
        world.turn()
        assert set(future._asyncio_awaited_by) == set(tasks)
        getattr(future, end)(*([KeyError()] if end == "set_exception" else ["x"]))
        world.turn(2)
        assert not future._asyncio_awaited_by
        for task in tasks:
            assert task.done()
            if not task.cancelled():
                task.exception()
        references = [weakref.ref(task) for task in tasks]
        del tasks, task
        collect()
        assert [reference() for reference in references] == [None] * 3

"""Task: construction, names, contexts, stepping, stacks, eager start, finalizing.

Cancellation has a file of its own.  What depends on the interpreter's version is compared with the
stock task of the running one.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import re
import sys
import types
import weakref
from typing import Any

import pytest

from tests.support import STOCK, World, collect, outcome

SINCE_3_12 = sys.version_info >= (3, 12)


async def nothing() -> None:
    return None


async def give(value: Any) -> Any:
    return value


def test_result_of_a_coroutine(world: World) -> None:
    task = world.task(give(7))
    assert not task.done()
    assert world.loop.run_until_complete(task) == 7
    assert (task.done(), task.cancelled(), task.result()) == (True, False, 7)
    assert task.exception() is None


def test_exception_of_a_coroutine(world: World) -> None:
    async def fail() -> None:
        raise KeyError("k")

    task = world.task(fail())
    with pytest.raises(KeyError):
        world.loop.run_until_complete(task)
    assert isinstance(task.exception(), KeyError)


def test_the_first_step_waits_for_the_next_turn(world: World) -> None:
    seen: list[int] = []

    async def note() -> None:
        seen.append(1)

    task = world.task(note())
    assert seen == []
    world.turn()
    assert seen == [1]
    assert task.done()


@pytest.mark.parametrize("bad", [1, None, print, nothing, object()])
def test_refuses_what_is_no_coroutine(world: World, bad: object) -> None:
    with pytest.raises(TypeError, match=re.escape(f"a coroutine was expected, got {bad!r}")):
        world.task(bad)
    collect()


def test_refuses_a_future(world: World) -> None:
    with pytest.raises(TypeError, match=r"^a coroutine was expected, got <Future"):
        world.task(world.future())
    collect()


# ---- names


def test_default_names_count_up(world: World) -> None:
    names = []
    for _ in range(3):
        task = world.task(nothing())
        names.append(task.get_name())
        world.loop.run_until_complete(task)
    assert all(re.fullmatch(r"Task-\d+", name) for name in names)
    numbers = [int(name.split("-")[1]) for name in names]
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_names_are_made_strings(world: World) -> None:
    task = world.task(nothing(), name=123)
    assert task.get_name() == "123"
    task.set_name(("a", 1))
    assert task.get_name() == "('a', 1)"
    task.set_name("plain")
    assert task.get_name() == "plain"
    assert "name='plain'" in repr(task)
    world.loop.run_until_complete(task)


def test_a_string_subclass_keeps_only_its_text(world: World) -> None:
    class Text(str):
        def __str__(self) -> str:
            return "from __str__"

    stock = STOCK.Task(nothing(), loop=world.loop, name=Text("raw"))
    task = world.task(nothing(), name=Text("raw"))
    assert task.get_name() == stock.get_name()
    world.turn(2)


# ---- attributes


def test_attributes_of_a_fresh_task(world: World) -> None:
    coro = nothing()
    task = world.task(coro)
    assert task.get_coro() is coro
    assert task._coro is coro
    assert task._fut_waiter is None
    assert task._must_cancel is False
    assert task._log_destroy_pending is True
    assert task.cancelling() == 0
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    world.loop.run_until_complete(task)
    assert task.get_coro() is coro


def test_log_destroy_pending_is_a_plain_flag(world: World) -> None:
    task = world.task(nothing())
    task._log_destroy_pending = False
    assert task._log_destroy_pending is False
    task._log_destroy_pending = True
    assert task._log_destroy_pending is True
    world.loop.run_until_complete(task)


@pytest.mark.parametrize("attribute", ["_coro", "_fut_waiter", "_must_cancel"])
def test_inner_state_is_read_only(world: World, attribute: str) -> None:
    task = world.task(nothing())
    with pytest.raises(AttributeError):
        setattr(task, attribute, None)
    world.loop.run_until_complete(task)


def test_fut_waiter_while_waiting(world: World) -> None:
    future = world.future()

    async def wait() -> Any:
        return await future

    task = world.task(wait())
    world.turn()
    assert task._fut_waiter is future
    assert isinstance(task._fut_waiter, asyncio.Future)
    future.set_result("r")
    assert world.loop.run_until_complete(task) == "r"
    assert task._fut_waiter is None


@pytest.mark.parametrize("method", ["set_result", "set_exception"])
def test_set_methods_are_refused(world: World, method: str) -> None:
    task = world.task(nothing())
    text = f"^Task does not support {method} operation$"
    with pytest.raises(RuntimeError, match=text):
        getattr(task, method)(ValueError())
    world.loop.run_until_complete(task)


# ---- contexts

VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=0)


def test_runs_in_a_copy_of_the_context_at_construction(world: World) -> None:
    async def read_and_write() -> int:
        before = VARIABLE.get()
        VARIABLE.set(before + 1)
        await asyncio.sleep(0)
        return VARIABLE.get()

    token = VARIABLE.set(10)
    task = world.task(read_and_write())
    VARIABLE.set(99)
    assert world.loop.run_until_complete(task) == 11
    assert VARIABLE.get() == 99
    VARIABLE.reset(token)


def test_runs_in_the_given_context(world: World) -> None:
    async def write() -> None:
        VARIABLE.set(5)

    context = contextvars.copy_context()
    task = world.task(write(), context=context)
    if SINCE_3_12:
        assert task.get_context() is context
    world.loop.run_until_complete(task)
    assert context[VARIABLE] == 5
    assert VARIABLE.get() == 0


@pytest.mark.parametrize("bad", [1, "context", object()])
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_context_of_a_wrong_type_is_refused_as_in_stock(world: World, bad: object) -> None:
    def attempt(task_type: Any) -> tuple[str, ...]:
        coro = nothing()
        try:
            made = task_type(coro, loop=world.loop, context=bad)
        except TypeError as error:
            return ("refused", str(error))
        finally:
            coro.close()
        made._log_destroy_pending = False
        return ("made",)

    stock, ours = attempt(STOCK.Task), attempt(world.types.Task)
    if stock[0] == "refused":  # 3.15; before, stock fails only when the step enters the context
        assert ours == stock
    world.turn(2)
    world.take_errors()


# ---- stepping


def test_bare_yield_means_the_next_turn(world: World) -> None:
    @types.coroutine
    def pause() -> Any:
        yield

    async def main() -> list[str]:
        order: list[str] = []
        world.loop.call_soon(order.append, "callback")
        order.append("before")
        await pause()
        order.append("after")
        return order

    assert world.run(main()) == ["before", "callback", "after"]


def test_awaits_a_future_of_the_other_kind(world: World) -> None:
    async def main() -> list[Any]:
        seen = []
        for kind in (STOCK.Future, world.types.Future, type(world.loop.create_future())):
            future = kind(loop=world.loop)
            world.loop.call_soon(future.set_result, kind)
            seen.append(await future is kind)
            failing = kind(loop=world.loop)
            world.loop.call_soon(failing.set_exception, LookupError("x"))
            with pytest.raises(LookupError):
                await failing
            cancelled = kind(loop=world.loop)
            world.loop.call_soon(cancelled.cancel, "m")
            with pytest.raises(asyncio.CancelledError):
                await cancelled
        return seen

    assert world.run(main()) == [True] * 3


def test_awaits_a_task_of_the_other_kind(world: World) -> None:
    async def main() -> list[Any]:
        kinds = (STOCK.Task, world.types.Task)
        return [await kind(give(number), loop=world.loop) for number, kind in enumerate(kinds)]

    assert world.run(main()) == [0, 1]


def test_awaits_an_object_with_its_own_await(world: World) -> None:
    class Awaitable:
        def __await__(self) -> Any:
            return (yield from give("through").__await__())

    async def main() -> Any:
        return await Awaitable()

    assert world.run(main()) == "through"


def test_awaits_a_duck_future(world: World) -> None:
    class Duck:
        """A future by protocol only."""

        _asyncio_future_blocking = False

        def __init__(self) -> None:
            self.callbacks: list[Any] = []

        def get_loop(self) -> Any:
            return world.loop

        def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
            self.callbacks.append((callback, context))
            world.loop.call_soon(callback, self, context=context)

        def result(self) -> str:
            return "quack"

        def cancel(self, msg: object = None) -> bool:
            return False

        def __await__(self) -> Any:
            self._asyncio_future_blocking = True
            yield self
            return self.result()

    async def main() -> Any:
        return await Duck()

    assert world.run(main()) == "quack"


def test_coroutine_by_abc(world: World) -> None:
    class Coro(asyncio.coroutines.collections.abc.Coroutine):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.steps = 0

        def send(self, value: object) -> None:
            self.steps += 1
            if self.steps == 3:
                raise StopIteration((1, "tuple"))

        def throw(self, *arguments: Any) -> None:
            raise arguments[0]

        def close(self) -> None:
            pass

        def __await__(self) -> Any:
            return self

    assert world.loop.run_until_complete(world.task(Coro())) == (1, "tuple")


def test_many_tasks_share_a_future(world: World) -> None:
    async def main() -> list[int]:
        future = world.future()
        order: list[int] = []

        async def wait(number: int) -> None:
            await future
            order.append(number)

        tasks = [world.task(wait(number)) for number in range(20)]
        await asyncio.sleep(0)
        future.set_result(None)
        await asyncio.gather(*tasks)
        return order

    assert world.run(main()) == list(range(20))


def test_the_stock_combinators(world: World) -> None:
    async def main() -> list[Any]:
        results: list[Any] = []
        results.append(await asyncio.gather(*(world.task(give(n)) for n in range(3))))
        done, pending = await asyncio.wait({world.task(give(1)), world.task(give(1))})
        results.append((len(done), len(pending)))
        results.append(await asyncio.wait_for(world.task(give("w")), 5))
        results.append(await asyncio.shield(world.task(give("s"))))
        results.append([await each for each in asyncio.as_completed([world.task(give(0))])])
        async with asyncio.TaskGroup() as group:
            child = group.create_task(give("g"))
        results.append(child.result())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await world.future()
        results.append(await asyncio.to_thread(int, "5"))
        return results

    assert world.run(main()) == [[0, 1, 2], (2, 0), "w", "s", [0], "g", 5]


# ---- stacks and repr


def test_get_stack_and_print_stack(world: World) -> None:
    future = world.future()

    async def inner() -> None:
        await future

    async def outer() -> None:
        await inner()

    task = world.task(outer())
    assert [frame.f_code.co_name for frame in task.get_stack()] == ["outer"]
    world.turn()
    frames = task.get_stack(limit=5)
    assert [frame.f_code.co_name for frame in frames] == ["outer"]
    printed = io.StringIO()
    task.print_stack(limit=1, file=printed)
    assert printed.getvalue().startswith("Stack for <Task pending")
    future.set_result(None)
    world.loop.run_until_complete(task)
    assert task.get_stack() == []
    printed = io.StringIO()
    task.print_stack(file=printed)
    assert printed.getvalue().startswith("No stack for <Task finished")


def test_the_stack_of_a_failed_task_is_its_traceback(world: World) -> None:
    def deep() -> None:
        raise ZeroDivisionError

    async def fail() -> None:
        deep()

    task = world.task(fail())
    with pytest.raises(ZeroDivisionError):
        world.loop.run_until_complete(task)
    assert "deep" in [frame.f_code.co_name for frame in task.get_stack()]


def shown(task: Any) -> str:
    return re.sub(r"Task-\d+|0x[0-9a-f]+", "*", repr(task))


@pytest.mark.parametrize("state", ["fresh", "waiting", "done", "failed", "cancelled", "doomed"])
@pytest.mark.parametrize("debug", [False, True])
def test_repr_is_stock(world: World, state: str, debug: bool) -> None:
    world.loop.set_debug(debug)
    future = STOCK.Future(loop=world.loop)

    async def body() -> str:
        if state == "waiting":
            await future
        if state == "failed":
            raise ValueError("v")
        return "r"

    pair = [kind(body(), loop=world.loop) for kind in (world.types.Task, STOCK.Task)]
    if state in ("cancelled", "doomed"):
        for task in pair:
            task.cancel("m")
    if state not in ("fresh", "doomed"):
        world.turn(2)
    ours, stock = map(shown, pair)
    assert ours == stock
    assert ours.startswith("<Task ")
    if not future.done():
        future.set_result(None)
    world.turn(3)
    for task in pair:
        outcome(task.exception)
    world.loop.set_debug(False)


def test_repr_of_a_future_that_a_task_waits_for(world: World) -> None:
    future = world.future()

    async def wait() -> None:
        await future

    task = world.task(wait())
    world.turn()
    assert "task_wakeup()]>" in repr(future)
    future.set_result(None)
    world.loop.run_until_complete(task)


# ---- eager start


@pytest.mark.skipif(not SINCE_3_12, reason="eager tasks came with 3.12")
def test_eager_start(world: World) -> None:
    async def main() -> None:
        me = asyncio.current_task()
        seen: list[Any] = []

        async def child() -> str:
            seen.append(asyncio.current_task())
            return "at once"

        async def blocking() -> None:
            await asyncio.sleep(0)
            seen.append("later")

        done = world.task(child(), eager_start=True)
        assert done.done()
        assert done.result() == "at once"
        if world.types.native or sys.version_info >= (3, 13):  # stock crashed in 3.12.1
            assert done.get_coro() is None
        assert seen == [done]
        assert asyncio.current_task() is me
        waiting = world.task(blocking(), eager_start=True)
        assert not waiting.done()
        assert waiting in asyncio.all_tasks()
        await waiting
        assert seen[-1] == "later"

    world.run(main())


@pytest.mark.skipif(not SINCE_3_12, reason="eager tasks came with 3.12")
def test_eager_start_that_fails_or_is_cancelled(world: World) -> None:
    async def main() -> None:
        async def fail() -> None:
            raise KeyError("eager")

        task = world.task(fail(), eager_start=True)
        assert task.done()
        with pytest.raises(KeyError):
            await task

        async def cancel_itself() -> None:
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            await asyncio.sleep(0)

        task = world.task(cancel_itself(), eager_start=True)
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(main())


@pytest.mark.skipif(not SINCE_3_12, reason="eager tasks came with 3.12")
def test_eager_start_outside_a_running_loop_waits(world: World) -> None:
    seen: list[str] = []

    async def note() -> None:
        seen.append("ran")

    task = world.task(note(), eager_start=True)
    assert seen == []
    world.loop.run_until_complete(task)
    assert seen == ["ran"]


# ---- finalizing


def test_destroyed_while_pending_is_reported(world: World) -> None:
    async def wait() -> None:
        await world.future()

    task = world.task(wait())
    world.turn()
    reference = weakref.ref(task)
    del task
    collect()
    (context,) = world.take_errors()
    assert context["message"] == "Task was destroyed but it is pending!"
    assert set(context) == {"message", "task"}
    del context  # it was the last to keep the task
    collect()
    assert reference() is None


def test_destroyed_while_pending_says_where_it_was_made_in_debug_mode(world: World) -> None:
    world.loop.set_debug(True)

    async def wait() -> None:
        await world.future()

    world.task(wait())
    world.turn()
    collect()
    (context,) = world.take_errors()
    assert context["source_traceback"]
    world.loop.set_debug(False)


def test_an_exception_never_retrieved_is_reported(world: World) -> None:
    async def fail() -> None:
        raise ValueError("lost")

    task = world.task(fail())
    world.turn(2)
    assert task.done()
    del task
    collect()
    (context,) = world.take_errors()
    assert context["message"] == "Task exception was never retrieved"
    assert isinstance(context["exception"], ValueError)


def test_a_finished_task_lets_its_frame_go(world: World) -> None:
    class Big:
        pass

    async def hold() -> None:
        big = Big()
        references.append(weakref.ref(big))

    references: list[Any] = []
    task = world.task(hold())
    world.loop.run_until_complete(task)
    assert references[0]() is None


# ---- subclasses


def test_a_subclass_is_stepped_and_shown_by_its_name(world: World) -> None:
    class Named(world.types.Task):  # type: ignore[name-defined,misc]
        def __init__(self, coro: Any, **kwargs: Any) -> None:
            super().__init__(coro, **kwargs)
            self.note = "mine"

    task = Named(give(1), loop=world.loop)
    assert repr(task).startswith("<Named pending")
    assert world.loop.run_until_complete(task) == 1
    assert task.note == "mine"
    assert isinstance(task, asyncio.Task)


def test_a_subclass_in_a_task_factory(world: World) -> None:
    class Counting(world.types.Task):  # type: ignore[name-defined,misc]
        made = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            type(self).made += 1
            super().__init__(*args, **kwargs)

    world.loop.set_task_factory(lambda loop, coro, **kwargs: Counting(coro, loop=loop, **kwargs))
    assert isinstance(world.loop.get_task_factory(), types.FunctionType)

    async def main() -> int:
        return sum(await asyncio.gather(*(give(n) for n in range(4))))

    assert world.loop.run_until_complete(main()) == 6
    assert Counting.made == 5
    world.loop.set_task_factory(None)
    assert world.loop.get_task_factory() is None

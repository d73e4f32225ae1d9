"""Traps that lie in Future: order inside setters, evil callbacks, identities, throwing, handlers.

The number in a test's name is the trap's number in the list that the project keeps: known places
where a native implementation of asyncio goes wrong.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from tests.support import STOCK, Implementation, World, collect, outcome

CancelledError = asyncio.CancelledError


class EvilLoop:
    """A foreign loop whose call_soon runs Python in the middle of the future's own work."""

    def __init__(self, act: Any) -> None:
        self.act = act
        self.scheduled: list[Any] = []

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
        self.scheduled.append(callback)
        self.act(callback)

    def call_exception_handler(self, context: object) -> None:
        pass


def test_trap_01_callbacks_are_scheduled_before_the_log_flag_is_set(world: World) -> None:
    flags = []
    loop = EvilLoop(lambda callback: flags.append(future._log_traceback))
    future = world.types.Future(loop=loop)
    future.add_done_callback(print)
    future.set_exception(ValueError())
    assert flags == [False]
    assert future._log_traceback is True
    future.exception()


def test_trap_01_a_failing_call_soon_drops_the_other_callbacks(world: World) -> None:
    def fail(callback: Any) -> None:
        raise RuntimeError("no more")

    loop = EvilLoop(fail)
    future = world.types.Future(loop=loop)
    for callback in (print, repr, str):
        future.add_done_callback(callback)
    with pytest.raises(RuntimeError, match=r"^no more$"):
        future.set_result(1)
    assert future.result() == 1
    assert loop.scheduled == [print]
    assert not future._callbacks


def test_trap_02_call_soon_that_works_on_the_same_future(world: World) -> None:
    def meddle(callback: Any) -> None:
        future.remove_done_callback(repr)
        future._callbacks  # noqa: B018  # reads while the callbacks are handed out
        outcome(future.set_result, "again")
        outcome(future.cancel)

    loop = EvilLoop(meddle)
    future = world.types.Future(loop=loop)
    for callback in (print, repr, str, repr):
        future.add_done_callback(callback)
    future.set_result("once")
    assert future.result() == "once"
    assert loop.scheduled[0] is print


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_trap_02_equality_that_empties_the_list(world: World, count: int) -> None:
    class Emptying:
        def __eq__(self, other: object) -> bool:
            future.remove_done_callback(print)
            future.remove_done_callback(self_kept)
            return False

        __hash__ = None  # type: ignore[assignment]

    def self_kept(_: object) -> None:
        pass

    future = world.future()
    for _ in range(count):
        future.add_done_callback(print)
        future.add_done_callback(self_kept)
    outcome(future.remove_done_callback, Emptying())
    assert not future._callbacks


@pytest.mark.parametrize("count", [1, 2, 5])
def test_trap_02_equality_that_adds_callbacks(world: World, count: int) -> None:
    class Adding:
        added = 0

        def __eq__(self, other: object) -> bool:
            if self.added < 20:
                self.added += 1
                future.add_done_callback(str)
            return False

        __hash__ = None  # type: ignore[assignment]

    future = world.future()
    for _ in range(count):
        future.add_done_callback(print)
    outcome(future.remove_done_callback, Adding())
    assert len(future._callbacks) >= count


def test_trap_02_equality_that_raises(world: World) -> None:
    class Failing:
        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    future = world.future()
    future.add_done_callback(print)
    future.add_done_callback(repr)
    with pytest.raises(ZeroDivisionError):
        future.remove_done_callback(Failing())
    assert len(future._callbacks) == 2


def test_trap_02_equality_that_finishes_the_future(world: World) -> None:
    class Finishing:
        def __eq__(self, other: object) -> bool:
            if not future.done():
                future.set_result(1)
            return True

        __hash__ = None  # type: ignore[assignment]

    future = world.future()
    for _ in range(4):
        future.add_done_callback(lambda f: None)
    outcome(future.remove_done_callback, Finishing())
    assert future.result() == 1
    world.turn()


def test_trap_02_a_message_freed_while_it_is_used(world: World) -> None:
    class Message:
        def __str__(self) -> str:
            future._cancel_message = None
            return "message"

    future = world.future()
    future._cancel_message = Message()
    future.cancel(Message())
    error = future._make_cancelled_error()
    assert isinstance(error.args[0], Message)
    str(error)


def test_trap_03_an_exception_in_a_callback_is_reported(world: World) -> None:
    future, ran = world.future(), []

    def fail(_: object) -> None:
        raise LookupError("in a callback")

    future.add_done_callback(fail)
    future.add_done_callback(ran.append)
    future.set_result(None)
    world.turn()
    assert ran == [future]
    (context,) = world.take_errors()
    assert isinstance(context["exception"], LookupError)
    assert context["message"].startswith("Exception in callback ")
    assert "fail" in context["message"]
    handle = context["handle"]
    assert isinstance(handle, asyncio.Handle)
    for name in ("_run", "_callback", "_args", "_context", "cancel", "cancelled"):
        assert hasattr(handle, name)
    if sys.version_info >= (3, 12):
        assert handle.get_context() is handle._context


def test_trap_03_the_text_is_stock(world: World) -> None:
    def fail(*_: object) -> None:
        raise LookupError

    def report(future: Any) -> str:
        future.add_done_callback(fail)
        future.set_result(None)
        world.turn()
        (context,) = world.take_errors()
        text: str = context["message"]
        return text.split("(")[0]

    for debug in (False, True):
        world.loop.set_debug(debug)
        assert report(world.future()) == report(STOCK.Future(loop=world.loop))
    world.loop.set_debug(False)


def test_trap_07_the_coroutines_own_cancelled_error_is_raised_once(world: World) -> None:
    own = CancelledError("own")

    async def body() -> None:
        raise own

    task = world.task(body())
    world.turn(2)
    with pytest.raises(CancelledError) as first:
        task.result()
    with pytest.raises(CancelledError) as second:
        task.result()
    assert first.value is own
    assert second.value is not own


def test_trap_07_the_message_setter_counts_for_the_next_error(world: World) -> None:
    future = world.future()
    future.cancel("first")
    future._cancel_message = "second"
    with pytest.raises(CancelledError, match=r"^second$"):
        future.result()


@pytest.mark.parametrize("kind", ["instance", "class", "subclass"])
def test_trap_08_stop_iteration_as_exception(world: World, kind: str) -> None:
    class Sub(StopIteration):
        pass

    error: Any = {"instance": StopIteration(1), "class": StopIteration, "subclass": Sub(2)}[kind]

    def attempt(future: Any) -> tuple[Any, ...]:
        done = outcome(future.set_exception, error)
        if not future.done():
            return done
        stored = future.exception()
        cause = stored.__cause__
        return (*done, type(stored), str(stored), type(cause), type(stored.__context__))

    stock = attempt(STOCK.Future(loop=world.loop))
    assert attempt(world.future()) == stock


@pytest.mark.parametrize("value", [(1, 2), (), ValueError("v"), StopIteration(3), None])
def test_trap_08_return_values_that_look_like_exceptions(world: World, value: object) -> None:
    async def give() -> object:
        return value

    class OnlySend(asyncio.coroutines.collections.abc.Coroutine):  # type: ignore[name-defined,misc]
        """What Cython makes: no am_send, the value comes in a StopIteration."""

        def send(self, _: object) -> None:
            stop = StopIteration()
            stop.value = value
            raise stop

        def throw(self, *arguments: Any) -> None:
            raise arguments[0]

        def close(self) -> None:
            pass

        def __await__(self) -> Any:
            return self

    assert world.loop.run_until_complete(world.task(give())) is value
    assert world.loop.run_until_complete(world.task(OnlySend())) is value


def test_trap_08_a_coroutine_that_raises_stop_iteration(world: World) -> None:
    async def body() -> None:
        raise StopIteration(1)

    with pytest.raises(RuntimeError, match=r"^coroutine raised StopIteration$"):
        world.run(body())


def test_trap_09_throw_into_the_iterator_drops_its_future(world: World) -> None:
    future = world.future()
    iterator = future.__await__()
    next(iterator)
    before = sys.getrefcount(future)
    with pytest.raises(ZeroDivisionError):
        iterator.throw(ZeroDivisionError())
    assert sys.getrefcount(future) <= before
    assert outcome(next, iterator)[1] == "StopIteration"


@pytest.mark.parametrize("bad", [1, None, object, int])
def test_trap_09_throw_of_what_is_no_exception(world: World, bad: object) -> None:
    iterator = world.future().__await__()
    next(iterator)
    with pytest.raises(TypeError, match=r"^exceptions must be classes deriving BaseException or"):
        iterator.throw(bad)


def test_trap_09_a_closed_await_leaves_the_future_awaitable(world: World) -> None:
    future = world.future()

    async def wait() -> Any:
        return await future

    coro = wait()
    coro.send(None)
    future._asyncio_future_blocking = False  # what the task that receives it does
    coro.close()

    task = world.task(wait())
    world.turn()
    future.set_result("fine")
    assert world.loop.run_until_complete(task) == "fine"


def test_trap_15_a_handler_that_keeps_the_future_resurrects_it(world: World) -> None:
    future = world.future()
    future.set_exception(ValueError("kept"))
    del future
    collect()
    (context,) = world.take_errors()
    kept = context["future"]
    assert kept.done()
    assert isinstance(kept.exception(), ValueError)
    del context, kept
    collect()
    assert world.take_errors() == []


def test_trap_21_waiters_are_shown_and_removable(world: World) -> None:
    future = world.future()

    async def wait() -> None:
        await future

    task = world.task(wait())
    world.turn()
    ((callback, _),) = future._callbacks
    assert callable(callback)
    assert "task_wakeup" in repr(callback) or "task_wakeup" in callback.__name__
    assert callback.__self__ is task
    assert future.remove_done_callback(callback) == 1
    assert not future._callbacks
    future.set_result(None)
    world.turn(2)
    assert not task.done()
    task._log_destroy_pending = False  # it sleeps forever: its alarm was taken away


def test_trap_22_overrides_of_a_future_subclass_are_called(world: World) -> None:
    calls: list[str] = []

    class Sub(world.types.Future):  # type: ignore[name-defined,misc]
        def add_done_callback(self, *args: Any, **kwargs: Any) -> None:
            calls.append("add_done_callback")
            super().add_done_callback(*args, **kwargs)

        def result(self) -> Any:
            calls.append("result")
            return super().result()

        def cancel(self, *args: Any, **kwargs: Any) -> bool:
            calls.append("cancel")
            return bool(super().cancel(*args, **kwargs))

        def get_loop(self) -> Any:
            calls.append("get_loop")
            return super().get_loop()

    future = Sub(loop=world.loop)

    async def wait() -> Any:
        return await future

    task = world.task(wait())
    world.turn()
    assert calls.count("add_done_callback") == 1
    assert "get_loop" in calls
    future.set_result(3)
    assert world.loop.run_until_complete(task) == 3
    assert "result" in calls

    future = Sub(loop=world.loop)
    task = world.task(wait())
    world.turn()
    task.cancel()
    assert "cancel" in calls
    with pytest.raises(CancelledError):
        world.loop.run_until_complete(task)


def test_trap_22_an_overridden_await_is_used(world: World) -> None:
    class Sub(world.types.Future):  # type: ignore[name-defined,misc]
        def __await__(self) -> Any:
            return "mine"
            yield

    async def wait() -> Any:
        return await Sub(loop=world.loop)

    assert world.run(wait()) == "mine"


@pytest.mark.parametrize(
    "name",
    ["_asyncio_future_blocking", "_cancel_message", "_log_destroy_pending", "_log_traceback"],
)
def test_an_attribute_that_cannot_be_deleted_is_named_as_stock_names_it(
    impl: Implementation, name: str
) -> None:
    async def nothing() -> None:
        return None

    loop = asyncio.new_event_loop()
    said = []
    for task_type in (STOCK.Task, impl.Task):
        task = task_type(nothing(), loop=loop)
        with pytest.raises(AttributeError) as info:
            delattr(task, name)
        said.append(str(info.value).replace("_asyncio.Task", "bucle.Task"))
        loop.run_until_complete(task)
    loop.close()
    assert said[0] == said[1]

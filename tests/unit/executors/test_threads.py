"""to_thread, wrap_future and run_coroutine_threadsafe, in worlds of either kind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import World, check_script, collect, library, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

VAR: contextvars.ContextVar[str] = contextvars.ContextVar("VAR", default="unset")


def in_thread(function: Callable[[], Any]) -> Any:
    """What a function did in a thread of its own."""
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(outcome(function)))
    thread.start()
    thread.join()
    return seen[0]


async def finish(world: World) -> None:
    await world.loop.shutdown_default_executor()


async def test_to_thread_passes_everything(world: World, api: Any) -> None:
    def report(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs, threading.current_thread().name

    given = await api.to_thread(report, 1, 2, func=3, loop=4)
    assert given == ((1, 2), {"func": 3, "loop": 4}, "asyncio_0")
    assert await api.to_thread(report) == ((), {}, "asyncio_0")
    with pytest.raises(TypeError, match=r"to_thread\(\) missing 1 required positional argument"):
        api.to_thread()
    await finish(world)


async def test_to_thread_carries_the_context(world: World, api: Any) -> None:
    VAR.set("of the task")

    def look() -> str:
        seen = VAR.get()
        VAR.set("of the thread")
        return seen

    coroutine = api.to_thread(look)
    VAR.set("at the await")
    assert await coroutine == "at the await"
    assert VAR.get() == "at the await"
    await finish(world)


async def test_to_thread_raises_what_the_function_raises(world: World, api: Any) -> None:
    error = KeyError("x")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await api.to_thread(fail)
    assert caught.value is error
    await finish(world)


async def test_to_thread_cancelled(world: World, api: Any) -> None:
    release = threading.Event()
    task = world.task(api.to_thread(release.wait))
    begun = world.task(api.to_thread(int))
    await begun
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await finish(world)


async def test_to_thread_gives_the_loop_a_partial(world: World, api: Any) -> None:
    """What a loop sees that has a run_in_executor of its own."""
    if world.loops.native:
        given: list[Any] = []

        class Asked(bucle.Loop):
            def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
                given.append((executor, func, args))
                future = self.create_future()
                future.set_result("done")
                return future

        loop = Asked()
        try:
            assert in_thread(lambda: loop.run_until_complete(api.to_thread(int, "7"))) == (
                "returned",
                "str",
                "'done'",
            )
        finally:
            loop.close()
        ((executor, func, args),) = given
        assert (executor, args) == (None, ())
        assert isinstance(func, functools.partial)
        assert (func.args, func()) == ((int, "7"), 7)


def test_to_thread_needs_a_running_loop(world: World) -> None:
    coroutine = world.api.to_thread(int)
    assert inspect.iscoroutine(coroutine)
    assert inspect.iscoroutinefunction(world.api.to_thread)
    assert outcome(coroutine.send, None) == ("raised", "RuntimeError", "no running event loop")


async def test_wrap_future(world: World, api: Any) -> None:
    source: Any = Future()
    wrapped = api.wrap_future(source)
    assert wrapped.get_loop() is world.loop
    assert api.wrap_future(wrapped) is wrapped
    in_thread(lambda: source.set_result(5))
    assert await wrapped == 5
    assert await api.wrap_future(source, loop=world.loop) == 5
    failed: Any = Future()
    failed.set_exception(ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        await api.wrap_future(failed)
    with pytest.raises(AssertionError, match=r"concurrent.futures.Future is expected, got 5"):
        api.wrap_future(5)
    with pytest.raises(TypeError):
        api.wrap_future(source, world.loop)


async def test_wrapping_what_is_done_takes_as_many_turns_as_asyncios(world: World) -> None:
    source: Any = Future()
    source.set_result(5)
    turns = []
    for kind in ("stock", world.types.name):
        wrapped = library(kind).wrap_future(source)
        count = 0
        while not wrapped.done():
            await asyncio.sleep(0)
            count += 1
        turns.append(count)
    assert turns[0] == turns[1]


async def test_wrap_future_cancels_either_way(world: World, api: Any) -> None:
    source: Any = Future()
    wrapped = api.wrap_future(source)
    wrapped.cancel()
    assert not source.cancelled()
    await asyncio.sleep(0)
    assert source.cancelled()
    source = Future()
    wrapped = api.wrap_future(source)
    in_thread(source.cancel)
    with pytest.raises(asyncio.CancelledError):
        await wrapped


def test_wrap_future_on_a_closed_loop(world: World) -> None:
    source: Any = Future()
    wrapped = world.api.wrap_future(source, loop=world.loop)
    world.loop.close()
    assert in_thread(lambda: source.set_result(5)) == ("returned", "NoneType", "None")
    assert not wrapped.done()


class Feeding:
    """A thread that gives coroutines to a world's running loop, and what they came to."""

    def __init__(self, world: World) -> None:
        self.world = world

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function in a thread while the loop runs; return what it did."""

        async def main() -> Any:
            done = self.world.loop.create_future()
            thread = threading.Thread(
                target=lambda: self.world.loop.call_soon_threadsafe(
                    done.set_result, outcome(function)
                )
            )
            thread.start()
            seen = await done
            thread.join()
            return seen

        return self.world.run(main())

    def submit(self, coroutine: Any) -> Any:
        return self.world.api.run_coroutine_threadsafe(coroutine, self.world.loop)


@pytest.fixture
def feeding(world: World) -> Feeding:
    return Feeding(world)


async def add(one: int, other: int) -> int:
    await asyncio.sleep(0)
    if other < 0:
        raise ValueError("negative")
    return one + other


def test_a_coroutine_from_another_thread(feeding: Feeding) -> None:
    assert feeding.run(lambda: feeding.submit(add(1, 2)).result(10)) == ("returned", "int", "3")
    assert feeding.run(lambda: feeding.submit(add(1, -2)).result(10)) == (
        "raised",
        "ValueError",
        "negative",
    )


def test_many_from_another_thread(feeding: Feeding) -> None:
    def many() -> int:
        futures = [feeding.submit(add(number, 1)) for number in range(100)]
        return sum(future.result(10) for future in futures)

    assert feeding.run(many) == ("returned", "int", str(sum(range(101))))


def test_the_context_of_the_calling_thread_is_the_tasks(feeding: Feeding) -> None:
    async def look() -> str:
        return VAR.get()

    def submit() -> Any:
        VAR.set("of the thread")
        return feeding.submit(look()).result(10)

    assert feeding.run(submit) == ("returned", "str", "'of the thread'")


def test_cancelled_in_the_thread(feeding: Feeding) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    def submit() -> Any:
        future = feeding.submit(wait())
        assert begun.wait(10)
        assert future.cancel()
        assert ended.wait(10)
        return future.result(10)

    assert feeding.run(submit)[:2] == ("raised", "CancelledError")


def test_cancelled_in_the_loop(feeding: Feeding) -> None:
    async def cancel_myself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    seen = feeding.run(lambda: feeding.submit(cancel_myself()).result(10))
    assert seen[:2] == ("raised", "CancelledError")


def test_an_asyncio_exception_is_converted(feeding: Feeding) -> None:
    async def fail() -> None:
        raise asyncio.InvalidStateError("of asyncio")

    future: list[Any] = []

    def submit() -> Any:
        future.append(feeding.submit(fail()))
        return future[0].exception(10)

    feeding.run(submit)
    stock = asyncio.InvalidStateError
    assert isinstance(future[0].exception(), (stock, concurrent.futures.InvalidStateError))


def test_a_task_factory_that_fails(world: World, feeding: Feeding) -> None:
    def factory(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("no task")

    def submit() -> Any:
        world.loop.call_soon_threadsafe(world.loop.set_task_factory, factory)
        coroutine = add(1, 2)
        try:
            return feeding.submit(coroutine).result(10)
        finally:
            world.loop.call_soon_threadsafe(world.loop.set_task_factory, None)
            coroutine.close()

    assert feeding.run(submit) == ("raised", "ZeroDivisionError", "no task")
    assert [type(context["exception"]) for context in world.take_errors()] == [ZeroDivisionError]


def test_what_is_refused(world: World) -> None:
    submit = world.api.run_coroutine_threadsafe
    assert outcome(submit, 5, world.loop) == (
        "raised",
        "TypeError",
        "A coroutine object is required",
    )
    future = world.future()
    assert outcome(submit, future, world.loop)[:2] == ("raised", "TypeError")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'loop'"):
        submit(future)
    world.loop.close()
    coroutine = add(1, 2)
    assert outcome(submit, coroutine, world.loop) == (
        "raised",
        "RuntimeError",
        "Event loop is closed",
    )
    coroutine.close()


def test_a_dropped_future_drops_no_task(feeding: Feeding, world: World) -> None:
    ended = threading.Event()

    async def run() -> None:
        await asyncio.sleep(0.001)
        ended.set()

    def submit() -> bool:
        feeding.submit(run())
        collect()
        return ended.wait(10)

    assert feeding.run(submit) == ("returned", "bool", "True")


EXIT = """
import asyncio, threading
async def stop():
    raise {error}
async def main():
    loop = asyncio.get_running_loop()
    seen = []
    def submit():
        future = impl.api.run_coroutine_threadsafe(stop(), loop)
        try:
            future.result(10)
        except BaseException as error:
            seen.append(type(error).__name__)
    thread = threading.Thread(target=submit)
    thread.start()
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.to_thread(thread.join)
        print(seen)
try:
    with asyncio.Runner(loop_factory=impl.new_loop) as runner:
        runner.run(main())
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("error", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_what_ends_the_loop_ends_it(error: str) -> None:
    ours = check_script(EXIT.format(error=error), impl="bucle", timeout=30)
    assert ours == check_script(EXIT.format(error=error), impl="stock", timeout=30)
    assert error.partition("(")[0] in ours

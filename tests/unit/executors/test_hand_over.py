"""How outcomes come from an executor's futures to the loop's, and cancellations the other way."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
import weakref
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import Implementation, World, collect, outcome, turn

if TYPE_CHECKING:
    from collections.abc import Iterator


class Handed(Executor):
    """Gives out the futures that a test completes itself, or whatever else it is told to."""

    def __init__(self, given: Any = None) -> None:
        self.given: Any = Future() if given is None else given
        self.calls: list[tuple[Any, ...]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((fn, args, kwargs))
        return self.given


@pytest.fixture
def busy() -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """An executor whose only thread is busy until the event is set."""
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(release.wait)
        yield executor, release
        release.set()


def test_arguments_by_position_and_by_name(loop: Any) -> None:
    executor = Handed()
    loop.run_in_executor(executor, print, 1, 2, 3, 4, 5)
    loop.run_in_executor(executor=executor, func=len)
    assert executor.calls == [(print, (1, 2, 3, 4, 5), {}), (len, (), {})]
    for args, kwargs in (((), {}), ((None,), {}), ((None, int), {"x": 1}), ((None,), {"a": 1})):
        with pytest.raises(TypeError, match=r"run_in_executor\(\)"):
            loop.run_in_executor(*args, **kwargs)
    executor.given.set_result(None)
    turn(loop)


def test_a_result(loop: Any) -> None:
    executor = Handed()
    future = loop.run_in_executor(executor, int)
    value = object()
    executor.given.set_result(value)
    assert not future.done()
    assert loop.run_until_complete(future) is value


@pytest.mark.parametrize(
    "error",
    [
        ValueError("own"),
        concurrent.futures.CancelledError("thrown"),
        concurrent.futures.TimeoutError("late"),
        concurrent.futures.InvalidStateError("state"),
        concurrent.futures.BrokenExecutor("broken"),
        asyncio.CancelledError("asyncio's"),
        KeyError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_is_converted_as_asyncio_does(loop: Any, error: BaseException) -> None:
    executor = Handed()
    future = loop.run_in_executor(executor, int)
    executor.given.set_exception(error)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (of several types)
        loop.run_until_complete(future)
    expected = {
        concurrent.futures.CancelledError: asyncio.CancelledError,
        concurrent.futures.TimeoutError: asyncio.TimeoutError,
        concurrent.futures.InvalidStateError: asyncio.InvalidStateError,
    }
    assert type(caught.value) is expected.get(type(error), type(error))
    assert caught.value.args == error.args
    if type(error) not in expected:
        assert caught.value is error


def test_a_function_that_raises_stop_iteration(world: World) -> None:
    def stop() -> None:
        raise StopIteration("end")

    future = world.loop.run_in_executor(None, stop)
    world.loop.run_until_complete(world.loop.shutdown_default_executor())
    world.turn(2)
    errors = [str(context["exception"]) for context in world.take_errors()]
    if errors:  # up to 3.11 such an error cannot be set
        assert errors == [
            "StopIteration interacts badly with generators and cannot be raised into a Future"
        ]
        assert not future.done()
        future.cancel()
    else:
        assert type(future.exception()) is RuntimeError
        assert type(future.exception().__cause__) is StopIteration


def test_a_cancelled_future_cancels_what_has_not_begun(loop: Any, busy: Any) -> None:
    executor, _ = busy
    called: list[int] = []
    inner: list[Any] = []
    submit = executor.submit
    executor.submit = lambda *args: inner.append(submit(*args)) or inner[-1]
    future = loop.run_in_executor(executor, called.append, 1)
    assert future.cancel("gone")
    assert not inner[0].cancelled()
    turn(loop, 2)
    assert inner[0].cancelled()
    with pytest.raises(asyncio.CancelledError, match="gone"):
        loop.run_until_complete(future)
    assert called == []


def test_what_has_begun_runs_on_after_a_cancellation(impl: Implementation, loop: Any) -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait()
        ended.set()

    async def main() -> None:
        waiting = loop.create_task(run())
        await loop.run_in_executor(None, begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not ended.is_set()
        release.set()
        await loop.run_in_executor(None, ended.wait)

    async def run() -> None:
        await loop.run_in_executor(None, work)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    turn(loop, 2)


def test_a_cancelled_concurrent_future_cancels(loop: Any, busy: Any) -> None:
    executor, release = busy
    future = loop.run_in_executor(executor, int)
    threading.Timer(
        0.01, lambda: (executor.shutdown(wait=False, cancel_futures=True), release.set())
    ).start()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(future)
    assert future.cancelled()
    assert outcome(loop.run_in_executor, executor, int) == (
        "raised",
        "RuntimeError",
        "cannot schedule new futures after shutdown",
    )


def test_a_broken_executor(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("no thread for you")

    with ThreadPoolExecutor(1, initializer=fail) as executor:
        with pytest.raises(concurrent.futures.BrokenExecutor):
            loop.run_until_complete(loop.run_in_executor(executor, int))
        with pytest.raises(concurrent.futures.BrokenExecutor):
            loop.run_in_executor(executor, int)
    assert [record.name for record in caplog.records] == ["concurrent.futures"]


def test_what_is_done_when_it_is_submitted(loop: Any) -> None:
    executor = Handed()
    executor.given.set_result(5)
    assert loop.run_until_complete(loop.run_in_executor(executor, int)) == 5


def test_an_executor_that_gives_a_future_of_the_loop(loop: Any) -> None:
    future = loop.create_future()
    assert loop.run_in_executor(Handed(future), int) is future
    assert outcome(loop.run_in_executor, Handed(7), int) == (
        "raised",
        "AssertionError",
        "concurrent.futures.Future is expected, got 7",
    )


def test_a_future_class_of_somebodys_is_asked_by_its_methods(loop: Any) -> None:
    class Doubled(Future):  # type: ignore[type-arg]
        def result(self, timeout: float | None = None) -> Any:
            return 2 * super().result(timeout)

        def _get_snapshot(self) -> Any:  # 3.15 asks this one
            done, cancelled, result, error = super()._get_snapshot()  # type: ignore[misc]
            return done, cancelled, 2 * result, error

    executor = Handed(Doubled())
    future = loop.run_in_executor(executor, int)
    executor.given.set_result(21)
    assert loop.run_until_complete(future) == 42


def test_a_future_that_somebody_else_set(world: World) -> None:
    executor = Handed()
    future = world.loop.run_in_executor(executor, int)
    future.set_result("early")
    executor.given.set_result("late")
    world.turn(2)
    assert future.result() == "early"
    assert [type(context["exception"]) for context in world.take_errors()] == [AssertionError]


def test_a_closed_loop_is_told_nothing(impl: Implementation, caplog: Any) -> None:
    for cancelled in (False, True):
        executor = Handed()
        loop = impl.new_loop()
        future = loop.run_in_executor(executor, int)
        if cancelled:
            future.cancel()
        loop.close()
        executor.given.set_result(1)
        assert not future.done() or cancelled
    assert caplog.records == []


def test_results_come_in_the_order_of_completion(loop: Any) -> None:
    given: list[Any] = [Future() for _ in range(100)]
    order: list[int] = []
    futures = [loop.run_in_executor(Handed(one), int) for one in given]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: order.append(number))
    shuffled = sorted(range(100), key=lambda number: number * 37 % 101)
    for number in shuffled:
        given[number].set_result(number)
    turn(loop, 2)
    assert order == shuffled


def test_an_override_of_call_soon_threadsafe_is_honoured(impl: Implementation) -> None:
    seen: list[Any] = []

    plain = impl.new_loop()
    base: Any = type(plain)

    class Counting(base):  # type: ignore[misc]
        def call_soon_threadsafe(self, callback: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(callback)
            return super().call_soon_threadsafe(callback, *args, **kwargs)

    original = plain.call_soon_threadsafe
    plain.call_soon_threadsafe = lambda *args: (seen.append(args[0]), original(*args))
    for loop in (Counting(), plain):
        seen.clear()
        executor = Handed()
        future = loop.run_in_executor(executor, int)
        executor.given.set_result(3)
        assert loop.run_until_complete(future) == 3
        assert len(seen) == 1
        loop.close()
    collect()


def test_in_debug_mode(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    loop.set_debug(True)
    executor = Handed()
    future = loop.run_in_executor(executor, int)
    executor.given.set_result(3)
    assert len(loop._ready) == 1
    assert "call_soon_threadsafe" not in repr(loop._ready[0])
    assert loop.run_until_complete(future) == 3
    executor = Handed()
    loop.set_debug(False)
    future = loop.run_in_executor(executor, int)
    executor.given.set_result(4)
    loop.set_debug(True)
    assert loop.run_until_complete(future) == 4


def test_nothing_keeps_the_result(loop: Any) -> None:
    class Big:
        pass

    seen = weakref.ref(loop.run_until_complete(loop.run_in_executor(None, Big)))
    loop.run_until_complete(loop.run_in_executor(None, int))
    turn(loop, 2)
    gc.collect()
    assert seen() is None


def test_a_dropped_future_and_its_source_are_collected(impl: Implementation) -> None:
    loop = impl.new_loop()
    source: Any = Future()
    seen = weakref.ref(source)
    executor = Handed(source)
    future = loop.run_in_executor(executor, int)
    assert future._callbacks
    del source, future, executor
    collect()
    assert seen() is None
    loop.close()


def test_a_loop_without_work_is_woken_once(loop: Any) -> None:
    """Results that arrive while the loop sleeps, from several threads at once."""
    executors = [Handed() for _ in range(4)]
    futures = [loop.run_in_executor(one, int) for one in executors]
    for one in executors:
        threading.Timer(0.01, one.given.set_result, (7,)).start()
    assert loop.run_until_complete(asyncio.wait_for(all_of(futures), 10)) == [7] * 4


async def all_of(futures: list[Any]) -> list[Any]:
    return [await future for future in futures]

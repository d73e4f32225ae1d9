"""call_soon, stop, run_forever, run_until_complete, close: what runs when, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import Implementation, World, collect, outcome

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_loop_is_an_abstract_event_loop(loop: Any) -> None:
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert loop.__dict__ is not None
    loop.anything = 1
    assert weakref.ref(loop)() is loop


def test_call_soon_is_first_in_first_out(loop: Any) -> None:
    seen: list[int] = []
    for number in range(1000):
        loop.call_soon(seen.append, number)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == list(range(1000))


def test_callbacks_queued_while_running_wait_for_the_next_turn(loop: Any) -> None:
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        loop.call_soon(seen.append, "third")

    loop.call_soon(first)
    loop.call_soon(seen.append, "second")
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["first", "second"]
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert seen == ["first", "second", "third"]


def test_trap_29_stop_ends_after_the_batch(loop: Any) -> None:
    seen: list[str] = []
    loop.call_soon(loop.stop)
    loop.call_soon(seen.append, "same batch")
    loop.call_soon(lambda: loop.call_soon(seen.append, "next run"))
    loop.run_forever()
    assert seen == ["same batch"]
    loop.stop()
    loop.run_forever()
    assert seen == ["same batch", "next run"]


def test_stop_before_running_runs_one_turn(loop: Any) -> None:
    seen: list[int] = []
    loop.call_soon(seen.append, 1)
    loop.stop()
    loop.run_forever()
    assert seen == [1]
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_a_stopping_run_polls_once(loop: Any) -> None:
    """What became ready while the last batch ran is called before run_forever returns."""
    seen: list[str] = []

    def arm() -> None:
        loop.call_soon_threadsafe(seen.append, "threadsafe")
        loop.call_at(loop.time() - 1, seen.append, "timer")

    loop.call_soon(arm)
    loop.stop()
    loop.run_forever()
    first = list(seen)
    loop.stop()
    loop.run_forever()
    assert sorted(seen) == ["threadsafe", "timer"]
    assert "threadsafe" not in first or "timer" not in first or first == seen


def test_is_running_and_is_closed(loop: Any) -> None:
    states: list[tuple[bool, bool]] = []
    loop.call_soon(lambda: states.append((loop.is_running(), loop.is_closed())))
    loop.call_soon(loop.stop)
    assert (loop.is_running(), loop.is_closed()) == (False, False)
    loop.run_forever()
    assert states == [(True, False)]
    assert loop.is_running() is False
    loop.close()
    assert loop.is_closed() is True
    loop.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda loop: loop.call_soon(print),
        lambda loop: loop.call_soon_threadsafe(print),
        lambda loop: loop.call_later(1, print),
        lambda loop: loop.call_at(1, print),
        lambda loop: loop.run_forever(),
        lambda loop: loop.run_until_complete(loop.create_future()),
        lambda loop: loop.run_in_executor(None, print),
        lambda loop: loop.add_signal_handler(10, print),
        lambda loop: loop.add_reader(0, print),
        lambda loop: loop.add_writer(1, print),
        lambda loop: loop.remove_reader(0),
    ],
)
def test_a_closed_loop_refuses_as_stock_does(call: Any, impl: Implementation) -> None:
    answers = []
    for make in (impl.new_loop, asyncio.SelectorEventLoop):
        loop = make()
        loop.close()
        answers.append(outcome(call, loop))
    assert answers[0] == answers[1]


def test_close_while_running_is_refused(loop: Any) -> None:
    loop.call_soon(loop.close)
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert str(contexts[0]["exception"]) == "Cannot close a running event loop"
    assert not loop.is_closed()


def test_close_drops_what_was_queued(impl: Implementation) -> None:
    class Thing:
        def __call__(self) -> None:
            raise AssertionError("called after close")

    loop = impl.new_loop()
    things = [Thing() for _ in range(3)]
    references = [weakref.ref(thing) for thing in things]
    loop.call_soon(things[0])
    loop.call_later(10, things[1])
    loop.call_soon_threadsafe(things[2])
    loop.close()
    del things
    collect()
    assert [reference() for reference in references] == [None] * 3


@pytest.mark.parametrize("bad", [1, None, "text"])
@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "call_later", "call_at"])
def test_what_is_not_callable(loop: Any, method: str, bad: object) -> None:
    stock_loop = asyncio.SelectorEventLoop()
    stock_loop.set_debug(True)
    loop.set_debug(True)
    arguments = (1, bad) if method in ("call_later", "call_at") else (bad,)
    stock = outcome(getattr(stock_loop, method), *arguments)
    ours = outcome(getattr(loop, method), *arguments)
    stock_loop.close()
    assert stock[0] == "raised"
    assert ours == stock
    loop.set_debug(False)


@pytest.mark.parametrize("arguments", [(), (1,), (None, print), ("now", print)])
@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at", "call_soon_threadsafe"])
def test_wrong_arguments_raise_the_same_type(
    loop: Any, method: str, arguments: tuple[Any, ...]
) -> None:
    stock_loop = asyncio.SelectorEventLoop()
    stock = outcome(getattr(stock_loop, method), *arguments)
    ours = outcome(getattr(loop, method), *arguments)
    stock_loop.close()
    assert ours[:2] == stock[:2] or "Handle" in stock[1]


def test_keywords_are_refused_except_context(loop: Any) -> None:
    with pytest.raises(TypeError):
        loop.call_soon(print, unknown=1)
    with pytest.raises(TypeError):
        loop.call_soon()


# ---- run_until_complete


def test_run_until_complete_of_everything_awaitable(loop: Any, impl: Implementation) -> None:
    async def coro() -> str:
        return "coroutine"

    class Awaitable:
        def __await__(self) -> Any:
            yield
            return "awaitable"

    assert loop.run_until_complete(coro()) == "coroutine"
    assert loop.run_until_complete(Awaitable()) == "awaitable"
    assert loop.run_until_complete(impl.Task(coro(), loop=loop)) == "coroutine"
    future = impl.Future(loop=loop)
    loop.call_soon(future.set_result, "future")
    assert loop.run_until_complete(future) == "future"
    assert loop.run_until_complete(future) == "future"
    with pytest.raises(TypeError, match=r"^An asyncio.Future, a coroutine or an awaitable is"):
        loop.run_until_complete(5)


def test_whether_a_future_is_done_goes_by_truth(loop: Any, impl: Implementation) -> None:
    class Future(impl.Future):  # type: ignore[misc, name-defined]
        def done(self) -> Any:
            return [1] if super().done() else []

    future = Future(loop=loop)
    loop.call_soon(future.set_result, 5)
    assert loop.run_until_complete(future) == 5


def test_trap_28_stopped_before_the_end(loop: Any, impl: Implementation) -> None:
    future = impl.Future(loop=loop)
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"^Event loop stopped before Future completed\.$"):
        loop.run_until_complete(future)
    assert not future._callbacks


@pytest.mark.parametrize("method", ["run_forever", "run_until_complete"])
@pytest.mark.parametrize("nested_in", ["itself", "another loop"])
def test_trap_28_nested_runs_are_refused(
    loop: Any, impl: Implementation, method: str, nested_in: str
) -> None:
    # One attempt a run: some stock versions forget that they run when run_forever is refused.
    inner = loop if nested_in == "itself" else impl.new_loop()
    arguments = [impl.Future(loop=inner)] if method == "run_until_complete" else []
    answers: list[Any] = []
    loop.call_soon(lambda: answers.append(outcome(getattr(inner, method), *arguments)))
    loop.call_soon(loop.stop)
    loop.run_forever()
    text = {
        "itself": "This event loop is already running",
        "another loop": "Cannot run the event loop while another loop is running",
    }
    assert answers == [("raised", "RuntimeError", text[nested_in])]
    inner.close()


def test_run_until_complete_uses_asyncios_own_callback(loop: Any, impl: Implementation) -> None:
    from asyncio import base_events

    async def main() -> list[Any]:
        current: Any = asyncio.current_task()
        return [callback for callback, _ in current._callbacks]

    expected = base_events._run_until_complete_cb  # type: ignore[attr-defined]
    assert loop.run_until_complete(main()) == [expected]


def test_run_until_complete_of_a_future_of_another_loop(loop: Any, impl: Implementation) -> None:
    other = impl.new_loop()
    future = impl.Future(loop=other)
    text = r"^The future belongs to a different loop than the one specified"
    with pytest.raises(ValueError, match=text):
        loop.run_until_complete(future)
    other.close()


def test_a_main_task_that_raises_is_consumed(world: World) -> None:
    async def fail() -> None:
        raise LookupError("once")

    with pytest.raises(LookupError):
        world.loop.run_until_complete(fail())
    gc.collect()
    assert world.take_errors() == []


# ---- exceptions out of run_forever


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("how", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_interrupts_leave_run_forever(world: World, error: type[BaseException], how: str) -> None:
    seen: list[str] = []

    def interrupt() -> None:
        raise error("out")

    delay = [0] if how == "call_later" else []
    getattr(world.loop, how)(*delay, interrupt)
    with pytest.raises(error, match=r"^out$"):
        world.loop.run_forever()
    assert not world.loop.is_running()
    assert asyncio._get_running_loop() is None
    world.loop.call_soon(seen.append, "usable")
    world.turn()
    assert seen == ["usable"]


def test_callbacks_after_an_interrupt_run_in_the_next_run(world: World) -> None:
    seen: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    world.loop.call_soon(seen.append, 1)
    world.loop.call_soon(interrupt)
    world.loop.call_soon(seen.append, 2)
    with pytest.raises(KeyboardInterrupt):
        world.loop.run_forever()
    assert seen == [1]
    world.turn(2)
    assert seen[:2] == [1, 2]


def test_an_ordinary_exception_is_reported_and_the_loop_goes_on(world: World) -> None:
    seen: list[int] = []

    def fail() -> None:
        raise ZeroDivisionError

    world.loop.call_soon(fail)
    world.loop.call_soon(seen.append, 1)
    world.turn()
    assert seen == [1]
    (context,) = world.take_errors()
    assert context["message"].startswith("Exception in callback ")
    assert "fail" in context["message"]


# ---- create_task, create_future, factories


def fail_in_a_future(world: World) -> None:
    future = world.future()
    future.add_done_callback(lambda _: 1 / 0)
    future.set_result(None)


FAILURES: dict[str, Callable[[World], object]] = {
    "call_soon": lambda world: world.loop.call_soon(lambda: 1 / 0),
    "call_later": lambda world: world.loop.call_later(0, lambda: 1 / 0),
    "call_soon_threadsafe": lambda world: world.loop.call_soon_threadsafe(lambda: 1 / 0),
    "done callback": fail_in_a_future,
}


@pytest.mark.parametrize("failure", FAILURES)
def test_an_exception_handler_handles_the_exception(world: World, failure: str) -> None:
    """As in an `except` block: logging.exception() and a bare `raise` know what it is about."""
    seen: list[Any] = []

    def handle(loop: Any, context: dict[str, Any]) -> None:
        seen.append(sys.exc_info()[1])
        assert sys.exc_info()[1] is context["exception"]
        try:
            raise LookupError
        except LookupError as error:
            seen.append(error.__context__)

    world.loop.set_exception_handler(handle)
    FAILURES[failure](world)
    world.loop.call_later(0.002, world.loop.stop)
    world.loop.run_forever()
    assert [type(error) for error in seen] == [ZeroDivisionError] * 2
    assert sys.exc_info() == (None, None, None)


def test_an_interrupt_by_an_exception_handler_knows_what_it_interrupts(world: World) -> None:
    def handle(loop: Any, context: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    world.loop.set_exception_handler(handle)
    world.loop.call_soon(lambda: 1 / 0)
    with pytest.raises(KeyboardInterrupt) as caught:
        world.loop.run_forever()
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_create_future_and_create_task_are_of_the_loops_kind(
    loop: Any, impl: Implementation
) -> None:
    assert type(loop.create_future()) is impl.Future
    task = loop.create_task(asyncio.sleep(0), name="named")
    assert type(task) is impl.Task
    assert task.get_name() == "named"
    loop.run_until_complete(task)


def test_task_factory_rules(loop: Any) -> None:
    calls: list[Any] = []

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return asyncio.Task(coro, loop=loop, **kwargs)

    stock_loop = asyncio.SelectorEventLoop()
    traces = []
    for each in (loop, stock_loop):
        calls.clear()
        each.set_task_factory(factory)
        assert each.get_task_factory() is factory
        for kwargs in ({}, {"name": "n"}):
            each.run_until_complete(each.create_task(asyncio.sleep(0), **kwargs))
        traces.append(list(calls))
        each.set_task_factory(None)
    stock_loop.close()
    assert traces[0] == traces[1]
    with pytest.raises(TypeError, match=r"^task factory must be a callable or None$"):
        loop.set_task_factory(5)


def test_a_factory_without_context_still_works(loop: Any) -> None:
    loop.set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
    assert loop.run_until_complete(loop.create_task(asyncio.sleep(0, 4))) == 4
    loop.set_task_factory(None)


# ---- two loops, dropped loops


def test_two_loops_in_two_threads(impl: Implementation) -> None:
    results: dict[int, int] = {}

    def run(number: int) -> None:
        loop = impl.new_loop()

        async def main() -> int:
            total = 0
            for _ in range(300):
                total += sum(await asyncio.gather(*(asyncio.sleep(0, n) for n in range(3))))
            return total

        results[number] = loop.run_until_complete(main())
        loop.close()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), 900)


def test_a_loop_runs_in_another_thread_than_it_was_made_in(loop: Any) -> None:
    seen: list[Any] = []

    def run() -> None:
        seen.append(loop.run_until_complete(asyncio.sleep(0, threading.get_ident())))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(seen) == 1
    assert loop.run_until_complete(asyncio.sleep(0, "here again")) == "here again"


@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
def test_trap_15_a_dropped_loop_with_work_pending_is_collected(impl: Implementation) -> None:
    loop = impl.new_loop()
    loop.set_exception_handler(lambda *_: None)

    async def wait() -> None:
        await asyncio.sleep(1000)

    task = loop.create_task(wait())
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.call_soon(print, loop)
    loop.call_later(1000, print, loop)
    loop.call_soon_threadsafe(print, loop)
    loop.me = loop
    reference = weakref.ref(loop)
    task_reference = weakref.ref(task)
    del loop, task
    collect()
    assert task_reference() is None
    assert reference() is None


def test_an_unclosed_loop_warns(impl: Implementation) -> None:
    loops = [impl.new_loop()]

    def drop() -> None:
        loops.clear()
        collect()

    with pytest.warns(ResourceWarning, match=r"unclosed event loop"):
        drop()


def test_repr_is_stock(impl: Implementation) -> None:
    loop = impl.new_loop()
    loop.set_debug(False)
    rest = repr(loop).split(" ", 1)[1]
    assert rest == "running=False closed=False debug=False>"
    loop.close()
    assert "closed=True" in repr(loop)


def test_metrics_is_a_dictionary_of_numbers(impl: Implementation) -> None:
    if not impl.native:
        pytest.skip("stock loops have no metrics")
    loop = impl.new_loop()
    loop.run_until_complete(asyncio.sleep(0))
    metrics = loop.metrics()
    assert metrics
    assert all(isinstance(key, str) for key in metrics)
    assert all(isinstance(value, (int, float)) for value in metrics.values())
    loop.close()

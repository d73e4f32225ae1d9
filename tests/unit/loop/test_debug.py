"""Debug mode: thread check, coroutine check, slow callbacks, source tracebacks, origin tracking."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import time
from asyncio import constants
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import Implementation, World, collect, outcome


def test_debug_follows_the_environment(impl: Implementation) -> None:
    from tests.support import check_script

    script = "loop = impl.new_loop(); print(loop.get_debug()); loop.close()"
    env = {"PYTHONASYNCIODEBUG": ""}
    assert check_script(script, impl=impl.name, env=env) == "False\n"
    env = {"PYTHONASYNCIODEBUG": "1"}
    assert check_script(script, impl=impl.name, env=env) == "True\n"
    done = check_script(script, impl=impl.name, options=("-X", "dev", "-W", "ignore"))
    assert done == "True\n"


def test_set_debug(loop: Any) -> None:
    loop.set_debug(True)
    assert loop.get_debug() is True
    assert "debug=True" in repr(loop)
    loop.set_debug(False)
    assert loop.get_debug() is False
    assert loop.slow_callback_duration == 0.1


def test_set_debug_returns_nothing(loop: Any) -> None:
    async def main() -> None:
        assert loop.set_debug(True) is None
        assert loop.set_debug(False) is None

    loop.run_until_complete(main())


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at"])
def test_the_wrong_thread_is_refused_in_debug_mode(loop: Any, method: str) -> None:
    loop.set_debug(True)
    answers: list[Any] = []
    arguments = [] if method == "call_soon" else [1]

    def call() -> None:
        answers.append(outcome(getattr(loop, method), *arguments, print))

    async def main() -> None:
        await asyncio.to_thread(call)

    loop.run_until_complete(main())
    text = "Non-thread-safe operation invoked on an event loop other than the current one"
    assert answers == [("raised", "RuntimeError", text)]
    loop.set_debug(False)
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_at", "call_soon_threadsafe"])
def test_coroutines_are_refused_in_debug_mode(loop: Any, method: str) -> None:
    async def coroutine() -> None:
        pass

    made = coroutine()
    arguments = [1] if method in ("call_later", "call_at") else []
    stock_loop = asyncio.SelectorEventLoop()
    for bad in (coroutine, made, 1):
        answers = []
        for each in (loop, stock_loop):
            each.set_debug(True)
            answers.append(outcome(getattr(each, method), *arguments, bad))
            each.set_debug(False)
        assert answers[0] == answers[1]
        assert answers[0][0] == "raised"
    made.close()
    stock_loop.close()


def test_trap_20_source_tracebacks_end_in_the_caller(loop: Any) -> None:
    loop.set_debug(True)
    here = sys._getframe().f_code.co_name
    handles = [
        loop.call_soon(print),
        loop.call_later(10, print),
        loop.call_at(loop.time() + 10, print),
        loop.call_soon_threadsafe(print),
    ]
    for handle in handles:
        assert handle._source_traceback[-1].name == here
        handle.cancel()
    task = loop.create_task(asyncio.sleep(0))
    assert task._source_traceback[-1].name == here
    assert loop.create_future()._source_traceback
    loop.run_until_complete(task)
    loop.set_debug(False)


def slow_logs(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        re.sub(r"0x[0-9a-f]+|Task-\d+|\d+\.\d+|:\d+", "*", record.getMessage())
        for record in caplog.records
        if record.levelno == logging.WARNING and record.name == "asyncio"
    ]


def slow_callback() -> None:
    time.sleep(0.002)


async def slow_task() -> None:
    time.sleep(0.002)


def test_slow_callbacks_are_logged_with_asyncios_text(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def run(loop: Any, task_type: Any) -> list[str]:
        caplog.clear()
        loop.set_debug(True)
        loop.slow_callback_duration = 0.001
        loop.call_soon(slow_callback)
        loop.call_later(0, slow_callback)
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.call_later(0.005, loop.stop)
        loop.run_forever()
        loop.run_until_complete(task_type(slow_task(), loop=loop))
        loop.set_debug(False)
        return slow_logs(caplog)

    stock_loop = asyncio.SelectorEventLoop()
    expected = run(stock_loop, asyncio.Task)
    stock_loop.close()
    assert run(world.loop, world.types.Task) == expected
    assert len(expected) >= 3
    assert all(line.startswith("Executing <") for line in expected)


def test_nothing_is_logged_below_the_limit_or_without_debug(
    loop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    loop.slow_callback_duration = 0.0
    loop.call_soon(slow_callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.set_debug(True)
    loop.slow_callback_duration = 1000.0
    loop.call_soon(slow_callback)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.set_debug(False)
    assert slow_logs(caplog) == []


def test_trap_20_origin_tracking_is_on_while_the_loop_runs(loop: Any) -> None:
    before = sys.get_coroutine_origin_tracking_depth()
    depths: list[int] = []

    def note() -> None:
        depths.append(sys.get_coroutine_origin_tracking_depth())

    loop.set_debug(True)
    loop.call_soon(note)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.set_debug(False)
    loop.call_soon(note)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert depths == [constants.DEBUG_STACK_DEPTH, before]
    assert sys.get_coroutine_origin_tracking_depth() == before


def test_set_debug_while_running_switches_the_tracking(loop: Any) -> None:
    before = sys.get_coroutine_origin_tracking_depth()

    async def main() -> list[int]:
        depths = []
        for on in (True, False):
            loop.set_debug(on)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            depths.append(sys.get_coroutine_origin_tracking_depth())
        return depths

    assert loop.run_until_complete(main()) == [constants.DEBUG_STACK_DEPTH, before]


def test_the_source_traceback_is_in_the_report(world: World) -> None:
    world.loop.set_debug(True)

    def fail() -> None:
        raise LookupError

    world.loop.call_soon(fail)
    world.turn()
    (context,) = world.take_errors()
    assert context["source_traceback"][-1].name == sys._getframe().f_code.co_name
    world.loop.set_debug(False)


def test_everything_still_works_in_debug_mode(loop: Any) -> None:
    async def main() -> int:
        event = asyncio.Event()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(event.set))
        thread.start()
        await event.wait()
        thread.join()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0.001, n)) for n in range(10)]
        return sum(task.result() for task in tasks)

    loop.set_debug(True)
    assert loop.run_until_complete(main()) == 45
    loop.set_debug(False)


class Undecided:
    """True so many times, and then an error."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __bool__(self) -> bool:
        self.times -= 1
        if self.times < 0:
            raise ZeroDivisionError
        return True


@pytest.mark.parametrize("times", [0, 1], ids=["asked", "told"])
def test_a_loop_that_cannot_be_made_leaves_no_trace(
    impl: Implementation, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    if not impl.native:
        pytest.skip("a stock loop that was not made warns that it was not closed")
    with monkeypatch.context() as patch:
        patch.setattr("sys.flags", SimpleNamespace(dev_mode=Undecided(times)))
        with pytest.raises(ZeroDivisionError):
            impl.new_loop()
    collect()

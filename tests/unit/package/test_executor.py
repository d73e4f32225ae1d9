"""Executors: run_in_executor, the default one, and its shutdown, as asyncio has them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
from typing import Any

import pytest

import bucle
from tests.support import check_script, outcome


def test_run_in_executor_returns_and_raises(loop: Any) -> None:
    async def main() -> tuple[int, str]:
        value = await loop.run_in_executor(None, int, "42")
        with pytest.raises(ValueError, match="invalid literal") as caught:
            await loop.run_in_executor(None, int, "x")
        return value, type(caught.value).__name__

    assert loop.run_until_complete(main()) == (42, "ValueError")
    loop.run_until_complete(loop.shutdown_default_executor())


def test_threads_are_named_as_asyncios(loop: Any) -> None:
    name = loop.run_until_complete(
        loop.run_in_executor(None, lambda: threading.current_thread().name)
    )
    assert name == "asyncio_0"
    loop.run_until_complete(loop.shutdown_default_executor())


def test_an_executor_of_ones_own(loop: Any) -> None:
    with concurrent.futures.ThreadPoolExecutor(thread_name_prefix="mine") as executor:
        future = loop.run_in_executor(executor, lambda: threading.current_thread().name)
        assert loop.run_until_complete(future) == "mine_0"
        loop.set_default_executor(executor)
        future = loop.run_in_executor(None, lambda: threading.current_thread().name)
        assert loop.run_until_complete(future) == "mine_0"


def test_no_result_is_lost_on_its_way_to_a_loop_that_falls_asleep(loop: Any) -> None:
    # The thread answers while the run begins: before, in or after the poll that goes to sleep.
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        for number in range(1000):
            future = loop.run_in_executor(executor, int, number)
            assert loop.run_until_complete(future) == number


def test_the_future_is_native() -> None:
    async def main() -> type[Any]:
        future = asyncio.get_running_loop().run_in_executor(None, int)
        await future
        return type(future)

    assert bucle.run(main()) is bucle.Future


def test_only_a_thread_pool_may_be_the_default(loop: Any) -> None:
    assert outcome(loop.set_default_executor, object()) == (
        "raised",
        "TypeError",
        "executor must be ThreadPoolExecutor instance",
    )


def test_debug_mode_refuses_coroutines(loop: Any) -> None:
    async def coroutine() -> None: ...

    loop.set_debug(True)
    assert outcome(loop.run_in_executor, None, coroutine) == (
        "raised",
        "TypeError",
        "coroutines cannot be used with run_in_executor()",
    )
    assert outcome(loop.run_in_executor, None, 5) == (
        "raised",
        "TypeError",
        "a callable object was expected by run_in_executor(), got 5",
    )
    loop.set_debug(False)


def test_after_the_shutdown_it_is_refused(loop: Any) -> None:
    loop.run_until_complete(loop.run_in_executor(None, int))
    loop.run_until_complete(loop.shutdown_default_executor())
    assert outcome(loop.run_in_executor, None, int) == (
        "raised",
        "RuntimeError",
        "Executor shutdown has been called",
    )
    loop.run_until_complete(loop.shutdown_default_executor())


def test_a_closed_loop_refuses(loop: Any) -> None:
    loop.close()
    assert outcome(loop.run_in_executor, None, int) == (
        "raised",
        "RuntimeError",
        "Event loop is closed",
    )


TIMEOUT = """
import asyncio, threading, warnings
release = threading.Event()
async def main():
    loop = asyncio.get_running_loop()
    waiting = loop.run_in_executor(None, release.wait)
    # 3.12.1 awaits the threads for ever, and warns only if they outlive that.
    threading.Timer(0.5, release.set).start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await loop.shutdown_default_executor(timeout=0.05)
    print(*((w.category.__name__, str(w.message)) for w in caught))
    print(await waiting)
loop = impl.new_loop()
loop.run_until_complete(main())
loop.close()
"""


def test_a_shutdown_that_takes_too_long_warns() -> None:
    if "timeout" not in inspect.signature(bucle.Loop.shutdown_default_executor).parameters:
        pytest.skip("no timeout in this version")
    ours = check_script(TIMEOUT, impl="bucle")
    assert ours == check_script(TIMEOUT, impl="stock")
    assert ours.endswith("True\n")


CLOSE = """
import threading, time
loop = impl.new_loop()
release = threading.Event()
loop.run_until_complete(loop.run_in_executor(None, int))
waiting = loop.run_in_executor(None, release.wait)
executor = loop._default_executor
loop.close()
print(loop._default_executor, executor._shutdown, waiting.done())
release.set()
"""


def test_close_does_not_wait_for_the_executor() -> None:
    ours = check_script(CLOSE, impl="bucle")
    assert ours == check_script(CLOSE, impl="stock") == "None True False\n"

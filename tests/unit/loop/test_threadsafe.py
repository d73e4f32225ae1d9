"""Calls from other threads: they wake the loop, keep their order, and leave nothing out."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from typing import Any

import pytest

from tests.support import Implementation, check_script, turn


def test_a_call_from_a_thread_wakes_a_sleeping_loop(loop: Any) -> None:
    running = threading.Event()
    loop.call_soon(running.set)

    def wake() -> None:
        running.wait()
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=wake)
    thread.start()
    loop.run_forever()
    thread.join()


def test_calls_of_one_thread_keep_their_order(loop: Any) -> None:
    seen: list[tuple[int, int]] = []
    count, threads = 2000, 4

    def call(name: int) -> None:
        for number in range(count):
            loop.call_soon_threadsafe(seen.append, (name, number))
        loop.call_soon_threadsafe(finished)

    done: list[int] = []

    def finished() -> None:
        done.append(1)
        if len(done) == threads:
            loop.stop()

    started = [threading.Thread(target=call, args=(n,)) for n in range(threads)]
    for thread in started:
        thread.start()
    loop.run_forever()
    for thread in started:
        thread.join()
    assert len(seen) == count * threads
    for name in range(threads):
        assert [number for each, number in seen if each == name] == list(range(count))


def test_threadsafe_from_the_loops_own_thread(loop: Any) -> None:
    seen: list[str] = []

    def first() -> None:
        loop.call_soon_threadsafe(seen.append, "threadsafe")
        loop.call_soon(seen.append, "soon")

    loop.call_soon(first)
    turn(loop, 3)
    assert sorted(seen) == ["soon", "threadsafe"]


def test_a_call_before_the_loop_runs(loop: Any) -> None:
    seen: list[int] = []
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(seen.append, 1))
    thread.start()
    thread.join()
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == [1]


def test_a_cancelled_call_does_not_run(loop: Any) -> None:
    seen: list[int] = []
    handle = loop.call_soon_threadsafe(seen.append, 1)
    handle.cancel()
    assert handle.cancelled()
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == []


def test_context_of_a_threadsafe_call(loop: Any) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: list[str] = []

    def call() -> None:
        variable.set("of the thread")
        loop.call_soon_threadsafe(lambda: seen.append(variable.get()))
        given = contextvars.Context()
        given.run(variable.set, "given")
        loop.call_soon_threadsafe(lambda: seen.append(variable.get()), context=given)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=call)
    thread.start()
    loop.run_forever()
    thread.join()
    assert seen == ["of the thread", "given"]


def test_run_coroutine_threadsafe(loop: Any) -> None:
    results: list[Any] = []

    async def work(value: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    def ask() -> None:
        try:
            for value in (1, "two", None):
                future = asyncio.run_coroutine_threadsafe(work(value), loop)
                results.append(future.result(10))
            with pytest.raises(LookupError):
                asyncio.run_coroutine_threadsafe(work(LookupError()), loop).result(10)
            slow = asyncio.run_coroutine_threadsafe(asyncio.sleep(100), loop)
            slow.cancel()
            with pytest.raises(concurrent.futures.CancelledError):
                slow.result(10)
            results.append("end")
        finally:
            loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=ask)
    thread.start()
    loop.run_forever()
    thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert results == [1, "two", None, "end"]


def test_executor_and_to_thread(loop: Any) -> None:
    async def main() -> list[Any]:
        here = threading.get_ident()
        there = await loop.run_in_executor(None, threading.get_ident)
        values = await asyncio.gather(*(asyncio.to_thread(pow, n, 2) for n in range(20)))
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 / 0)
        return [here != there, values]

    assert loop.run_until_complete(main()) == [True, [n * n for n in range(20)]]
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match=r"^Executor shutdown has been called$"):
        loop.run_in_executor(None, print)


def test_wrap_future(loop: Any, impl: Implementation) -> None:
    outside: concurrent.futures.Future[int] = concurrent.futures.Future()

    async def main() -> int:
        inside = asyncio.wrap_future(outside)
        threading.Thread(target=outside.set_result, args=(9,)).start()
        return await inside

    assert loop.run_until_complete(main()) == 9


def test_threads_against_close(impl: Implementation) -> None:
    """A thread that calls while the loop is closed gets RuntimeError, never a crash."""
    out = check_script(
        """
        import threading
        for _ in range(30):
            loop = impl.new_loop()
            started, errors = threading.Event(), []

            def call():
                try:
                    while True:
                        loop.call_soon_threadsafe(int)
                        started.set()
                except RuntimeError as error:
                    errors.append(str(error))

            threads = [threading.Thread(target=call) for _ in range(3)]
            for thread in threads:
                thread.start()
            started.wait()
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            for thread in threads:
                thread.join()
            assert errors == ["Event loop is closed"] * 3, errors
        print("ok")
        """,
        impl=impl.name,
    )
    assert out == "ok\n"

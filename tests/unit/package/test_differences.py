"""Each difference from asyncio that the registry lists, shown on both: asyncio does the one thing,
bucle the other.  A test that fails here is a difference that is gone, and its row goes too.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
import types
from typing import Any

import pytest

import bucle

BOTH = pytest.mark.parametrize("native", [False, True], ids=["asyncio", "bucle"])


def make_loop(native: bool) -> Any:
    return bucle.new_event_loop() if native else asyncio.SelectorEventLoop()


@BOTH
def test_polls_are_skipped_while_work_is_ready(native: bool) -> None:
    loop = make_loop(native)
    turns = 40
    left = turns

    def link() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(link)
        else:
            loop.stop()

    polls = 0
    if not native:
        select = loop._selector.select

        def counted(timeout: float | None = None) -> Any:
            nonlocal polls
            polls += 1
            return select(timeout)

        loop._selector.select = counted
    loop.call_soon(link)
    loop.run_forever()
    if native:
        polls = loop.metrics()["polls"]
    loop.close()
    assert polls < turns / 2 if native else polls == turns


@BOTH
def test_a_due_timer_may_wait_some_turns(native: bool) -> None:
    loop = make_loop(native)
    turns = 0
    fired_in: list[int] = []

    def link() -> None:
        nonlocal turns
        turns += 1
        if turns == 3:
            loop.call_at(loop.time() - 1, lambda: fired_in.append(turns))
        if fired_in:
            loop.stop()
        else:
            loop.call_soon(link)

    loop.call_soon(link)
    loop.run_forever()
    loop.close()
    waited = fired_in[0] - 3
    assert 2 < waited <= 64 if native else waited <= 2


@BOTH
def test_writes_into_the_dict_of_a_loop_are_not_seen(native: bool) -> None:
    loop = make_loop(native)
    vars(loop)["time"] = lambda: 5.0
    handle = loop.call_later(1, print)
    loop.close()
    assert (handle.when() == 6.0) is not native


@BOTH
def test_private_parts_of_the_selector_loop(native: bool) -> None:
    loop = make_loop(native)
    loop.close()
    assert hasattr(loop, "_run_once") is not native
    assert hasattr(loop, "_process_events") is not native


@BOTH
def test_threads_are_not_slowed_down(native: bool) -> None:
    loop = make_loop(native)
    wakeups = 0
    if not native:
        write = loop._write_to_self

        def counted() -> None:
            nonlocal wakeups
            wakeups += 1
            write()

        loop._write_to_self = counted
    calls = 200

    def feed() -> None:
        for _ in range(calls):
            loop.call_soon_threadsafe(int)

    def wait_for_the_feed() -> None:
        thread = threading.Thread(target=feed)
        thread.start()
        thread.join()
        loop.stop()

    loop.call_soon(wait_for_the_feed)
    loop.run_forever()
    if native:
        wakeups = loop.metrics()["wakeups"]
    loop.close()
    assert wakeups < calls / 2 if native else wakeups == calls


@BOTH
def test_questions_that_native_code_does_not_ask(native: bool) -> None:
    asked = []
    base: Any = bucle.Loop if native else asyncio.SelectorEventLoop

    class Asked(base):  # type: ignore[misc]
        def _check_closed(self) -> None:
            asked.append("closed")
            super()._check_closed()

    loop = Asked()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert bool(asked) is not native


@BOTH
def test_native_coroutines_have_a_type_of_their_own(native: bool) -> None:
    made: Any = bucle.sleep(1) if native else asyncio.sleep(1)
    assert inspect.iscoroutine(made)
    assert isinstance(made, types.CoroutineType)
    frame: Any = made.cr_frame
    assert frame.f_code is asyncio.tasks.sleep.__code__
    assert (type(made) is types.CoroutineType) is not native
    made.close()


@BOTH
def test_native_functions_have_a_type_of_their_own(native: bool) -> None:
    sleep: Any = bucle.sleep if native else asyncio.sleep
    assert inspect.iscoroutinefunction(sleep)
    assert inspect.isroutine(sleep)
    assert inspect.isfunction(sleep) is not native
    assert (type(sleep) is types.FunctionType) is not native


@BOTH
def test_tracebacks_have_no_lines_of_asyncio(native: bool) -> None:
    sleep: Any = bucle.sleep if native else asyncio.sleep

    async def main() -> str:
        task = asyncio.ensure_future(sleep(10))
        asyncio.get_running_loop().call_soon(task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return traceback.format_exc()
        raise AssertionError("not cancelled")

    loop = make_loop(native)
    text = loop.run_until_complete(main())
    loop.close()
    assert ("tasks.py" in text) is not native


@BOTH
def test_waiters_are_native_futures(native: bool) -> None:
    made = []
    base: Any = bucle.Loop if native else asyncio.SelectorEventLoop
    lock_type: Any = bucle.Lock if native else asyncio.Lock

    class Counted(base):  # type: ignore[misc]
        def create_future(self) -> Any:
            made.append(1)
            return super().create_future()

    async def main() -> int:
        lock = lock_type()
        await lock.acquire()
        before = len(made)
        task = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)
        lock.release()
        await task
        return len(made) - before

    loop = Counted()
    assert loop.run_until_complete(main()) == (0 if native else 1)
    loop.close()


@BOTH
def test_patches_are_not_seen_from_inside(native: bool) -> None:
    calls = []

    async def main() -> None:
        lock: Any = bucle.Lock() if native else asyncio.Lock()
        release = lock.release

        def patched() -> None:
            calls.append(1)
            release()

        lock.release = patched
        async with lock:
            pass

    loop = make_loop(native)
    loop.run_until_complete(main())
    loop.close()
    assert bool(calls) is not native


@BOTH
def test_writes_into_the_dict_of_a_lock_are_not_seen(native: bool) -> None:
    lock: Any = bucle.Lock() if native else asyncio.Lock()
    vars(lock)["_locked"] = True
    assert lock.locked() is not native
    lock._locked = True
    assert lock.locked()


@BOTH
def test_two_primitives_do_not_mix(native: bool) -> None:
    bases: Any = (bucle.Lock, bucle.Event) if native else (asyncio.Lock, asyncio.Event)
    if native:
        with pytest.raises(TypeError, match="lay-out conflict"):
            type("Both", bases, {})
    else:
        type("Both", bases, {})


@BOTH
def test_metaclasses_derive_from_the_native_one(native: bool) -> None:
    class Meta(type):
        pass

    class NativeMeta(type(bucle.Queue)):  # type: ignore[misc]
        pass

    base: Any = bucle.Queue if native else asyncio.Queue
    if native:
        with pytest.raises(TypeError, match="metaclass conflict"):
            Meta("Mine", (base,), {})
    else:
        Meta("Mine", (base,), {})
    made = NativeMeta("Mine", (base,), {})
    assert type(made) is NativeMeta
    assert made(1).maxsize == 1


def test_a_future_is_larger() -> None:
    loop = bucle.new_event_loop()
    stock = asyncio.SelectorEventLoop()
    ours, theirs = loop.create_future().__sizeof__(), stock.create_future().__sizeof__()
    loop.close()
    stock.close()
    assert theirs < ours <= 2 * theirs

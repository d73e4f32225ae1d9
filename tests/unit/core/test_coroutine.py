"""Native coroutine objects behave as the interpreter's: each test holds for both."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import sys
import types
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import collect

if TYPE_CHECKING:
    from tests.support import World

SLEEP = pytest.mark.parametrize("sleep", [asyncio.sleep, bucle.sleep], ids=["asyncio", "bucle"])
LOCK = pytest.mark.parametrize("lock", [asyncio.Lock, bucle.Lock], ids=["asyncio", "bucle"])


@SLEEP
def test_states(sleep: Any) -> None:
    coro = sleep(0, "slept")
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CREATED
    assert coro.cr_frame is not None
    assert coro.cr_await is None
    assert coro.send(None) is None
    assert inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    assert stop.value.value == "slept"
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    assert coro.cr_frame is None
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


@SLEEP
def test_what_it_is(sleep: Any) -> None:
    coro = sleep(0)
    assert asyncio.iscoroutine(coro)
    assert inspect.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert isinstance(coro, types.CoroutineType)
    assert not hasattr(coro, "__next__")
    assert not hasattr(coro, "__iter__")
    assert (coro.__name__, coro.__qualname__) == ("sleep", "sleep")
    assert repr(coro).startswith("<coroutine object sleep at 0x")
    assert coro.cr_code is asyncio.tasks.sleep.__code__
    assert coro.cr_origin is None
    assert weakref.ref(coro)() is coro
    with pytest.raises(TypeError):
        copy.copy(coro)
    with pytest.raises(TypeError):
        pickle.dumps(coro)
    coro.close()


@SLEEP
def test_closed_before_the_start(sleep: Any) -> None:
    coro = sleep(0)
    coro.close()
    coro.close()
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


@SLEEP
def test_a_value_for_one_that_has_not_begun(sleep: Any) -> None:
    coro = sleep(0)
    with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
        coro.send(1)
    coro.close()


@SLEEP
@pytest.mark.parametrize("started", [False, True])
def test_throw(sleep: Any, started: bool) -> None:
    coro = sleep(0)
    if started:
        coro.send(None)
    with pytest.raises(KeyError, match="thrown"):
        coro.throw(KeyError("thrown"))
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    coro = sleep(0)
    with pytest.raises(TypeError, match="exceptions must be classes"):
        coro.throw(5)
    coro.close()


@SLEEP
def test_a_stop_iteration_cannot_look_like_a_return(sleep: Any) -> None:
    coro = sleep(0)
    coro.send(None)
    with pytest.raises(RuntimeError, match=r"(coroutine|generator) raised StopIteration") as raised:
        coro.throw(StopIteration(5))
    assert isinstance(raised.value.__cause__, StopIteration)


@pytest.mark.parametrize("stop", [StopIteration(), StopIteration(5)], ids=repr)
@pytest.mark.parametrize("iterator", [False, True])
def test_a_stop_iteration_for_one_that_has_not_begun(stop: Any, iterator: bool) -> None:
    def thrown(sleep: Any) -> Any:
        coro = sleep(0)
        with pytest.raises((RuntimeError, StopIteration)) as raised:
            (coro.__await__() if iterator else coro).throw(stop)
        assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
        error = raised.value
        return type(error), error.args, error.__cause__, error.__context__

    assert thrown(bucle.sleep) == thrown(asyncio.sleep)


@SLEEP
def test_never_awaited(sleep: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sleep(1)
        gc.collect()
        done = sleep(0)
        done.close()
        del done
    assert [str(warning.message) for warning in caught] == ["coroutine 'sleep' was never awaited"]
    assert caught[0].category is RuntimeWarning


@SLEEP
@pytest.mark.parametrize(("delay", "begun"), [(0, False), (0, True), (60, True)])
def test_a_cycle_is_collected(sleep: Any, delay: float, begun: bool) -> None:
    class Box:
        coro: Any

    async def main() -> weakref.ref[Box]:
        box = Box()
        box.coro = sleep(delay, box)
        if begun:
            box.coro.send(None)
        return weakref.ref(box)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        alive = asyncio.run(main())
        collect()
    said = [str(warning.message) for warning in caught]
    assert said == ([] if begun else ["coroutine 'sleep' was never awaited"])
    caught.clear()  # a warning knows the coroutine, from 3.15 on
    collect()
    assert alive() is None


@LOCK
def test_one_that_is_dropped_while_it_waits_cleans_up(lock: Any) -> None:
    async def main() -> int:
        held = lock()
        await held.acquire()
        coro = held.acquire()
        coro.send(None)
        assert len(held._waiters) == 1
        del coro
        gc.collect()
        return len(held._waiters)

    assert asyncio.run(main()) == 0


@LOCK
def test_awaited_twice_at_a_time(lock: Any) -> None:
    async def main() -> None:
        held = lock()
        await held.acquire()
        coro = held.acquire()

        async def wait() -> None:
            await coro

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await coro
        held.release()
        await task

    asyncio.run(main())


@LOCK
def test_it_is_collected_in_a_cycle(lock: Any) -> None:
    class Owner:
        pass

    owner: Any = Owner()
    owner.lock = lock()
    owner.coro = owner.lock.acquire()
    owner.lock.owner = owner
    gone = weakref.ref(owner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del owner
        gc.collect()
    assert gone() is None


@LOCK
def test_it_shows_what_it_awaits(lock: Any) -> None:
    async def main() -> None:
        held = lock()
        await held.acquire()
        task: Any = asyncio.create_task(held.acquire())
        await asyncio.sleep(0)
        coro = task.get_coro()
        assert inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED
        assert coro.cr_await is not None
        assert "Lock.acquire() running at" in repr(task)
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["acquire"]
        held.release()
        await task
        assert "Lock.acquire() done, defined at" in repr(task)

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="call graphs came with 3.14")
@LOCK
def test_call_graphs_go_through_it(lock: Any) -> None:
    async def main() -> str:
        held = lock()
        await held.acquire()

        async def outer() -> None:
            await held.acquire()

        task = asyncio.create_task(outer())
        await asyncio.sleep(0)
        graph = asyncio.format_call_graph(task)
        held.release()
        await task
        return str(graph)

    text = asyncio.run(main())
    assert "in Lock.acquire()" in text or "async Lock.acquire()" in text
    assert "outer()" in text


@pytest.mark.parametrize(
    "call",
    [
        lambda sleep, lock: sleep(),
        lambda sleep, lock: sleep(1, 2, 3),
        lambda sleep, lock: sleep(1, delay=2),
        lambda sleep, lock: sleep(delay=1, other=2),
        lambda sleep, lock: lock(1),
        lambda sleep, lock: lock().acquire(1),
        lambda sleep, lock: lock.acquire(),
        lambda sleep, lock: lock().release(None),
    ],
)
def test_calls_that_do_not_fit_fail_as_asyncios(call: Any) -> None:
    with pytest.raises(TypeError) as theirs:
        call(asyncio.sleep, asyncio.Lock)
    with pytest.raises(TypeError) as ours:
        call(bucle.sleep, bucle.Lock)
    assert str(ours.value) == str(theirs.value)


def test_a_method_serves_stock_objects_too() -> None:
    async def main() -> bool:
        stock = asyncio.Lock()
        await bucle.Lock.acquire(stock)
        assert stock.locked()
        bucle.Lock.release(stock)
        native = bucle.Lock()
        await asyncio.Lock.acquire(native)
        waiting = asyncio.ensure_future(asyncio.Lock.acquire(native))
        await asyncio.sleep(0)
        assert len(native._waiters or ()) == 1
        asyncio.Lock.release(native)
        return await waiting

    assert asyncio.run(main())
    assert bucle.run(main())


async def test_a_result_dies_with_its_last_holder(world: World) -> None:
    """Although the coroutine that brought it is still held."""

    class Item:
        pass

    queue = world.api.Queue()
    item = Item()
    gone = weakref.ref(item)
    queue.put_nowait(item)
    del item
    getter = queue.get()
    received = await getter
    assert received is gone()
    del received
    await asyncio.sleep(0)
    assert gone() is None
    assert getter is not None


@SLEEP
def test_keywords(sleep: Any) -> None:
    assert asyncio.run(sleep(result=3, delay=0)) == 3
    assert bucle.run(sleep(0.001, result=4)) == 4


def test_functions_pickle_by_name() -> None:
    assert pickle.loads(pickle.dumps(bucle.sleep)) is bucle.sleep
    assert copy.deepcopy(bucle.sleep) is bucle.sleep
    assert bucle.sleep.__module__ == "bucle"

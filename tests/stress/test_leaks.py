"""Nothing leaks: descriptors, objects by type, references of shared objects, after many cycles.

Each case is run a few times to warm caches and free lists, counted, run many times more, and
counted again.  Caches fill once, a leak shows every time: only what has grown in each of three
rounds by a third of an object a cycle is a failure.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import socket
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import bucle
from tests.support import Implementation, World, collect

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stress

CYCLES = 300
ROUNDS = 3


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def objects_by_type() -> Counter[str]:
    collect()
    return Counter(
        f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects()
    )


@pytest.fixture(autouse=True, scope="module")
def full_pools() -> None:
    """Some dead futures, tasks and handles are kept for the next ones: that is no growth."""
    loop = bucle.new_event_loop()
    futures = [bucle.Future(loop=loop) for _ in range(300)]
    tasks = [bucle.Task(noop(), loop=loop) for _ in range(300)]
    loop.run_until_complete(bucle.wait(tasks))
    loop.close()
    del futures, tasks


def growth(
    act: Callable[[], None], count: Callable[[], Counter[Any]], cycles: int = CYCLES
) -> dict[Any, int]:
    """What has grown in every round, with its growth in the last one."""
    for _ in range(20):
        act()
    suspects: dict[Any, int] = {}
    for round_number in range(ROUNDS):
        before = count()
        for _ in range(cycles):
            act()
        after = count()
        grown = {
            key: after[key] - before[key]
            for key in after
            if after[key] - before[key] > cycles // 3 and (round_number == 0 or key in suspects)
        }
        suspects = grown
        if not suspects:
            break
    return suspects


async def noop() -> None:
    pass


async def fail() -> None:
    raise LookupError


def cases(world: World) -> dict[str, Callable[[], None]]:
    loop = world.loop
    variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable")

    def futures() -> None:
        kept = [world.future() for _ in range(5)]
        kept[0].set_result(1)
        kept[1].set_exception(ValueError())
        kept[1].exception()
        kept[2].cancel("m")
        for future in kept:
            future.add_done_callback(lambda _: None)
            future.add_done_callback(kept.append)
            future.remove_done_callback(kept.append)
        world.turn(2)

    def tasks() -> None:
        async def main() -> None:
            done = world.future()
            waiting = [world.task(wait(world.future()))]
            waiting += [world.task(wait(done)) for _ in range(5)]
            failing = [world.task(fail()) for _ in range(3)]
            dropped = world.task(wait(world.future()))
            await asyncio.sleep(0)
            waiting[0].cancel("m")
            done.set_result(None)
            await asyncio.gather(*waiting, *failing, return_exceptions=True)
            dropped.cancel()
            await asyncio.wait([dropped])

        async def wait(future: Any) -> None:
            variable.set(object())
            await future

        world.run(main())

    def destroyed_while_pending() -> None:
        async def wait() -> None:
            await world.future()

        world.task(wait())
        world.turn()
        gc.collect()
        world.take_errors()

    def handles() -> None:
        loop.call_soon(print, 1, 2, 3).cancel()
        loop.call_soon(int)
        loop.call_soon_threadsafe(int)
        loop.call_later(0, int)
        loop.call_later(1000, int).cancel()
        world.turn()

    def reported_errors() -> None:
        def callback() -> None:
            raise LookupError

        loop.call_soon(callback)
        world.future().set_exception(KeyError())
        world.turn()
        gc.collect()
        world.take_errors()

    def readers() -> None:
        left, right = socket.socketpair()
        loop.add_reader(left, int)
        loop.add_writer(left, int)
        right.send(b"x")
        world.turn(2)
        loop.remove_reader(left)
        loop.remove_writer(left)
        left.close()
        right.close()

    def interrupts() -> None:
        async def interrupt() -> None:
            raise KeyboardInterrupt

        task = world.task(interrupt())
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        task.exception()

    def debug_mode() -> None:
        loop.set_debug(True)
        tasks()
        loop.call_soon(int).cancel()
        loop.call_later(0, int)
        world.turn()
        loop.set_debug(False)

    def subclasses() -> None:
        class Sub(world.types.Future):  # type: ignore[name-defined,misc]
            pass

        future = Sub(loop=loop)
        future.note = object()
        future.me = future

    def bad_input() -> None:
        for call in (
            lambda: world.types.Task(5, loop=loop),
            lambda: world.future().set_exception(5),
            lambda: world.future().result(),
            lambda: loop.call_later("x", print),
            lambda: loop.call_soon(),
            lambda: loop.add_reader("x", print),
            lambda: loop.run_until_complete(5),
            lambda: loop.set_task_factory(5),
        ):
            with pytest.raises((TypeError, ValueError, asyncio.InvalidStateError)):
                call()

    def iterators() -> None:
        future = world.future()
        for end in ("close", "throw", "drop"):
            iterator = future.__await__()
            next(iterator)
            future._asyncio_future_blocking = False
            if end == "close":
                iterator.close()
            elif end == "throw":
                with pytest.raises(KeyError):
                    iterator.throw(KeyError())

    def async_generators() -> None:
        async def generator() -> Any:
            yield 1

        async def main() -> None:
            made = generator()
            await made.__anext__()
            del made
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        world.run(main())

    return {name: case for name, case in locals().items() if callable(case)}


NAMES = [
    "futures",
    "tasks",
    "destroyed_while_pending",
    "handles",
    "reported_errors",
    "readers",
    "interrupts",
    "debug_mode",
    "subclasses",
    "bad_input",
    "iterators",
    "async_generators",
]


def cycles_of(name: str) -> int:
    return 100 if name in ("destroyed_while_pending", "reported_errors") else CYCLES


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_no_objects_are_left(world: World, name: str) -> None:
    act = cases(world)[name]
    for _ in range(3):  # the loop opens its own descriptors when it first needs them
        act()
        world.turn()
    descriptors = open_descriptors()
    assert growth(act, objects_by_type, cycles_of(name)) == {}
    assert open_descriptors() <= descriptors


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_references_of_shared_objects_stay(world: World, name: str) -> None:
    """A missing decref of something long-lived shows in no list of objects, but in its count."""
    types = world.types
    shared: dict[str, Any] = {
        "None": None,
        "the loop": world.loop,
        "Future": types.Future,
        "Task": types.Task,
        "Handle": types.Handle,
        "TimerHandle": types.TimerHandle,
        "LookupError": LookupError,
        "int": int,
        "the coroutine function": noop,
    }

    def count() -> Counter[Any]:
        collect()
        return Counter({key: sys.getrefcount(thing) for key, thing in shared.items()})

    assert growth(cases(world)[name], count, cycles_of(name)) == {}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", NAMES)
def test_memory_blocks_do_not_grow(world: World, name: str) -> None:
    """Objects that the collector does not know, and what C code allocates through Python."""

    def count() -> Counter[Any]:
        collect()
        return Counter(blocks=sys.getallocatedblocks())

    assert growth(cases(world)[name], count, cycles_of(name)) == {}


def test_loops_leave_nothing_behind(impl: Implementation) -> None:
    left, right = socket.socketpair()

    def act() -> None:
        loop = impl.new_loop()
        loop.add_reader(left, int)
        loop.add_signal_handler(signal.SIGUSR2, int)
        loop.call_later(100, int)
        loop.call_soon(int)
        task = loop.create_task(asyncio.sleep(0))
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(int,))
        thread.start()
        loop.run_until_complete(task)
        thread.join()
        loop.run_until_complete(loop.run_in_executor(None, int))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.remove_signal_handler(signal.SIGUSR2)
        loop.close()

    for _ in range(5):
        act()
    descriptors = open_descriptors()
    assert growth(act, objects_by_type, 60) == {}
    assert open_descriptors() <= descriptors
    left.close()
    right.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_dropped_loops_leave_nothing_behind(impl: Implementation) -> None:
    def act() -> None:
        loop = impl.new_loop()
        loop.set_exception_handler(lambda *_: None)
        loop.me = loop
        loop.create_task(asyncio.sleep(100))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.call_soon(print, loop)
        loop.call_later(50, print, loop)
        del loop
        gc.collect()

    for _ in range(5):
        act()
    descriptors = open_descriptors()
    assert growth(act, objects_by_type, 60) == {}
    assert open_descriptors() <= descriptors


def test_the_counts_see_one_object_a_cycle() -> None:
    kept: list[Any] = []
    assert growth(lambda: kept.append(set()), objects_by_type, 60) == {"builtins.set": 60}
    assert growth(lambda: kept.append(None), objects_by_type, 60) == {}

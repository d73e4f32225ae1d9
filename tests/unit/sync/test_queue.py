"""Queue, LifoQueue, PriorityQueue: what a native queue must not do otherwise than asyncio's.

Each test holds for the stock types too, unless it says `native`; the schedules are random, and the
stock queue says what must come out.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import tracemalloc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bucle
from tests.support import BEFORE_MENDED, World, collect, outcome
from tests.support import world as make_world

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUES = {
    "stock": (asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue),
    "bucle": (bucle.Queue, bucle.LifoQueue, bucle.PriorityQueue),
}
STOCK_SHUTS_DOWN = hasattr(asyncio, "QueueShutDown")


@pytest.mark.parametrize(
    ("kind", "taken"),
    [("Queue", [3, 1, 2]), ("LifoQueue", [2, 1, 3]), ("PriorityQueue", [1, 2, 3])],
)
def test_items_come_out_in_the_order_of_the_kind(world: World, kind: str, taken: list[int]) -> None:
    queue = getattr(world.api, kind)()
    for item in (3, 1, 2):
        queue.put_nowait(item)
    assert queue.qsize() == 3
    assert not queue.empty()
    assert [queue.get_nowait() for _ in range(3)] == taken
    assert queue.empty()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()


def test_what_can_be_done_at_once_makes_no_future(world: World) -> None:
    async def main() -> Any:
        queue = world.api.Queue(1)
        for _ in range(3):
            await queue.put(1)
            assert await queue.get() == 1
            queue.task_done()
        await queue.join()
        return queue._loop

    assert world.run(main()) is None


def test_the_methods_are_coroutine_functions() -> None:
    for name in ("put", "get", "join"):
        assert inspect.iscoroutinefunction(getattr(bucle.Queue, name))
    queue: Any = bucle.Queue()
    coro = queue.get()
    assert inspect.iscoroutine(coro)
    coro.close()


@pytest.mark.parametrize("maxsize", [2, 2.0, 1.5, True, 0, -1, 2**80, -(2**80), float("inf")])
def test_maxsize_may_be_anything_that_compares(world: World, maxsize: Any) -> None:
    queue = world.api.Queue(maxsize)
    put = 0
    while not queue.full() and put < 5:
        queue.put_nowait(put)
        put += 1
    assert queue.maxsize is maxsize
    assert queue._maxsize is maxsize
    assert put == {2: 2, 1.5: 2, True: 1}.get(maxsize, 5)
    queue._maxsize = 1
    assert queue.full()
    with pytest.raises(asyncio.QueueFull):
        queue.put_nowait(0)


def test_a_maxsize_that_does_not_compare_fails_when_it_is_compared(world: World) -> None:
    queue = world.api.Queue("two")
    with pytest.raises(TypeError, match="'<=' not supported"):
        queue.full()
    with pytest.raises(TypeError, match="'<=' not supported"):
        world.run(queue.put(1))


def test_texts(world: World) -> None:
    async def main() -> list[str]:
        seen = []
        for kind, stock in zip(QUEUES[world.types.name], QUEUES["stock"], strict=True):
            queue, twin = kind(2), stock(2)
            for each in (queue, twin):
                each.put_nowait("one")
                each.put_nowait("two")
            waiting = [asyncio.ensure_future(each.put("three")) for each in (queue, twin)]
            await asyncio.sleep(0)
            seen.append(str(queue))
            assert str(queue) == str(twin)
            assert repr(queue) == repr(twin).replace(hex(id(twin)), hex(id(queue)))
            assert queue._format() == twin._format()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return seen

    assert world.run(main())[0] == ("<Queue maxsize=2 _queue=['one', 'two'] _putters[1] tasks=2>")


def test_a_queue_that_contains_itself_has_a_repr(world: World) -> None:
    queue = world.api.Queue()
    queue.put_nowait([queue])
    assert "[...]" in repr(queue)


def test_task_done_too_often(world: World) -> None:
    queue = world.api.Queue()
    with pytest.raises(ValueError, match=r"^task_done\(\) called too many times$"):
        queue.task_done()


def test_a_failing_comparison_leaves_the_counts_alone(world: World) -> None:
    queue = world.api.PriorityQueue()
    queue.put_nowait(1)
    with pytest.raises(TypeError, match="not supported"):
        queue.put_nowait("one")
    assert queue._unfinished_tasks == 1


def test_the_queue_belongs_to_the_loop_that_waited_first(world: World) -> None:
    queue = world.api.Queue()

    async def wait_a_moment() -> None:
        task = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(wait_a_moment())
    assert queue._loop is world.loop
    with make_world(world.types.name, world.loops.name) as other:
        with pytest.raises(RuntimeError, match=r"<Queue at 0x\w+ maxsize=0> is bound to a diff"):
            other.run(queue.get())
        other.run(queue.put(1))  # does not wait
        assert other.run(queue.get()) == 1


def test_join_belongs_to_a_loop_of_its_own(world: World) -> None:
    queue = world.api.Queue()
    queue.put_nowait(1)

    async def wait_a_moment() -> None:
        task = asyncio.ensure_future(queue.join())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(wait_a_moment())
    assert queue._loop is None
    with make_world(world.types.name, world.loops.name) as other:
        with pytest.raises(RuntimeError, match=r"Event object at .* is bound to a different"):
            other.run(queue.join())


def test_finished_is_an_event_in_step_with_the_queue(world: World) -> None:
    queue = world.api.Queue()

    async def main() -> None:
        queue.put_nowait(1)
        joined = [asyncio.ensure_future(queue.join())]
        await asyncio.sleep(0)
        event = queue._finished  # with one who waits already
        assert isinstance(event, asyncio.Event)
        assert not event.is_set()
        joined.append(asyncio.ensure_future(queue.join()))
        joined.append(asyncio.ensure_future(event.wait()))
        await asyncio.sleep(0)
        queue.task_done()
        assert event.is_set()
        assert await asyncio.gather(*joined) == [None, None, True]
        assert not event._waiters
        queue.put_nowait(2)
        assert not event.is_set()
        assert queue._finished is event

    world.run(main())


def test_a_cancelled_join_leaves_no_waiter(world: World) -> None:
    queue = world.api.Queue()
    queue.put_nowait(1)

    async def main() -> None:
        for look in (False, True):
            task = asyncio.ensure_future(queue.join())
            await asyncio.sleep(0)
            if look:
                assert len(queue._finished._waiters) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not queue._finished._waiters

    world.run(main())


def test_closing_a_waiting_coroutine_leaves_the_line(world: World) -> None:
    async def main() -> None:
        queue = world.api.Queue()
        coro = queue.get()
        coro.send(None)
        assert len(queue._getters) == 1
        coro.close()
        assert not queue._getters

    world.run(main())


def test_an_error_that_is_thrown_in_comes_out(world: World) -> None:
    async def main() -> None:
        queue = world.api.Queue(1)
        await queue.put(1)
        coro = queue.put(2)
        coro.send(None)
        with pytest.raises(KeyError, match="thrown"):
            coro.throw(KeyError("thrown"))
        assert not queue._putters
        assert queue.qsize() == 1

    world.run(main())


def test_a_woken_getter_that_is_cancelled_wakes_the_next(world: World) -> None:
    async def main() -> None:
        queue = world.api.Queue()
        first, second = (asyncio.ensure_future(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        queue.put_nowait("item")
        first.cancel()
        assert await second == "item"
        assert first.cancelled()

    world.run(main())


def test_generic_alias_and_names() -> None:
    for ours, stock in zip(QUEUES["bucle"], QUEUES["stock"], strict=True):
        alias: Any = ours[int]
        assert alias.__origin__ is ours
        assert ours.__name__ == stock.__name__
        assert ours.__module__ == "bucle"
        assert issubclass(ours, stock)
        assert isinstance(stock(), ours)
        assert isinstance(ours(), bucle.Queue)
        if not BEFORE_MENDED:  # see tests/unit/package/test_names.py
            assert inspect.signature(ours) == inspect.signature(stock)
    assert not issubclass(bucle.Queue, asyncio.LifoQueue)


@pytest.mark.parametrize("kind", [0, 1, 2])
@pytest.mark.parametrize(
    "make",
    [copy.copy, copy.deepcopy, lambda queue: pickle.loads(pickle.dumps(queue))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_an_idle_queue_can_be_copied(kind: int, make: Callable[[Any], Any]) -> None:
    for family in QUEUES.values():
        queue = family[kind](3)
        queue.put_nowait("item")
        made = make(queue)
        assert type(made) is type(queue)
        assert str(made) == str(queue)
        assert not made._finished.is_set()
        assert made.get_nowait() == "item"
        made.task_done()
        assert made._finished.is_set()
        # only a shallow copy shares what is behind the attributes
        assert queue.qsize() == (0 if make is copy.copy else 1)


def test_a_copy_keeps_the_attributes_that_a_program_set(world: World) -> None:
    queue = world.api.Queue()
    queue.label = "mine"
    assert copy.copy(queue).label == "mine"


def test_a_queue_in_use_is_not_pickled(world: World) -> None:
    queue = world.api.Queue()

    async def main() -> None:
        task = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(queue)
        queue.put_nowait(1)
        await task

    world.run(main())


def test_a_cycle_through_a_queue_is_collected(world: World) -> None:
    queue = world.api.Queue()
    queue.put_nowait(queue)
    queue.me = queue
    gone = weakref.ref(queue)
    del queue
    collect()
    assert gone() is None


def test_a_forgotten_getter_is_collected(world: World) -> None:
    async def main() -> weakref.ref[Any]:
        queue = world.api.Queue()
        coro = queue.get()
        coro.send(None)
        return weakref.ref(queue)

    gone = world.run(main())
    collect()
    assert gone() is None


class Counted:
    alive = 0

    def __init__(self) -> None:
        Counted.alive += 1

    def __del__(self) -> None:
        Counted.alive -= 1


@pytest.mark.parametrize("kind", [0, 1])
def test_items_are_let_go(kind: int) -> None:
    queue: Any = QUEUES["bucle"][kind]()
    for _ in range(10):
        queue.put_nowait(Counted())
    for left in range(10, 5, -1):
        assert Counted.alive == left
        queue.get_nowait()
    queue.__init__()
    assert Counted.alive == 0
    queue.put_nowait(Counted())
    del queue
    collect()
    assert Counted.alive == 0


def test_a_dying_item_may_use_the_queue(world: World) -> None:
    queue = world.api.Queue()

    class Last:
        def __del__(self) -> None:
            queue.put_nowait("from the grave")

    queue.put_nowait(Last())
    queue._queue.clear()
    assert queue.get_nowait() == "from the grave"
    queue.put_nowait(Last())
    queue.__init__()
    assert queue.qsize() <= 1


@pytest.mark.parametrize("stock_task", [False, True])
def test_no_growth(stock_task: bool) -> None:
    async def work(count: int) -> None:
        queue: Any = bucle.Queue(3)
        make = asyncio.Task if stock_task else bucle.Task

        async def take() -> None:
            for _ in range(count):
                await queue.get()
                queue.task_done()

        task = make(take())
        for i in range(count):
            await queue.put(i)
            if i % 10 == 0:
                await queue.join()
        await queue.join()
        await task

    with make_world("bucle", "bucle") as world:
        world.run(work(1000))
        gc.collect()
        tracemalloc.start()
        world.run(work(1000))
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        world.run(work(20_000))
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    assert grown < 50_000  # a pointer an operation would be more


def test_an_empty_queue_is_small() -> None:
    sizes = []
    for kind in (asyncio.Queue, bucle.Queue):
        kept: list[Any] = [kind()]
        tracemalloc.start()
        kept += [kind() for _ in range(100)]
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert sizes[1] < sizes[0] / 4


@pytest.mark.parametrize("immediate", [False, True])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_shutdown_on_every_version(kind: int, immediate: bool) -> None:
    families = QUEUES.items() if STOCK_SHUTS_DOWN else [("bucle", QUEUES["bucle"])]

    async def main(queue: Any) -> list[str]:
        seen = []

        async def note(name: str, coro: Any) -> None:
            try:
                seen.append(f"{name} {await coro}")
            except bucle.QueueShutDown as error:
                seen.append(f"{name} {error.args}")

        tasks = [asyncio.ensure_future(note(f"get {i}", queue.get())) for i in range(2)]
        await asyncio.sleep(0)
        queue.put_nowait(0)
        queue.put_nowait(1)
        queue.put_nowait(2)
        tasks.append(asyncio.ensure_future(note("put", queue.put(3))))
        tasks.append(asyncio.ensure_future(note("join", queue.join())))
        tasks.append(asyncio.ensure_future(note("put late", queue.put(4))))
        await asyncio.sleep(0)
        queue.shutdown(immediate)
        seen.append(str(queue))
        for _ in range(4):
            await asyncio.sleep(0)
        for call in (queue.get_nowait, lambda: queue.put_nowait(5)):
            seen.append(str(outcome(call)))
        while queue._unfinished_tasks:
            queue.task_done()
        await asyncio.gather(*tasks)
        return seen

    logs = []
    for name, family in families:
        with make_world(name, "bucle") as world:
            logs.append(world.run(main(family[kind](3))))
    assert logs[0] == logs[-1]
    assert sum("QueueShutDown" in line for line in logs[-1]) >= 1


def test_shutdown_takes_its_keyword() -> None:
    queue: Any = bucle.Queue()
    queue.put_nowait(1)
    queue.shutdown(immediate=True)
    assert queue.empty()
    assert queue._unfinished_tasks == 0
    assert str(queue).endswith(" shutdown>")
    with pytest.raises(TypeError, match=r"shutdown\(\) got an unexpected keyword"):
        queue.shutdown(at_once=True)
    assert list(inspect.signature(bucle.Queue.shutdown).parameters) == ["self", "immediate"]
    if STOCK_SHUTS_DOWN:
        assert bucle.QueueShutDown is asyncio.QueueShutDown
    else:
        assert issubclass(bucle.QueueShutDown, Exception)
        assert not hasattr(queue, "_is_shutdown")


COMMON = ["put", "get", "turn"]
RARE = ["join", "put_nowait", "get_nowait", "task_done", "cancel", "cancel last", "look"]
FATAL = ["shutdown", "shutdown now"]
OPERATIONS = st.lists(st.sampled_from([*COMMON, *COMMON, *RARE, *FATAL]), max_size=40)


class Player:
    """Does what a schedule says and writes down all that can be seen."""

    def __init__(self, world: World, queue: Any) -> None:
        self.world, self.queue = world, queue
        self.log: list[Any] = []
        self.tasks: list[Any] = []

    async def note(self, name: str, call: Any, *arguments: Any) -> None:
        try:
            self.log.append((name, await call(*arguments)))
        except BaseException as error:
            self.log.append((name, type(error).__name__, str(error)))
            raise

    def play(self, operations: list[str]) -> list[Any]:
        for step, operation in enumerate(operations):
            if operation in ("put", "get", "join"):
                call = getattr(self.queue, operation), *([step] if operation == "put" else [])
                self.tasks.append(self.world.task(self.note(f"{operation} {step}", *call)))
            elif operation in ("put_nowait", "get_nowait", "task_done"):
                arguments = [step] if operation == "put_nowait" else []
                self.log.append(outcome(getattr(self.queue, operation), *arguments))
            elif operation.startswith("cancel"):
                for task in [task for task in self.tasks if not task.done()][
                    -1 if operation == "cancel last" else 0 :
                ][:1]:
                    task.cancel()
            elif operation.startswith("shutdown"):
                if STOCK_SHUTS_DOWN:
                    self.queue.shutdown(operation == "shutdown now")
            elif operation == "look":
                for name in ("_getters", "_putters", "_queue", "_finished"):
                    assert getattr(self.queue, name) is getattr(self.queue, name)
            else:
                self.world.turn()
                self.log.append(str(self.queue))
        self.world.turn(5)
        self.log.append((str(self.queue), [task.done() for task in self.tasks]))
        for task in self.tasks:
            task.cancel()
        self.world.turn(5)
        for task in self.tasks:
            if not task.cancelled():
                task.exception()
        self.log.append((str(self.queue), len(self.queue._getters), len(self.queue._putters)))
        return self.log


@given(OPERATIONS, st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 2]), st.booleans())
def test_any_schedule_ends_as_on_the_stock_queue(
    operations: list[str], maxsize: int, kind: int, derived: bool
) -> None:
    logs = []
    for name, family in QUEUES.items():
        made: Any = family[kind]
        if derived:
            made = type(made.__name__, (made,), {})
        with make_world(name, "bucle") as world:
            logs.append(Player(world, made(maxsize)).play(operations))
    assert logs[0] == logs[1]

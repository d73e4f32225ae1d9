"""What subclasses of asyncio's queue do in the wild: hooks replaced, private attributes used.

Each test holds for the stock queue too.
"""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, Any

import pytest

import bucle

if TYPE_CHECKING:
    from tests.support import World


HOOKS = ["full", "empty", "qsize", "put_nowait", "get_nowait", "_put", "_get", "_wakeup_next"]


async def use_all(queue: Any) -> None:
    """Puts and gets, with and without waiting, on either side."""
    put = asyncio.ensure_future(queue.put(1))
    await asyncio.sleep(0)
    full = asyncio.ensure_future(queue.put(2))
    await asyncio.sleep(0)
    assert await queue.get() == 1
    assert await queue.get() == 2
    await asyncio.gather(put, full)
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    await queue.put(3)
    assert await waiting == 3


def calls_of(kind: Any, where: str) -> list[str]:
    """The hooks in the order in which a queue of this kind calls them."""
    calls: list[str] = []

    def replacement(name: str) -> Any:
        def hook(self: Any, *args: Any) -> Any:
            calls.append(name)
            return getattr(kind, name)(self, *args)

        return hook

    derived = type("Derived", (kind,), {})
    queue: Any
    if where == "class":
        derived = type("Derived", (kind,), {name: replacement(name) for name in HOOKS})
        queue = derived(1)
    elif where == "class, later":
        queue = derived(1)
        asyncio.run(use_all(queue))
        queue._loop = None
        for name in HOOKS:
            setattr(derived, name, replacement(name))
    else:
        queue = derived(1)
        for name in HOOKS:
            setattr(queue, name, replacement(name).__get__(queue))
    asyncio.run(use_all(queue))
    return calls


@pytest.mark.parametrize("where", ["class", "class, later", "instance"])
def test_every_hook_is_called_as_asyncio_calls_it(where: str) -> None:
    expected = calls_of(asyncio.Queue, where)
    assert set(expected) == set(HOOKS)
    assert calls_of(bucle.Queue, where) == expected


@pytest.mark.parametrize("name", HOOKS)
def test_one_hook_alone_is_called(world: World, name: str) -> None:
    kind, calls = world.api.Queue, []

    def hook(self: Any, *args: Any) -> Any:
        calls.append(name)
        return getattr(kind, name)(self, *args)

    world.run(use_all(type("Derived", (kind,), {name: hook})(1)))
    assert calls


def test_a_hook_that_is_taken_back_is_no_longer_called(world: World) -> None:
    calls = []
    queue = type("Derived", (world.api.Queue,), {})()
    queue._put = calls.append
    queue.put_nowait(1)
    del queue._put
    queue.put_nowait(2)
    assert calls == [1]
    assert queue.get_nowait() == 2


def test_a_hook_may_come_to_a_class_in_between(world: World) -> None:
    between: Any = type("Between", (world.api.Queue,), {})
    queue = type("Derived", (between,), {})()
    queue.put_nowait(1)
    between.empty = lambda self: True
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    del between.empty
    assert queue.get_nowait() == 1


def test_attributes_by_rules_of_their_own(world: World) -> None:
    asked = set()

    class Watching(world.api.Queue):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            asked.add(name)
            return super().__getattribute__(name)

    world.run(use_all(Watching(1)))
    assert set(HOOKS) <= asked


def test_a_set_for_the_items(world: World) -> None:
    class Distinct(world.api.Queue):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self._queue = set()

        def _put(self, item: Any) -> None:
            self._queue.add(item)

        def _get(self) -> Any:
            return self._queue.pop()

    queue = Distinct(2)
    queue.put_nowait(1)
    queue.put_nowait(1)
    assert queue.qsize() == 1
    assert str(queue) == "<Distinct maxsize=2 _queue=[1] tasks=2>"
    assert queue.get_nowait() == 1
    assert queue.empty()


def test_an_ordered_dict_for_the_items(world: World) -> None:
    class Latest(world.api.Queue):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self._queue = collections.OrderedDict()

        def _put(self, item: tuple[str, int]) -> None:
            self._queue[item[0]] = item[1]

        def _get(self) -> Any:
            return self._queue.popitem(last=False)

    async def main() -> Any:
        queue = Latest()
        getter = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        for value in range(3):
            await queue.put(("key", value))
        assert queue.qsize() == 1
        return await getter

    assert world.run(main()) == ("key", 2)


def test_items_under_another_name(world: World) -> None:
    class Renamed(world.api.Queue):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self.heap: list[Any] = []

        def _put(self, item: Any) -> None:
            self.heap.append(item)

        def _get(self) -> Any:
            return self.heap.pop()

        def qsize(self) -> int:
            return len(self.heap)

        def empty(self) -> bool:
            return not self.heap

    queue = Renamed(1)
    queue.put_nowait(1)
    assert queue.full()
    assert str(queue) == "<Renamed maxsize=1 tasks=1>"
    with pytest.raises(AttributeError, match="object has no attribute '_queue'"):
        world.api.Queue.qsize(queue)
    with pytest.raises(AttributeError, match="object has no attribute '_queue'"):
        queue._queue  # noqa: B018 (it raises)
    assert queue.get_nowait() == 1


def test_a_deque_with_manners_of_its_own(world: World) -> None:
    class Loud(collections.deque[Any]):
        taken = 0

        def popleft(self) -> Any:
            Loud.taken += 1
            return super().popleft()

    class Queue(world.api.Queue):  # type: ignore[misc]
        def _init(self, maxsize: int) -> None:
            self._queue = Loud()

    queue = Queue()
    queue.put_nowait(1)
    queue._queue.appendleft(0)
    assert [queue.get_nowait(), queue.get_nowait()] == [0, 1]
    assert Loud.taken == 2


def test_an_exception_in_put_counts_nothing(world: World) -> None:
    class Picky(world.api.Queue):  # type: ignore[misc]
        def _put(self, item: Any) -> None:
            if item is None:
                raise LookupError("nothing")
            super()._put(item)

    async def main() -> None:
        queue = Picky()
        getter = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        with pytest.raises(LookupError, match="nothing"):
            await queue.put(None)
        await asyncio.sleep(0)
        assert queue._unfinished_tasks == 0
        assert queue._finished.is_set()
        assert not getter.done()
        await queue.put(1)
        assert await getter == 1

    world.run(main())


def test_an_exception_in_full_during_cancellation_has_a_context(world: World) -> None:
    class Broken(world.api.Queue):  # type: ignore[misc]
        broken = False

        def full(self) -> bool:
            if self.broken:
                raise LookupError("broken")
            return bool(super().full())

    async def main() -> None:
        queue = Broken(1)
        await queue.put(1)
        task = asyncio.ensure_future(queue.put(2))
        await asyncio.sleep(0)
        queue.broken = True
        task.cancel()
        with pytest.raises(LookupError) as caught:
            await task
        assert isinstance(caught.value.__context__, asyncio.CancelledError)

    world.run(main())


def test_a_waiter_of_the_program_s_own(world: World) -> None:
    async def main() -> None:
        queue = world.api.Queue()
        mine = asyncio.get_running_loop().create_future()
        queue._getters.append(mine)
        getter = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        assert queue._getters[0] is mine
        queue.put_nowait(1)
        assert mine.done()
        await asyncio.sleep(0)
        assert not getter.done()
        queue.put_nowait(2)
        assert await getter == 1

    world.run(main())


class NoMore(Exception):
    pass


@pytest.mark.parametrize("immediate", [False, True])
def test_a_shutdown_that_pops_the_waiters_itself(world: World, immediate: bool) -> None:
    """As programs had to write it before asyncio had one."""

    class Closing(world.api.Queue):  # type: ignore[misc]
        _is_shutdown = False
        closed = False

        async def get(self) -> Any:
            while self.empty():
                if self.closed:
                    raise NoMore
                getter = self._get_loop().create_future()
                self._getters.append(getter)
                try:
                    await getter
                except BaseException:
                    getter.cancel()
                    if getter in self._getters:
                        self._getters.remove(getter)
                    if not self.empty() and not getter.cancelled():
                        self._wakeup_next(self._getters)
                    raise
            return self.get_nowait()

        def shutdown(self, immediate: bool = False) -> None:
            self.closed = True
            while immediate and not self.empty():
                self._get()
                self._unfinished_tasks -= 1
            if self._unfinished_tasks == 0:
                self._finished.set()
            while self._getters:
                getter = self._getters.popleft()
                if not getter.done():
                    getter.set_result(None)

    async def main() -> None:
        queue = Closing()
        getters = [asyncio.ensure_future(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        queue.put_nowait(1)
        await asyncio.sleep(0)
        queue.put_nowait(2)
        joined = asyncio.ensure_future(queue.join())
        queue.shutdown(immediate)
        found = await asyncio.gather(*getters, return_exceptions=True)
        results = [one for one in found if not isinstance(one, NoMore)]
        assert results == ([1] if immediate else [1, 2])
        while queue._unfinished_tasks:
            queue.task_done()
        await joined

    world.run(main())


def test_unfinished_tasks_can_be_set(world: World) -> None:
    class Batch(world.api.Queue):  # type: ignore[misc]
        def all_done(self) -> None:
            self._unfinished_tasks = 1
            self.task_done()

    async def main() -> None:
        queue = Batch()
        for item in range(5):
            queue.put_nowait(item)
        joined = asyncio.ensure_future(queue.join())
        await asyncio.sleep(0)
        queue.all_done()
        await joined
        assert queue.qsize() == 5

    world.run(main())


def test_an_event_of_the_program_s_own(world: World) -> None:
    async def main() -> None:
        queue = world.api.Queue()
        event = queue._finished = asyncio.Event()
        queue.put_nowait(1)
        joined = asyncio.ensure_future(queue.join())
        await asyncio.sleep(0)
        assert not joined.done()
        event.set()
        await joined
        assert queue._finished is event

    world.run(main())


def test_a_put_with_more_arguments(world: World) -> None:
    class Ranked(world.api.Queue):  # type: ignore[misc]
        async def put(self, item: Any, rank: int = 0) -> None:
            await super().put((rank, item))

        def put_nowait(self, item: Any, *, note: str = "") -> None:
            super().put_nowait((*item, note))

    async def main() -> Any:
        queue = Ranked()
        await queue.put("item", rank=3)
        return await queue.get()

    assert world.run(main()) == (3, "item", "")


def test_a_subclass_that_forgets_its_base(world: World) -> None:
    class Forgetful(world.api.Queue):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    queue = Forgetful()
    for call in (queue.qsize, queue.empty, queue.get_nowait, lambda: queue.put_nowait(1)):
        with pytest.raises(AttributeError):
            call()


def test_several_bases(world: World) -> None:
    stock = asyncio.PriorityQueue, asyncio.LifoQueue
    native = bucle.PriorityQueue, bucle.LifoQueue
    for kind in native if world.types.native else stock:

        class Mixin:
            def peek(self) -> Any:
                return self._queue[0]  # type: ignore[attr-defined]

        derived: Any = type("Derived", (Mixin, kind), {})
        queue = derived()
        for item in (3, 1, 2):
            queue.put_nowait(item)
        assert queue.peek() == (1 if kind.__name__ == "PriorityQueue" else 3)
        assert queue.get_nowait() == (1 if kind.__name__ == "PriorityQueue" else 2)

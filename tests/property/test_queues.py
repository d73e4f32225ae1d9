"""Random programs about the three queues, and about subclasses that keep their items elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.property.programs import Run, by_name, check, plain, weights

pytestmark = [
    pytest.mark.property,
    pytest.mark.timeout(3000),
    # what a cancelled task never came to await
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


class Queue(Run):
    own = weights(
        put=8, get=8, put_at_once=3, get_at_once=3, done=3, join=2, work=3, by_hand=1
    ) | weights(shut_down=int(hasattr(asyncio.Queue, "shutdown")))
    calls = ("put_nowait", "get_nowait", "task_done", "text")
    name = "Queue"

    def begin(self, setup: int) -> None:
        self.number = 0
        self.thing = self.make((0, 1, 2, -1)[setup // 4 % 4])

    def make(self, maxsize: int) -> Any:
        return getattr(self.api, self.name)(maxsize)

    def state(self) -> Any:
        thing = self.thing
        return (
            plain(repr(thing)),
            str(thing),
            thing.qsize(),
            thing.maxsize,
            thing.empty(),
            thing.full(),
            thing._unfinished_tasks,
            self.look("_getters"),
            self.look("_putters"),
            thing._finished.is_set() if self.looks else None,
        )

    def item(self, number: int) -> Any:
        self.number += 1
        return self.number

    def put_nowait(self, number: int) -> Any:
        return self.thing.put_nowait(self.item(number))

    def get_nowait(self, number: int) -> Any:
        return self.thing.get_nowait()

    def task_done(self, number: int) -> Any:
        return self.thing.task_done()

    def text(self, number: int) -> Any:
        return self.state()

    async def put(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.put(self.item(number))

    async def get(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.get()

    async def put_at_once(self, label: str, number: int, inside: Any) -> Any:
        return self.put_nowait(number)

    async def get_at_once(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.get_nowait()

    async def done(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.task_done()

    async def join(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.join()

    async def shut_down(self, label: str, number: int, inside: Any) -> Any:
        return self.thing.shutdown(*((), (True,), (False,))[number % 3])

    async def work(self, label: str, number: int, inside: Any) -> Any:
        item = await self.thing.get()
        await self.api.sleep(0)
        return (item, self.thing.task_done())

    async def by_hand(self, label: str, number: int, inside: Any) -> Any:
        awaitable = (
            self.thing.get(),
            self.thing.put(self.item(number)),
            self.thing.join(),
        )
        for unused in awaitable[: number % 3] + awaitable[number % 3 + 1 :]:
            unused.close()
        return (self.drive(awaitable[number % 3], number // 3), self.state())


class LifoQueue(Queue):
    name = "LifoQueue"


class PriorityQueue(Queue):
    name = "PriorityQueue"

    def item(self, number: int) -> Any:
        self.number += 1
        if number % 16 == 15:
            return "compares with no number"
        return (number * 7 % 5, self.number)


class SubclassedQueue(Queue):
    """The methods that asyncio lets subclasses override, and one that leans on qsize alone."""

    def make(self, maxsize: int) -> Any:
        run = self

        class Mine(self.api.Queue):  # type: ignore[misc,name-defined]
            def _init(self, maxsize: int) -> None:
                run.note("init", maxsize)
                self.mine: list[Any] = []
                self._queue = self.mine

            def _put(self, item: Any) -> None:
                run.note("put", item)
                self.mine.insert(len(self.mine) // 2, item)

            def _get(self) -> Any:
                item = self.mine.pop(len(self.mine) // 2)
                run.note("got", item)
                return item

            def qsize(self) -> int:
                return len(self.mine)

        return Mine(maxsize)


@pytest.mark.parametrize(**by_name([Queue, LifoQueue, PriorityQueue, SubclassedQueue]))
def test_random_programs_have_the_same_history(
    kind: type[Run], request: pytest.FixtureRequest
) -> None:
    check(kind, request.config.getoption("--impl"))

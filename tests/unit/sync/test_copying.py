"""Copies, pickles and vars() of primitives are those of asyncio's, failures included."""

from __future__ import annotations

import asyncio
import copy
import pickle
import re
from typing import Any

import pytest

from tests.support import library

NAMES = (
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "Semaphore",
)
ARGUMENTS: dict[str, tuple[int, ...]] = {
    "Barrier": (2,),
    "BoundedSemaphore": (2,),
    "Semaphore": (3,),
}
WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle-{protocol}": lambda value, protocol=protocol: pickle.loads(
            pickle.dumps(value, protocol)
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


def make(kind: str, name: str) -> Any:
    return getattr(library(kind), name)(*ARGUMENTS.get(name, ()))


def plain(value: Any) -> str:
    return re.sub(r"0x[0-9a-f]+|\b(bucle|asyncio\.(locks|queues)|_asyncio)\.", "", repr(value))


def what_became(way: Any, value: Any) -> Any:
    try:
        made = way(value)
    except Exception as error:
        return type(error).__name__, plain(error)
    assert type(made) is type(value)
    return plain(made), [(name, plain(part)) for name, part in sorted(vars(made).items())]


def idle(value: Any, way: Any) -> Any:
    return what_became(way, value)


def waited_for(value: Any, way: Any) -> Any:
    async def main() -> Any:
        wait = next(
            getattr(value, name) for name in ("acquire", "wait", "get") if hasattr(value, name)
        )
        tasks = [asyncio.ensure_future(wait()) for _ in range(4)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            return what_became(way, value)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    loop = asyncio.SelectorEventLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


@pytest.mark.parametrize("situation", [idle, waited_for])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_what_asyncio_s_would_be(name: str, way: str, situation: Any) -> None:
    stock, ours = (situation(make(kind, name), WAYS[way]) for kind in ("stock", "bucle"))
    assert ours == stock


@pytest.mark.parametrize("name", NAMES)
def test_vars_are_asyncio_s(name: str) -> None:
    stock, ours = (make(kind, name) for kind in ("stock", "bucle"))
    ours.mine = stock.mine = 1
    assert sorted((key, plain(value)) for key, value in vars(ours).items()) == sorted(
        (key, plain(value)) for key, value in vars(stock).items()
    )
    vars(ours)["other"] = 2
    assert ours.other == 2


def test_a_subclass_keeps_its_attributes_and_slots() -> None:
    class Own(library("bucle").Semaphore):  # type: ignore[misc]
        __slots__ = ("slot",)

    value = Own(3)
    value.slot, value.mine = 1, 2
    made = copy.copy(value)
    assert (made.slot, made.mine, made._value) == (1, 2, 3)


def test_a_replaced_dict_is_taken_over() -> None:
    lock = library("bucle").Lock()
    lock.__dict__ = {"_locked": True, "mine": 1}
    assert lock.locked()
    assert lock.mine == 1
    with pytest.raises(TypeError):
        lock.__dict__ = 5

"""isinstance and issubclass in both directions, and subclasses mixed with ABCs and Protocols.

Libraries decide by isinstance(x, asyncio.Future): native objects must pass everywhere, and after
install() stock objects must pass against the native names too.
"""

from __future__ import annotations

import abc
import asyncio
import typing
from typing import Any

import pytest

from tests.support import STOCK, World, check_script, implementation


def test_native_objects_are_asyncios(world: World) -> None:
    async def main() -> None:
        assert isinstance(world.future(), asyncio.Future)
        task = world.task(asyncio.sleep(0))
        assert isinstance(task, asyncio.Task)
        assert isinstance(task, asyncio.Future)
        await task

    world.run(main())
    assert issubclass(world.types.Task, asyncio.Task)
    assert issubclass(world.types.Task, asyncio.Future)
    assert issubclass(world.types.Future, asyncio.Future)
    assert not issubclass(world.types.Future, asyncio.Task)
    assert not isinstance(world.future(), asyncio.Task)


def test_stock_objects_pass_against_the_types_of_the_world(world: World) -> None:
    stock_future = STOCK.Future(loop=world.loop)
    stock_task = STOCK.Task(asyncio.sleep(0), loop=world.loop)
    assert isinstance(stock_future, world.types.Future)
    assert isinstance(stock_task, world.types.Future)
    assert isinstance(stock_task, world.types.Task)
    assert not isinstance(stock_future, world.types.Task)
    assert issubclass(STOCK.Future, world.types.Future)
    assert issubclass(STOCK.Task, world.types.Task)
    assert issubclass(STOCK.Task, world.types.Future)
    assert issubclass(world.types.Task, world.types.Future)
    assert not issubclass(int, world.types.Future)
    assert not isinstance(5, world.types.Task)
    world.loop.run_until_complete(stock_task)


def test_subclasses_do_not_accept_their_siblings(world: World) -> None:
    class Mine(world.types.Future):  # type: ignore[name-defined,misc]
        pass

    assert isinstance(Mine(loop=world.loop), asyncio.Future)
    assert not isinstance(world.future(), Mine)
    assert not isinstance(STOCK.Future(loop=world.loop), Mine)
    assert not issubclass(world.types.Future, Mine)


class SomeABC(abc.ABC):
    @abc.abstractmethod
    def required(self) -> int: ...


class SomeProtocol(typing.Protocol):
    def required(self) -> int: ...


T = typing.TypeVar("T")


@pytest.mark.parametrize("kind", ["Future", "Task"])
def test_mixed_with_an_abc(world: World, kind: str) -> None:
    base: Any = getattr(world.types, kind)

    class Concrete(base, SomeABC):
        def required(self) -> int:
            return 1

    made = (
        Concrete(loop=world.loop)
        if kind == "Future"
        else Concrete(asyncio.sleep(0), loop=world.loop)
    )
    assert made.required() == 1
    assert isinstance(made, SomeABC)
    assert isinstance(made, asyncio.Future)
    if kind == "Task":
        world.loop.run_until_complete(made)


def test_mixed_with_a_protocol_and_generic(world: World) -> None:
    base: Any = world.types.Future

    class WithProtocol(base, SomeProtocol):
        def required(self) -> int:
            return 2

    class WithGeneric(base, typing.Generic[T]):
        pass

    assert WithProtocol(loop=world.loop).required() == 2
    assert WithGeneric[int](loop=world.loop).done() is False


def test_registered_virtual_subclasses_of_an_abc(world: World) -> None:
    SomeABC.register(world.types.Future)
    assert isinstance(world.future(), SomeABC)


def test_pickling_and_copying_are_refused_as_in_stock(world: World) -> None:
    import copy

    with pytest.raises(TypeError):
        copy.copy(world.future())
    with pytest.raises(TypeError):
        copy.copy(STOCK.Future(loop=world.loop))


def test_singledispatch_and_match_see_the_stock_classes(world: World) -> None:
    import functools

    @functools.singledispatch
    def kind(thing: object) -> str:
        return "object"

    kind.register(asyncio.Future, lambda thing: "future")
    kind.register(asyncio.Task, lambda thing: "task")
    task = world.task(asyncio.sleep(0))
    assert (kind(world.future()), kind(task), kind(1)) == ("future", "task", "object")
    match task:
        case asyncio.Task():
            pass
        case _:
            raise AssertionError("match did not see a task")
    world.loop.run_until_complete(task)


INSTALLED = """
    import abc, asyncio, typing
    StockFuture, StockTask = asyncio.Future, asyncio.Task

    class BeforeFuture(StockFuture):
        pass

    class BeforeTask(StockTask):
        pass

    import bucle
    bucle.install()
    assert asyncio.Future is bucle.Future is asyncio.futures.Future
    assert asyncio.Task is bucle.Task is asyncio.tasks.Task

    class AfterFuture(asyncio.Future, abc.ABC):
        pass

    class AfterTask(asyncio.Task):
        pass

    class Shape(typing.Protocol):
        pass

    class AfterProtocol(asyncio.Future, Shape):
        pass

    async def main():
        loop = asyncio.get_running_loop()
        futures = [cls() for cls in (StockFuture, BeforeFuture, asyncio.Future, AfterFuture)]
        for future in futures:
            assert isinstance(future, asyncio.Future) and isinstance(future, StockFuture)
            assert not isinstance(future, asyncio.Task)
            loop.call_soon(future.set_result, 1)
            assert await future == 1
        tasks = [cls(asyncio.sleep(0, 2)) for cls in
                 (StockTask, BeforeTask, asyncio.Task, AfterTask)]
        for task in tasks:
            assert isinstance(task, asyncio.Task) and isinstance(task, StockTask)
            assert isinstance(task, asyncio.Future) and isinstance(task, StockFuture)
            assert await task == 2
        for cls in (BeforeTask, AfterTask, StockTask):
            assert issubclass(cls, asyncio.Task) and issubclass(cls, asyncio.Future)
        assert not isinstance(futures[0], BeforeFuture)
        assert not isinstance(futures[2], AfterFuture)
        assert not isinstance(futures[1], AfterFuture)

    asyncio.run(main())
    bucle.uninstall()
    assert asyncio.Future is StockFuture is asyncio.futures.Future
    assert asyncio.Task is StockTask is asyncio.tasks.Task
    asyncio.run(asyncio.sleep(0))
    print("ok")
"""


def test_subclasses_made_before_and_after_install() -> None:
    implementation("bucle")
    assert check_script(INSTALLED) == "ok\n"

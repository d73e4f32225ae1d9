"""ensure_future, create_task, current_task and those that are asyncio's own, on any loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

import pytest

from tests.support import STOCK, World, outcome


async def give(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def test_ensure_future(world: World) -> None:
    names = world.api
    other = world.loops.new_loop()

    class Awaitable:
        """Has nothing but __await__."""

        def __await__(self) -> Any:
            yield
            return "awaited"

    async def main() -> None:
        future, stock = world.future(), STOCK.Future(loop=world.loop)
        for each in (future, stock):
            assert names.ensure_future(each) is each
            assert names.ensure_future(each, loop=world.loop) is each
            with pytest.raises(ValueError, match="The future belongs to a different loop than"):
                names.ensure_future(each, loop=other)
        task = names.ensure_future(give(1))
        assert isinstance(task, asyncio.Task)
        assert task.get_loop() is world.loop
        assert await task == 1
        assert await names.ensure_future(Awaitable()) == "awaited"
        for bad in (3, None, give):
            with pytest.raises(TypeError, match=r"An asyncio\.Future, a coroutine or an awaitable"):
                names.ensure_future(bad)

    world.run(main())
    assert type(names.ensure_future(give(1), loop=world.loop)) is type(
        world.loop.create_task(give(2))
    )
    world.turn(3)
    other.close()


def test_ensure_future_closes_what_gets_no_task(world: World) -> None:
    closed = world.loops.new_loop()
    closed.close()
    coro = give(1)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        world.api.ensure_future(coro, loop=closed)
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coro.send(None)


def test_create_task(world: World) -> None:
    import contextvars

    names = world.api
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    context = contextvars.copy_context()
    context.run(variable.set, 5)

    async def look() -> Any:
        return variable.get(None)

    async def main() -> None:
        task = names.create_task(look(), name="named", context=context)
        assert (task.get_name(), await task) == ("named", 5)
        task = names.create_task(coro=look(), name=None, context=None)
        assert await task is None
        assert await names.create_task(look()) is None
        number = names.create_task(look(), name=7)
        assert number.get_name() == "7"
        await number

    world.run(main())


def test_create_task_refuses_as_stock(world: World) -> None:
    names = world.api

    async def main() -> None:
        stock: Any = asyncio.create_task
        coro = give(1)
        for args, kwargs in (
            ((), {}),
            ((coro, coro), {}),
            ((coro,), {"other": 1}),
            ((coro,), {"coro": coro}),
            ((3,), {}),
        ):
            expected = outcome(stock, *args, **kwargs)
            found = outcome(names.create_task, *args, **kwargs)
            # Which callable complains of a keyword that it does not know is the loop's matter.
            assert found[:2] == expected[:2]
            assert found == expected or "other" in kwargs
        coro.close()

    world.run(main())
    coro = give(1)
    with pytest.raises(RuntimeError, match="no running event loop"):
        names.create_task(coro)
    coro.close()


def test_create_task_by_an_overridden_loop(world: World) -> None:
    names = world.api
    calls = []

    async def main() -> None:
        original = world.loop.create_task

        def create(coro: Any, **kwargs: Any) -> Any:
            calls.append(kwargs)
            return original(coro, **kwargs)

        world.loop.create_task = create
        await names.create_task(give(1))
        await names.gather(give(2), give(3))
        await names.shield(give(4))
        del world.loop.create_task

    world.run(main())
    assert len(calls) == 4


def test_current_and_all_tasks(world: World) -> None:
    names = world.api

    async def main() -> Any:
        task = names.create_task(give(1))
        assert {task, names.current_task()} <= names.all_tasks()
        assert names.current_task(world.loop) is asyncio.current_task()
        await task
        seen: list[Any] = []
        world.loop.call_soon(lambda: seen.append(names.current_task()))
        await asyncio.sleep(0)
        assert seen == [None]
        return names.current_task()

    task = world.task(main())
    assert world.loop.run_until_complete(task) is task
    assert names.current_task(world.loop) is None
    with pytest.raises(RuntimeError, match="no running event loop"):
        names.current_task()


def test_threads(world: World) -> None:
    names = world.api
    results = []

    def elsewhere(loop: Any) -> None:
        results.append(names.run_coroutine_threadsafe(give(4), loop).result(10))

    async def main() -> None:
        assert await names.to_thread(pow, 2, 5) == 32
        thread = threading.Thread(target=elsewhere, args=(world.loop,))
        thread.start()
        await names.to_thread(thread.join)
        concurrent_future: Any = concurrent.futures.Future()
        wrapped = names.wrap_future(concurrent_future)
        assert isinstance(wrapped, type(world.loop.create_future()))
        concurrent_future.set_result("wrapped")
        assert await wrapped == "wrapped"

    world.run(main())
    assert results == [4]


def test_combining_wrapped_futures(world: World) -> None:
    names = world.api

    async def main() -> None:
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = [world.loop.run_in_executor(pool, pow, 2, n) for n in range(4)]
            assert await names.gather(*futures) == [1, 2, 4, 8]
            assert sorted([await each for each in names.as_completed(futures)]) == [1, 2, 4, 8]
            assert await names.wait(futures) == (set(futures), set())

    world.run(main())

"""wait_for(): what it is given, what ends first, and how many turns that takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import bucle

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.support import World

# Before 3.12 what it is given runs in a task of its own.
HAS_TASK = "timeouts" not in asyncio.wait_for.__code__.co_names


class Awaitable:
    def __await__(self) -> Generator[Any, None, str]:
        yield
        return "awaited"


def test_anything_awaitable(world: World, lib: Any) -> None:
    async def coroutine() -> str:
        await asyncio.sleep(0)
        return "awaited"

    async def main() -> None:
        done = world.future()
        done.set_result("awaited")
        for timeout in (None, 60):
            for it in (coroutine(), Awaitable(), world.task(coroutine()), done):
                assert await lib.wait_for(it, timeout) == "awaited"
        assert await lib.wait_for(done, 0) == "awaited"
        for timeout in (None, 60, 0):
            with pytest.raises(TypeError):
                await lib.wait_for(object(), timeout)

    world.run(main())


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_the_end_is_waited_for(world: World, lib: Any, timeout: float) -> None:
    async def slow() -> None:
        log.append("begun")
        try:
            await world.future()
        finally:
            await asyncio.sleep(0.001)
            log.append("ended")

    async def main() -> None:
        with pytest.raises(TimeoutError) as info:
            await lib.wait_for(slow(), timeout)
        assert isinstance(info.value.__cause__, asyncio.CancelledError)

    log: list[str] = []
    world.run(main())
    assert log == (["begun", "ended"] if timeout > 0 else [])


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_result_in_spite_of_the_cancellation(world: World, lib: Any, timeout: float) -> None:
    async def stubborn() -> str:
        try:
            await world.future()
        except asyncio.CancelledError:
            return "stayed"
        return "woken"

    async def main() -> None:
        task = world.task(stubborn())
        await asyncio.sleep(0)
        assert await lib.wait_for(task, timeout) == "stayed"

    world.run(main())


def test_cancelled_while_it_ends_what_it_was_given(world: World, lib: Any) -> None:
    async def slow() -> None:
        try:
            await world.future()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            raise

    async def main(inner: Any) -> None:
        await lib.wait_for(inner, 0)

    inner = world.task(slow())
    outer = world.task(main(inner))
    world.turn(2)
    outer.cancel()
    with pytest.raises(asyncio.CancelledError):
        world.loop.run_until_complete(outer)
    assert not inner.done()
    assert len(inner._callbacks or []) == 0
    with pytest.raises(asyncio.CancelledError):
        world.loop.run_until_complete(inner)


def test_cancelled_as_the_future_is_done(world: World, lib: Any) -> None:
    async def main() -> Any:
        return await lib.wait_for(future, 60)

    future = world.future()
    task = world.task(main())
    world.turn()
    future.set_result("in time")
    task.cancel()
    if HAS_TASK:  # it swallowed the cancellation
        assert world.loop.run_until_complete(task) == "in time"
    else:
        with pytest.raises(asyncio.CancelledError):
            world.loop.run_until_complete(task)


def test_an_outer_cancellation_is_passed_on(world: World, lib: Any) -> None:
    async def main(inner: Any) -> Any:
        return await lib.wait_for(inner, 60)

    inner = world.future()
    task = world.task(main(inner))
    world.turn()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        world.loop.run_until_complete(task)
    assert inner.cancelled()


def test_turns(world: World) -> None:
    """As many turns as in asyncio, whatever ends it."""

    def turns_of(lib: Any, make: Any, timeout: float | None) -> int:
        async def main() -> Any:
            return await lib.wait_for(make(), timeout)

        task, turns = world.task(main()), 0
        while not task.done():
            world.turn()
            turns += 1
        assert task.exception() is None or isinstance(task.exception(), TimeoutError)
        return turns

    def done() -> Any:
        future = world.future()
        future.set_result(None)
        return future

    for make in (done, lambda: asyncio.sleep(0), lambda: world.task(asyncio.sleep(0))):
        for timeout in (None, 60, 0):
            assert turns_of(bucle, make, timeout) == turns_of(asyncio, make, timeout)


def test_no_timer_is_left(world: World, lib: Any) -> None:
    async def main() -> None:
        for _ in range(100):
            await lib.wait_for(asyncio.sleep(0), 60)
        waiting = [handle for handle in world.loop._scheduled if not handle.cancelled()]
        assert waiting == []

    world.run(main())


def test_outside_a_task(world: World, lib: Any) -> None:
    coro = asyncio.sleep(0)
    waiting = lib.wait_for(coro, 60)
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        waiting.send(None)
    coro.close()

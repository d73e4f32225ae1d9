"""Traps that lie in Event."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support import World


def test_who_was_woken_is_through_even_if_it_is_cleared(world: World, api: Any) -> None:
    event = api.Event()
    waiting = [world.task(event.wait()) for _ in range(3)]
    world.turn()
    assert len(event._waiters) == 3
    event.set()
    event.clear()
    world.turn(2)
    assert [task.result() for task in waiting] == [True] * 3
    assert not event._waiters
    assert not event.is_set()


def test_a_cancelled_waiter_is_left_out(world: World, api: Any) -> None:
    event = api.Event()
    first, second = world.task(event.wait()), world.task(event.wait())
    world.turn()
    first.cancel()
    event.set()
    world.turn(2)
    assert first.cancelled()
    assert second.result() is True


def test_a_set_event_binds_to_no_loop(world: World, api: Any) -> None:
    event = api.Event()
    event.set()
    assert world.run(event.wait()) is True
    assert event._loop is None
    assert repr(event).endswith("[set]>")


def test_waiters_are_woken_in_order_with_others_in_between(world: World, api: Any) -> None:
    async def wait(name: int) -> None:
        await event.wait()
        order.append(name)

    event = api.Event()
    order: list[Any] = []
    for name in range(3):
        world.task(wait(name))
    world.turn()
    world.loop.call_soon(order.append, "before")
    event.set()
    world.loop.call_soon(order.append, "after")
    world.turn(2)
    assert order == ["before", 0, 1, 2, "after"]


def test_another_loop_is_refused_only_when_it_must_wait(world: World, api: Any) -> None:
    event = api.Event()
    waiting = world.task(event.wait())
    world.turn()
    other = asyncio.SelectorEventLoop()
    with pytest.raises(RuntimeError, match="is bound to a different event loop"):
        other.run_until_complete(event.wait())
    event.set()
    assert other.run_until_complete(event.wait()) is True
    other.close()
    world.turn()
    assert waiting.done()


def test_a_loop_that_looks_while_it_is_told(world: World, api: Any) -> None:
    class Nosy(asyncio.SelectorEventLoop):
        def call_soon(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(len(event._waiters))
            return super().call_soon(*args, **kwargs)

    async def main() -> None:
        waiting = [asyncio.ensure_future(event.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        event.set()
        await asyncio.wait(waiting)

    seen: list[int] = []
    event = api.Event()
    loop = Nosy()
    loop.run_until_complete(main())
    loop.close()
    assert 3 in seen

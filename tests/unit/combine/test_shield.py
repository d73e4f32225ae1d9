"""shield: the inner one survives, and what becomes of its outcome."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import pytest

from tests.support import World, collect

from .names import described, same_as_stock, turns


async def after(count: int, result: Any) -> Any:
    for _ in range(count):
        await asyncio.sleep(0)
    if isinstance(result, BaseException):
        raise result
    return result


async def result(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    trace.append(await names.shield(after(3, "value")))
    await clock


async def error(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    try:
        await names.shield(after(2, ValueError("x")))
    except ValueError as caught:
        trace.append(described(caught))
    await clock


async def inner_cancelled(names: Any, world: World, trace: list[Any]) -> Any:
    inner = world.future()
    outer = names.shield(inner)
    inner.cancel("message")
    try:
        await outer
    except asyncio.CancelledError as caught:
        trace.append(caught.args)
    return outer.cancelled()


async def outer_cancelled(names: Any, world: World, trace: list[Any]) -> Any:
    inner = world.task(after(5, "survives"))
    outer = names.shield(inner)
    await asyncio.sleep(0)
    task = world.task(after(0, None))
    trace.append((outer.cancel("m"), inner.cancelled()))
    try:
        await outer
    except asyncio.CancelledError as caught:
        trace.append(caught.args)
    await task
    trace.append(inner._callbacks)
    return await inner


async def both_in_one_turn(names: Any, world: World, trace: list[Any]) -> Any:
    for fail in (False, True):
        inner = world.future()
        outer = names.shield(inner)
        if fail:
            inner.set_exception(ValueError("nobody looks"))
        else:
            inner.set_result(1)
        outer.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        trace.append((inner.done(), outer.cancelled()))
        inner.exception()


async def done_already(names: Any, world: World, trace: list[Any]) -> Any:
    inner = world.future()
    inner.set_result(4)
    return names.shield(inner) is inner


async def shield_of_gather(names: Any, world: World, trace: list[Any]) -> Any:
    clock = world.task(turns(trace))
    trace.append(await names.shield(names.gather(after(1, 1), names.shield(after(2, 2)))))
    await clock


@pytest.mark.parametrize(
    "scenario",
    [
        result,
        error,
        inner_cancelled,
        outer_cancelled,
        both_in_one_turn,
        done_already,
        shield_of_gather,
    ],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_as_stock(scenario: Any, debug: bool, world: World) -> None:
    same_as_stock(scenario, world, lambda each: each.loop.set_debug(debug))


def test_an_outer_future_that_was_set_is_a_failed_callback(world: World) -> None:
    names = world.api

    async def main() -> None:
        inner = world.future()
        outer = names.shield(inner)
        inner.set_result(1)
        outer.set_result(2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    world.run(main())
    (report,) = world.take_errors()
    assert isinstance(report["exception"], asyncio.InvalidStateError)


def test_nothing_is_kept(world: World) -> None:
    names = world.api
    seen = []

    class Value:
        """Something that can be watched."""

    async def main() -> None:
        value = Value()
        seen.append(weakref.ref(value))
        inner = world.task(after(1, value))
        seen.append(weakref.ref(inner))
        outer = names.shield(inner)
        seen.append(weakref.ref(outer))
        assert await outer is value
        await asyncio.sleep(0)
        del value, inner, outer
        assert [ref() for ref in seen] == [None] * 3  # without the collector

    world.run(main())
    collect()


def test_awaited_by(world: World) -> None:
    if not hasattr(asyncio, "capture_call_graph"):
        pytest.skip("no graph of awaits before 3.14")
    names = world.api

    async def main() -> None:
        me = names.current_task()
        inner = world.future()
        outer = names.shield(inner)
        assert inner._asyncio_awaited_by == frozenset({me})
        outer.cancel()
        await asyncio.sleep(0)
        assert not inner._asyncio_awaited_by
        outer = names.shield(inner)
        inner.set_result(1)
        await outer
        assert not inner._asyncio_awaited_by

    world.run(main())

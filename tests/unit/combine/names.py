"""How a scenario is compared with stock asyncio's own run of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests import support

if TYPE_CHECKING:
    from collections.abc import Callable

Scenario = "Callable[[Any, support.World, list[Any]], Coroutine[Any, Any, Any]]"


def traced(
    scenario: Scenario, world: support.World, prepare: Callable[[Any], None] | None = None
) -> list[Any]:
    """Run `scenario(names, world, trace)` as a task; the trace, with what it ended in."""
    trace: list[Any] = []
    if prepare is not None:
        prepare(world)

    async def main() -> None:
        try:
            trace.append(await scenario(world.api, world, trace))
        except BaseException as error:
            trace.append(described(error))

    world.run(main())
    return trace


def described(error: BaseException | None) -> Any:
    """An exception and what it is chained to, in a form that can be compared."""
    if error is None:
        return None
    chained = described(error.__cause__), described(error.__context__)
    return (type(error).__name__, error.args, *chained)


def same_as_stock(
    scenario: Scenario, world: support.World, prepare: Callable[[Any], None] | None = None
) -> list[Any]:
    """Assert that the scenario leaves the same trace in this world as in stock asyncio."""
    with support.world("stock", "stock") as stock:
        expected = traced(scenario, stock, prepare)
        stock.take_errors()
    found = traced(scenario, world, prepare)
    assert found == expected
    return found


async def turns(trace: list[Any], count: int = 12) -> None:
    """Mark every turn of the loop in the trace."""
    for number in range(count):
        trace.append(number)
        await asyncio.sleep(0)

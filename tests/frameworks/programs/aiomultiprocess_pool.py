"""aiomultiprocess: a pool whose worker processes make the loop by the function they are handed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiomultiprocess import Pool

from .common import failure

if TYPE_CHECKING:
    from tests.frameworks.launch import World


async def square(number: int) -> int:
    await asyncio.sleep(0.001 * (number % 3))
    return number * number


async def of_our_kind(expected: bool) -> bool:
    found = type(asyncio.get_running_loop()).__module__.startswith("bucle")
    return found is expected


async def fail(_: int) -> None:
    raise ValueError("as intended")


async def use(world: World) -> None:
    world.look()
    async with Pool(processes=2, loop_initializer=world.new_loop) as pool:
        print("loops", await pool.apply(of_our_kind, (world.native,)))
        print("map", await pool.map(square, range(20)))
        print("starmap", [n async for n in pool.starmap(square, [(3,), (4,)])])
        print("failure", (await failure(pool.apply(fail, (1,)))).splitlines()[0])


def main(world: World) -> None:
    world.run(use(world))

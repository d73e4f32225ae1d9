"""Traps that lie in Barrier."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from tests.support import STOCK_NAMES, World, outcome

FILLING, DRAINING = (
    asyncio.locks._BarrierState.FILLING,  # type: ignore[attr-defined]
    asyncio.locks._BarrierState.DRAINING,  # type: ignore[attr-defined]
)


def test_everybody_gets_an_index_of_his_own(world: World, api: Any) -> None:
    async def main() -> list[Any]:
        async def enter() -> Any:
            async with barrier as index:
                return index

        return await asyncio.gather(*(enter() for _ in range(6)))

    barrier = api.Barrier(3)
    assert sorted(world.run(main())) == [0, 0, 1, 1, 2, 2]
    assert (barrier.n_waiting, barrier._state, barrier._count) == (0, FILLING, 0)


def test_who_comes_while_it_drains_waits_for_the_next_round(world: World, api: Any) -> None:
    async def main() -> None:
        first, second = world.task(barrier.wait()), world.task(barrier.wait())
        await asyncio.sleep(0)
        assert barrier._state is DRAINING
        late = world.task(barrier.wait())
        await first
        await second
        for _ in range(3):
            await asyncio.sleep(0)
        assert repr(barrier).endswith("[filling, waiters:1/2]>")
        assert not late.done()
        assert await barrier.wait() == 1
        await late

    barrier = api.Barrier(2)
    world.run(main())


@pytest.mark.parametrize("how", ["reset", "abort"])
def test_the_waiting_are_told_of_a_broken_barrier(world: World, api: Any, how: str) -> None:
    async def main() -> None:
        waiting = world.task(barrier.wait())
        await asyncio.sleep(0)
        await getattr(barrier, how)()
        with pytest.raises(asyncio.BrokenBarrierError, match=r"^Abort or reset of barrier$"):
            await waiting
        if how == "abort":
            with pytest.raises(asyncio.BrokenBarrierError, match=r"^Barrier aborted$"):
                await barrier.wait()

    barrier = api.Barrier(2)
    world.run(main())
    assert barrier.broken == (how == "abort")
    assert barrier._state.value == ("broken" if how == "abort" else "filling")
    assert not barrier._cond.locked()


def test_a_cancelled_task_goes_out(world: World, api: Any) -> None:
    async def main() -> None:
        waiting = world.task(barrier.wait())
        await asyncio.sleep(0)
        assert barrier.n_waiting == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert barrier.n_waiting == 0

    barrier = api.Barrier(2)
    world.run(main())


def test_a_subclass_goes_by_the_methods_that_it_overrides(world: World, api: Any) -> None:
    seen = []

    class Watched(api.Barrier):  # type: ignore[misc, name-defined]
        async def _block(self) -> None:
            seen.append("block")
            await super()._block()

        def _exit(self) -> None:
            seen.append("exit")
            super()._exit()

    async def main() -> Any:
        async with Watched(1) as index:
            return index

    assert world.run(main()) == 0
    assert seen == ["block", "exit"]


def test_a_replaced_condition_is_used(world: World, api: Any) -> None:
    barrier = api.Barrier(1)
    barrier._cond = condition = asyncio.Condition(asyncio.Lock())
    world.run(condition.acquire())
    waiting = world.task(barrier.wait())
    world.turn(2)
    assert not waiting.done()
    condition.release()
    world.turn(3)
    assert waiting.result() == 0


@pytest.mark.parametrize("parties", [0, -1, None, "2"])
def test_bad_parties_are_refused_in_this_version_s_words(
    world: World, api: Any, parties: Any
) -> None:
    expected = outcome(STOCK_NAMES.Barrier, parties)
    assert expected[0] == "raised"
    assert outcome(api.Barrier, parties) == expected


def test_signatures_are_asyncio_s(world: World, api: Any) -> None:
    for name in ("wait", "reset", "abort", "__aexit__"):
        ours = inspect.signature(getattr(api.Barrier, name))
        assert ours == inspect.signature(getattr(STOCK_NAMES.Barrier, name))

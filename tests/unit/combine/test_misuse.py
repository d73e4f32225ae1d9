"""What nobody should do with timeouts, groups and awaits: it raises what it raises in asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import BEFORE_MENDED, SANITIZED, check_script

if TYPE_CHECKING:
    from tests.support import World


def test_a_group_without_a_loop(world: World, lib: Any) -> None:
    async def main() -> None:
        group = lib.TaskGroup()
        group._entered = True
        group._tasks.add(asyncio.current_task())
        coro = lib.sleep(0)
        with pytest.raises(AttributeError, match="NoneType"):
            group.create_task(coro)
        coro.close()
        with pytest.raises(AttributeError, match="NoneType"):
            await group.__aexit__(None, None, None)
        group._tasks.clear()

    world.run(main())


@pytest.mark.parametrize(
    ("value", "raised"),
    [
        (asyncio.CancelledError, TimeoutError),
        (asyncio.CancelledError("text"), TimeoutError),
    ],
)
@pytest.mark.skipif(BEFORE_MENDED, reason="a TimeoutError has no cause")
def test_the_end_of_a_timeout_by_hand(world: World, lib: Any, value: Any, raised: Any) -> None:
    async def main() -> None:
        timeout = lib.timeout(0)
        await timeout.__aenter__()
        with pytest.raises(asyncio.CancelledError):
            await lib.sleep(1)
        try:
            await timeout.__aexit__(asyncio.CancelledError, value, None)
        except raised as error:
            cause = error.__cause__
            with pytest.raises(KeyError):
                raise KeyError from error
        except asyncio.CancelledError:
            assert isinstance(value, type)  # 3.11 and 3.12 compare instances
            return
        assert isinstance(cause, asyncio.CancelledError)

    try:
        world.run(main())
    except asyncio.CancelledError:
        pass


@pytest.mark.skipif(SANITIZED, reason="sanitized frames overflow the stack before the limit")
def test_a_chain_of_awaits_too_deep() -> None:
    source = """
    import asyncio, warnings, bucle
    warnings.simplefilter("ignore")
    async def deep():
        lock = bucle.Lock()
        coro = lock.acquire()
        for _ in range(100_000):
            coro = bucle.wait_for(coro, None)
        try:
            await coro
        except RecursionError:
            return "too deep"
    print(bucle.run(deep()) or "done")
    """
    assert check_script(source) in ("too deep\n", "done\n")


def test_a_chain_of_queues_dies() -> None:
    source = """
    import bucle
    for kind in (bucle.Queue, bucle.LifoQueue, bucle.PriorityQueue):
        last = None
        for _ in range(200_000):
            queue = kind()
            queue.put_nowait(last)
            last = queue
        del queue, last
    """
    assert check_script(source) == ""

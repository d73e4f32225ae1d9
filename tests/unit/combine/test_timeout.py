"""timeout(): where the deadline, the end of the block and other cancellations meet."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import BEFORE_MENDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support import World

CAUSED = "_cancelling" in asyncio.Timeout.__aexit__.__code__.co_names  # from 3.11.3
INSERTS = hasattr(asyncio.Timeout, "_insert_timeout_error")


async def forever(world: World) -> None:
    await world.future()


def test_only_the_expired_one_converts(world: World, lib: Any) -> None:
    async def main() -> None:
        async with lib.timeout(60) as outer:
            with pytest.raises(TimeoutError) as info:
                async with lib.timeout(0.001) as inner:
                    await forever(world)
            assert isinstance(info.value.__context__, asyncio.CancelledError)
            assert info.value.__cause__ is (info.value.__context__ if CAUSED else None)
            assert inner.expired()
            assert not outer.expired()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert [repr(outer), repr(inner)] == ["<Timeout [finished]>", "<Timeout [expired]>"]

    world.run(main())


def test_both_expire_in_one_turn(world: World, lib: Any) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with lib.timeout(0) as outer:
                async with lib.timeout(0) as inner:
                    await forever(world)
        assert (outer.expired(), inner.expired()) == (True, True)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    world.run(main())


def test_a_cancellation_in_the_same_turn_wins(world: World, lib: Any) -> None:
    async def main() -> None:
        async with lib.timeout(0) as timeout:
            world.loop.call_soon(task.cancel)
            try:
                await forever(world)
            finally:
                seen.append((timeout.expired(), task.cancelling()))

    seen: list[Any] = []
    task = world.task(main())
    with pytest.raises(asyncio.CancelledError):
        world.loop.run_until_complete(task)
    assert seen == [(True, 2)]


def test_expires_while_the_block_ends(world: World, lib: Any) -> None:
    async def main() -> Any:
        async with lib.timeout(0) as timeout:
            try:
                await forever(world)
            except asyncio.CancelledError:
                pass
            return timeout.expired(), repr(timeout)

    assert world.run(main()) == (True, "<Timeout [expiring]>")


def test_another_error_than_the_cancellation(world: World, lib: Any) -> None:
    async def main() -> None:
        async with lib.timeout(0):
            try:
                await forever(world)
            finally:
                raise KeyError("mine")

    with pytest.raises(KeyError) as info:
        world.run(main())
    wanted = TimeoutError if INSERTS else asyncio.CancelledError
    assert type(info.value.__context__) is wanted


def test_a_loop_whose_timers_have_no_handles(world: World, lib: Any) -> None:
    call_at = world.loop.call_at

    def nothing(*args: Any) -> None:
        call_at(*args)

    async def main() -> None:
        async with lib.timeout(60) as timeout:
            assert timeout._timeout_handler is None
        with pytest.raises(TimeoutError):
            async with lib.timeout(0.001):
                await forever(world)

    world.loop.call_at = nothing
    world.run(main())


@pytest.mark.skipif(BEFORE_MENDED, reason="timeouts say nothing of their use before 3.11.7")
def test_reschedule(world: World, lib: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        timeout = lib.timeout(None)
        with pytest.raises(RuntimeError, match=r"^Timeout has not been entered$"):
            timeout.reschedule(1)
        with pytest.raises(TimeoutError):
            async with timeout:
                assert (timeout.when(), timeout._timeout_handler) == (None, None)
                timeout.reschedule(loop.time() + 60)
                first = timeout._timeout_handler
                when = loop.time() + 0.001
                timeout.reschedule(when)
                assert first.cancelled()
                assert timeout.when() is when
                assert timeout._timeout_handler.when() == when
                await forever(world)
        for state, text in ((timeout, "expired"), (lib.timeout(None), "finished")):
            if text == "finished":
                async with state:
                    pass
            with pytest.raises(RuntimeError, match=f"^Cannot change state of {text} Timeout$"):
                state.reschedule(None)

    world.run(main())


@pytest.mark.skipif(BEFORE_MENDED, reason="timeouts say nothing of their use before 3.11.7")
def test_misuse(world: World, lib: Any) -> None:
    async def main() -> None:
        timeout = lib.timeout(1)
        with pytest.raises(AssertionError):
            await timeout.__aexit__(None, None, None)
        async with timeout:
            assert timeout._task is asyncio.current_task()
            with pytest.raises(RuntimeError, match=r"^Timeout has already been entered$"):
                await timeout.__aenter__()
        with pytest.raises(AssertionError):
            await timeout.__aexit__(None, None, None)
        with pytest.raises(TypeError):
            lib.timeout("soon")

    world.run(main())
    with pytest.raises(RuntimeError, match=r"^no running event loop$"):
        lib.timeout(1)


def test_left_out_of_order(world: World, lib: Any) -> None:
    async def main() -> None:
        first, second = lib.timeout(0), lib.timeout(60)
        await first.__aenter__()
        await second.__aenter__()
        with pytest.raises(asyncio.CancelledError) as info:
            await forever(world)
        with pytest.raises(TimeoutError):
            await first.__aexit__(asyncio.CancelledError, info.value, None)
        assert await second.__aexit__(None, None, None) is None
        assert not second.expired()

    world.run(main())


def test_is_freed_at_once(world: World, lib: Any) -> None:
    class Marked(lib.Timeout):  # type: ignore[misc, name-defined]
        pass

    async def main(make: Callable[[], Any]) -> Any:
        timeout = make()
        async with timeout:
            pass
        return weakref.ref(timeout)

    gc.disable()
    try:
        now = world.loop.time()
        assert world.run(main(lambda: lib.timeout(60)))() is None
        # asyncio's bound method is a cycle through the handle only until it is cancelled
        assert world.run(main(lambda: Marked(now + 60)))() is None
    finally:
        gc.enable()


def test_subclass_is_asked_by_name(world: World, lib: Any) -> None:
    class Mine(lib.Timeout):  # type: ignore[misc, name-defined]
        def reschedule(self, when: float | None) -> None:
            calls.append("reschedule")
            super().reschedule(when)

        def _on_timeout(self) -> None:
            calls.append("_on_timeout")
            super()._on_timeout()

    calls: list[str] = []

    async def main() -> None:
        async with Mine(0):
            await forever(world)

    with pytest.raises(TimeoutError):
        world.run(main())
    assert calls == ["reschedule", "_on_timeout"]

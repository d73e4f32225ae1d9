"""How runs inside one another end: stop(), futures that are done in any order, interrupts."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

from tests.support import World, check_script, outcome, unix_pair
from tests.unit.loop.nesting import STOPPED, value_of

pytestmark = pytest.mark.native


class TestStop:
    def test_ends_the_innermost_run_forever(self, nest: Any) -> None:
        seen: list[str] = []

        def callback() -> None:
            nest.call_soon(nest.stop)
            nest.run_forever()
            seen.append("inner")
            nest.call_soon(seen.append, "outer")
            nest.call_soon(nest.stop)

        nest.call_soon(callback)
        nest.run_forever()
        assert seen == ["inner", "outer"]

    def test_in_run_until_complete_goes_on_to_the_run_outside(self, nest: Any) -> None:
        """It cannot have been meant for a run that ends by its future."""
        seen: list[Any] = []
        waiting = nest.create_future()

        def callback() -> None:
            nest.call_soon(nest.stop)
            seen.append(outcome(nest.run_until_complete, waiting))

        nest.call_soon(callback)
        nest.run_forever()
        assert seen == [STOPPED]

    def test_before_a_nested_run_is_for_the_run_outside(self, nest: Any) -> None:
        seen: list[Any] = []

        def callback() -> None:
            nest.stop()
            seen.append(nest.run_until_complete(value_of(7)))
            nest.call_soon(seen.append, "not in this run")

        nest.call_soon(callback)
        nest.run_forever()
        assert seen == [7]
        nest.run_until_complete(value_of(None))

    def test_that_ends_nothing_but_the_nested_run(self, nest: Any) -> None:
        """The future and an explicit stop() in the same turn: nothing is left for the outside."""

        async def both() -> int:
            nest.stop()
            return 3

        async def main() -> str:
            assert nest.run_until_complete(both()) == 3
            await asyncio.sleep(0.001)
            return "outside"

        assert nest.run_until_complete(main()) == "outside"

    def test_what_the_batch_held_back_is_not_lost(self, nest: Any) -> None:
        """A nested run in the last turn of a run sees what waits for the next."""
        woken = nest.create_future()
        seen: list[Any] = []
        left, right = unix_pair()

        def last() -> None:
            nest.remove_reader(left)
            seen.append(nest.run_until_complete(woken))

        nest.call_soon(lambda: (nest.call_soon(int), nest.call_soon(stopping)))

        def stopping() -> None:
            nest.add_reader(left, last)
            right.send(b"x")
            nest.call_soon(woken.set_result, "held")
            nest.stop()

        nest.run_forever()
        assert seen == ["held"]
        left.close()
        right.close()


class TestEnds:
    def test_the_outer_future_done_inside(self, nest: Any) -> None:
        """It ends the outer run when the nested one is over, not the nested one."""
        outer = nest.create_future()
        seen: list[Any] = []

        def callback() -> None:
            nest.call_soon(outer.set_result, "outer")
            seen.append(nest.run_until_complete(asyncio.sleep(0.005, "inner")))

        nest.call_soon(callback)
        assert nest.run_until_complete(outer) == "outer"
        assert seen == ["inner"]

    def test_the_outer_future_done_just_before(self, nest: Any) -> None:
        """Its callback, which would stop the run, stands in the queue already."""
        outer = nest.create_future()
        seen: list[Any] = []

        def callback() -> None:
            outer.set_result("outer")
            seen.append(nest.run_until_complete(asyncio.sleep(0.005, "inner")))

        nest.call_soon(callback)
        assert nest.run_until_complete(outer) == "outer"
        assert seen == ["inner"]
        assert nest.run_until_complete(asyncio.sleep(0.001, "next")) == "next"

    def test_in_any_order_of_three(self, nest: Any) -> None:
        futures = [nest.create_future() for _ in range(3)]
        seen: list[Any] = []

        def third() -> None:
            for number, future in enumerate(futures):
                nest.call_later(0.001 * number, future.set_result, number)
            seen.append(nest.run_until_complete(futures[2]))

        def second() -> None:
            nest.call_soon(third)
            seen.append(nest.run_until_complete(futures[1]))

        nest.call_soon(second)
        seen.append(nest.run_until_complete(futures[0]))
        assert seen == [2, 1, 0]

    def test_a_future_that_is_done(self, nest: Any) -> None:
        async def main() -> list[Any]:
            future = nest.create_future()
            future.set_result(4)
            return [nest.run_until_complete(future) for _ in range(2)]

        assert nest.run_until_complete(main()) == [4, 4]

    def test_callbacks_of_the_outer_future_are_as_before(self, nest: Any) -> None:
        """Libraries find the root task by the function among its callbacks."""

        async def main() -> None:
            me: Any = asyncio.current_task()
            before = [callback for callback, _ in me._callbacks]
            nest.run_until_complete(value_of(1))
            assert [callback for callback, _ in me._callbacks] == before

        nest.run_until_complete(main())


class TestInterrupts:
    def test_keyboard_interrupt_goes_through_every_level(self, nested: World) -> None:
        loop = nested.loop

        async def interrupt() -> None:
            raise KeyboardInterrupt

        async def main() -> None:
            try:
                loop.run_until_complete(interrupt())
            finally:
                tasks.append(asyncio.current_task())

        tasks: list[Any] = []
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert tasks == [task]
        assert not loop.is_running()
        assert asyncio._get_running_loop() is None
        assert loop.run_until_complete(value_of(1)) == 1

    def test_it_can_be_caught_outside_of_the_nested_run(self, nest: Any) -> None:
        async def interrupt() -> None:
            raise SystemExit(3)

        async def main() -> str:
            with pytest.raises(SystemExit):
                nest.run_until_complete(interrupt())
            await asyncio.sleep(0.001)
            return "went on"

        assert nest.run_until_complete(main()) == "went on"

    def test_a_signal_inside_a_nested_poll(self, nest: Any) -> None:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        async def main() -> str:
            timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                nest.run_until_complete(asyncio.sleep(10))
            timer.join()
            return await value_of("went on")

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            assert nest.run_until_complete(main()) == "went on"
        finally:
            signal.signal(signal.SIGUSR1, before)

    def test_a_signal_handler_of_the_loop_runs_inside(self, nest: Any) -> None:
        got = nest.create_future()
        nest.add_signal_handler(signal.SIGUSR1, got.set_result, "signal")

        async def main() -> Any:
            timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
            timer.start()
            seen = nest.run_until_complete(got)
            timer.join()
            return seen

        assert nest.run_until_complete(main()) == "signal"
        nest.remove_signal_handler(signal.SIGUSR1)


def test_in_a_program_with_ctrl_c() -> None:
    """The first cancels the main task, the second interrupts what it waits for."""
    out = check_script(
        """
        import asyncio, bucle, os, signal, threading
        async def main():
            loop = asyncio.get_running_loop()
            bucle.allow_nesting(loop)
            def interrupt():
                os.kill(os.getpid(), signal.SIGINT)
            loop.call_soon(interrupt)
            loop.call_later(0.01, interrupt)
            try:
                loop.run_until_complete(asyncio.sleep(10))
            except KeyboardInterrupt:
                print("interrupted")
                raise
        try:
            bucle.run(main())
        except KeyboardInterrupt:
            print("outside")
        """,
        timeout=30,
    )
    assert out == "interrupted\noutside\n"

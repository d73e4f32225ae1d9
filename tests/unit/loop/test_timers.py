"""Timers: never early, ordered by deadline, on time.monotonic's clock, cheaply cancelled.

No test here waits for a wall clock to pass a limit: what is asserted holds however slow the machine
is, for it says only that nothing came too early and that the order was right.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.support import Implementation, outcome


def run_for(loop: Any, seconds: float) -> None:
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


def test_time_is_time_monotonic(loop: Any) -> None:
    for _ in range(100):
        before, now, after = time.monotonic(), loop.time(), time.monotonic()
        assert before <= now <= after


def test_timers_are_never_early(loop: Any) -> None:
    late: list[float] = []
    for _ in range(60):
        when = loop.time() + random.uniform(0, 0.02)
        loop.call_at(when, lambda when=when: late.append(time.monotonic() - when))
    run_for(loop, 0.03)
    assert len(late) == 60
    resolution = time.get_clock_info("monotonic").resolution
    assert min(late) >= -resolution


def test_sleep_never_returns_early(loop: Any) -> None:
    async def main() -> list[float]:
        spare = []
        for delay in (0.0001, 0.0005, 0.001, 0.0015, 0.002, 0.0033, 0.005):
            start = time.monotonic()
            await asyncio.sleep(delay)
            spare.append(time.monotonic() - start - delay)
        return spare

    resolution = time.get_clock_info("monotonic").resolution
    assert min(loop.run_until_complete(main())) >= -resolution


def test_trap_29_order_of_deadlines_then_of_insertion(loop: Any) -> None:
    base, seen = loop.time() + 0.005, []
    deadlines = [random.Random(7).randrange(10) for _ in range(200)]
    for index, deadline in enumerate(deadlines):
        loop.call_at(base + deadline * 1e-4, lambda pair=(deadline, index): seen.append(pair))
    run_for(loop, 0.02)
    assert [deadline for deadline, _ in seen] == sorted(deadlines)
    if type(loop).__module__.startswith("bucle"):  # heapq is not stable: stock promises less
        assert seen == sorted(seen)


def test_timers_in_the_past_run_before_those_to_come(loop: Any) -> None:
    seen: list[str] = []
    now = loop.time()
    loop.call_at(now + 0.001, seen.append, "soon")
    loop.call_at(now - 10, seen.append, "long ago")
    loop.call_at(0, seen.append, "at zero")
    loop.call_at(-1.5, seen.append, "negative")
    run_for(loop, 0.005)
    assert seen == ["negative", "at zero", "long ago", "soon"]


def test_a_due_timer_runs_after_the_callbacks_that_were_ready(loop: Any) -> None:
    seen: list[str] = []
    loop.call_later(0, seen.append, "timer")
    loop.call_soon(seen.append, "ready")
    run_for(loop, 0.002)
    assert seen == ["ready", "timer"]


def test_cancelled_timers_never_run(loop: Any) -> None:
    seen: list[int] = []
    handles = [loop.call_later(0.001, seen.append, number) for number in range(100)]
    for handle in handles[::2]:
        handle.cancel()
    run_for(loop, 0.005)
    assert sorted(seen) == list(range(1, 100, 2))


def test_a_timer_cancels_another_of_the_same_deadline(loop: Any) -> None:
    seen: list[str] = []
    when = loop.time() + 0.001
    loop.call_at(when, lambda: (seen.append("first"), second.cancel()))
    second = loop.call_at(when + 1e-4, seen.append, "second")
    run_for(loop, 0.005)
    assert seen == ["first"]


def test_a_timer_that_arms_another(loop: Any) -> None:
    seen: list[int] = []

    def again(left: int) -> None:
        seen.append(left)
        if left:
            loop.call_later(0, again, left - 1)
        else:
            loop.stop()

    loop.call_later(0, again, 50)
    loop.run_forever()
    assert seen == list(range(50, -1, -1))


def test_cancelled_timers_are_compacted_away(loop: Any) -> None:
    kept = [loop.call_later(1000 + number, print) for number in range(10)]
    for _ in range(100):
        for handle in [loop.call_later(500, print) for _ in range(1000)]:
            handle.cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert len(loop._scheduled) < 5000
    assert all(handle._scheduled for handle in kept)
    for handle in kept:
        handle.cancel()


def test_a_hundred_thousand_timers_in_any_order(loop: Any) -> None:
    numbers = list(range(100_000))
    random.Random(3).shuffle(numbers)
    base, seen = loop.time(), []
    handles = [loop.call_at(base - 1 + n * 1e-6, seen.append, n) for n in numbers]
    for handle, number in zip(handles, numbers, strict=True):
        if number % 3 == 0:
            handle.cancel()
    run_for(loop, 0)
    while len(seen) < 66_666:
        run_for(loop, 0)
    assert seen == [n for n in range(100_000) if n % 3]


@pytest.mark.parametrize("bad", [None, "soon", object(), [], {}])
@pytest.mark.parametrize("method", ["call_later", "call_at"])
def test_bad_times_raise_what_stock_raises(loop: Any, method: str, bad: object) -> None:
    stock_loop = asyncio.SelectorEventLoop()
    stock = outcome(getattr(stock_loop, method), bad, print)
    ours = outcome(getattr(loop, method), bad, print)
    stock_loop.close()
    if stock[0] == "raised":
        assert ours[:2] == stock[:2]


@pytest.mark.parametrize("when", [float("inf"), 1e300, 1e18, 10**400])
def test_times_beyond_all_clocks(loop: Any, when: float) -> None:
    try:
        handle = loop.call_at(when, print)
    except OverflowError:
        assert when == 10**400
        return
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert handle.when() == when
    handle.cancel()


def test_not_a_number_does_not_hang_or_crash(loop: Any) -> None:
    try:
        handle = loop.call_later(float("nan"), print)
    except ValueError:
        return
    handle.cancel()
    run_for(loop, 0.001)


def test_fractions_decimals_and_bools_are_numbers(loop: Any) -> None:
    from fractions import Fraction

    seen: list[str] = []
    loop.call_later(True, seen.append, "bool").cancel()
    handle = loop.call_later(Fraction(1, 1000), seen.append, "fraction")
    assert handle.when() > loop.time() - 1
    run_for(loop, 0.005)
    assert seen == ["fraction"]


def test_when_is_what_was_asked_for(loop: Any) -> None:
    when = loop.time() + 12.345678
    handle = loop.call_at(when, print)
    assert handle.when() == when
    handle.cancel()
    before = loop.time()
    handle = loop.call_later(5, print)
    assert before + 5 <= handle.when() <= loop.time() + 5
    handle.cancel()


def test_clock_resolution(loop: Any) -> None:
    assert loop._clock_resolution == time.get_clock_info("monotonic").resolution


def test_an_idle_loop_sleeps(impl: Implementation) -> None:
    """Waiting for a timer takes no processor time worth the name."""
    loop = impl.new_loop()
    start = time.process_time()
    loop.run_until_complete(asyncio.sleep(0.3))
    assert time.process_time() - start < 0.2
    loop.close()

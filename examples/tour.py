"""A tour: what runs native, and what that is worth on this machine.

    python -m bucle examples/tour.py

The program itself is plain asyncio; `python -m bucle` is what makes it native. For the figures it
starts itself again in fresh processes, by turns with and without bucle, and compares medians of
CPU time, which a busy machine disturbs least.
Colour only on a terminal (and never with NO_COLOR); a slow machine gets fewer rounds, not an error.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import bucle

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MOST_ROUNDS = 5
SECONDS_IN_ALL = 6.0
SECONDS_PER_MEASUREMENT = 0.03
FULL, EIGHTHS = "█", " ▏▎▍▌▋▊▉"


# --- The measurements: seconds for one batch, in a child process ---------------------------------


async def noop() -> None:
    """Do nothing, as a coroutine."""


async def sleep_zero(times: int) -> None:
    """Give way to the loop."""
    for _ in range(times):
        await asyncio.sleep(0)


async def create_tasks(times: int) -> None:
    """Make tasks one after the other and await each."""
    for _ in range(times):
        await asyncio.create_task(noop())


async def gather_them(times: int) -> None:
    """Gather a thousand coroutines at once."""
    for _ in range(times // 1000):
        await asyncio.gather(*[noop() for _ in range(1000)])


async def resolve_futures(times: int) -> None:
    """Await futures that callbacks resolve."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def call_soon(times: int) -> None:
    """Queue plain callbacks and wait until all have run."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        loop.call_soon(print_nothing)
    await asyncio.sleep(0)


async def cancel_timers(times: int) -> None:
    """Schedule timeouts that never fire."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        loop.call_later(60, print_nothing).cancel()


def print_nothing() -> None:
    """Do nothing, as a callback."""


MEASUREMENTS: dict[str, Callable[[int], Awaitable[None]]] = {
    "call_soon": call_soon,
    "call_later + cancel": cancel_timers,
    "await sleep(0)": sleep_zero,
    "await future": resolve_futures,
    "await create_task": create_tasks,
    "gather of 1000": gather_them,
}


async def measure_all() -> dict[str, float]:
    """Return the median CPU seconds per operation of each measurement."""
    batch = 1000
    answer = {}
    for name, measurement in MEASUREMENTS.items():
        times: list[float] = []
        deadline = time.perf_counter() + SECONDS_PER_MEASUREMENT
        while len(times) < 3 or time.perf_counter() < deadline:
            start = time.process_time()
            await measurement(batch)
            times.append((time.process_time() - start) / batch)
        answer[name] = statistics.median(times)
    return answer


# --- The comparison: both kinds by turns ---------------------------------------------------------


def sample(*interpreter_options: str) -> dict[str, float]:
    """Measure in a fresh process; empty when that did not work."""
    command = [sys.executable, *interpreter_options, os.path.abspath(__file__), "--measure"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        figures: dict[str, float] = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        return {}
    return figures


def compare() -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Measure stock and native by turns, as many rounds as fit into a few seconds."""
    stock: dict[str, list[float]] = {name: [] for name in MEASUREMENTS}
    native: dict[str, list[float]] = {name: [] for name in MEASUREMENTS}
    start = time.monotonic()
    for done in range(MOST_ROUNDS):
        if done and (time.monotonic() - start) * (done + 1) / done > SECONDS_IN_ALL:
            break
        for figures, options in ((stock, ()), (native, ("-m", "bucle"))):
            for name, seconds in sample(*options).items():
                figures[name].append(seconds)
    return stock, native


# --- The picture ---------------------------------------------------------------------------------


class Page:
    """Prints with colour and drawing characters as far as standard output has them."""

    def __init__(self) -> None:
        """Look at standard output once."""
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = terminal and not os.environ.get("NO_COLOR")
        self.blocks = (sys.stdout.encoding or "").lower().startswith("utf")
        self.width = min(shutil.get_terminal_size((80, 24)).columns, 100)

    def paint(self, code: str, text: str) -> str:
        """Wrap the text in a colour where there is colour."""
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def title(self, text: str) -> None:
        """Print a heading."""
        print("\n" + self.paint("1", text))

    def bar(self, length: float) -> str:
        """Draw a bar of so many columns, to an eighth of a column where possible."""
        if not self.blocks:
            return "#" * max(1, round(length))
        whole, part = divmod(round(length * 8), 8)
        return FULL * whole + EIGHTHS[part].strip()


def show_what_is_native(page: Page) -> None:
    """Name the types that this very run uses."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    timer = loop.call_later(60, print_nothing)
    timer.cancel()
    page.title("What runs here")
    for role, thing, base in (
        ("loop", loop, asyncio.AbstractEventLoop),
        ("task", task, asyncio.Task),
        ("future", loop.create_future(), asyncio.Future),
        ("handle", loop.call_soon(print_nothing), asyncio.Handle),
        ("timer", timer, asyncio.TimerHandle),
    ):
        kind = type(thing)
        native = kind.__module__.partition(".")[0] == "bucle"
        mark = page.paint("32", "native") if native else page.paint("33", "stock ")
        real = "is" if isinstance(thing, base) else "is not"
        name = f"{kind.__module__}.{kind.__qualname__}"
        print(f"  {role:<7} {mark}  {name:<28} {real} an asyncio.{base.__name__}")


def show_figures(page: Page) -> None:
    """Measure and draw: one bar a row, as long as bucle is faster."""
    page.title("The same source on stock asyncio and on bucle, on this machine")
    if page.colour:
        print("  measuring for a few seconds ...", end="", flush=True)
    stock, native = compare()
    if page.colour:
        print("\r\033[K", end="")
    rows = [
        (name, statistics.median(stock[name]) * 1e6, statistics.median(native[name]) * 1e6)
        for name in MEASUREMENTS
        if stock[name] and native[name]
    ]
    if not rows:
        print("  Nothing could be measured: no child process answered.")
        return
    print(f"  {'microseconds each':<20} asyncio    bucle")
    room = page.width - 54
    longest = max(1.0, *(before / after for _, before, after in rows))
    for name, before, after in rows:
        faster = before / after
        bar = page.paint("36" if faster >= 1 else "33", page.bar(faster * room / longest))
        print(f"  {name:<20} {before:>7.2f}  {after:>7.3f}  {faster:>4.1f} times  {bar}")
    rounds = min(len(times) for times in (*stock.values(), *native.values()) if times)
    print(f"  Medians of {rounds} rounds, fresh processes by turns. More: make bench.")


async def main() -> None:
    """Show all."""
    page = Page()
    version = f"{platform.python_implementation()} {platform.python_version()}"
    headline = f"bucle {bucle.__version__}, libuv {bucle.libuv_version()}, {version}"
    print(page.paint("1;36", headline))
    show_what_is_native(page)
    show_figures(page)


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        print(json.dumps(asyncio.run(measure_all())))
    else:
        asyncio.run(main())

"""What a workload is: one function, the same source for every loop.

A workload receives a `Bench`: the loop under test, how many operations to do, and a
stopwatch that it starts and stops around the part that counts. It does one *batch*; the
sampling process repeats the batch and takes the median, so that one preempted batch does
not spoil a sample. Wall time and CPU time are both read: CPU time includes helper threads,
which wall time hides, and is the sounder of the two on a busy machine.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType


class Stopwatch:
    """Adds up the wall and CPU seconds spent inside its ``with`` blocks."""

    __slots__ = ("_cpu_start", "_wall_start", "cpu", "wall")

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0

    def __enter__(self) -> None:
        self._cpu_start = time.process_time()
        self._wall_start = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wall += time.perf_counter() - self._wall_start
        self.cpu += time.process_time() - self._cpu_start


@dataclass(frozen=True, slots=True)
class Unit:
    """What the two readings of a sample are, and how they are shown.

    Each reading has what stands above its absolute figures and above its ratios.
    """

    name: str
    scale: float
    ratio: str
    readings: dict[str, tuple[str, str]]


TIME = Unit(
    "us",
    1e6,
    "times asyncio",
    {
        "wall": (
            "us of wall time",
            "Wall time, how many times as fast as asyncio (~: the quartiles spread over 20 %):",
        ),
        "cpu": ("us of cpu time", "CPU time of the whole process, helper threads included:"),
    },
)
MEMORY = Unit(
    "bytes",
    1.0,
    "times less",
    {
        "wall": (
            "bytes, traced",
            "Bytes from Python's allocators (tracemalloc), how many times less than asyncio:",
        ),
        "cpu": (
            "bytes of heap",
            "Bytes in use of the C heap, native code's own and the allocator's included:",
        ),
    },
)


@dataclass(slots=True)
class Bench:
    """What one batch works with."""

    make_loop: Callable[[], asyncio.AbstractEventLoop]
    loop: asyncio.AbstractEventLoop
    size: int
    watch: Stopwatch = field(default_factory=Stopwatch)


@dataclass(frozen=True, slots=True)
class Workload:
    """A named batch of `size` operations."""

    name: str
    title: str
    size: int
    run: Callable[[Bench], None]
    pairs: bool = False


class Subject(dict[str, Workload]):
    """The workloads of one file, in the order in which they are written.

    `environment` is what the sampling processes need beside their caller's.
    """

    def __init__(self, unit: Unit = TIME, environment: dict[str, str] | None = None) -> None:
        super().__init__()
        self.unit = unit
        self.environment = environment or {}

    def workload(
        self, title: str, *, size: int, pairs: bool = False
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register the decorated function under its own name; `pairs`: by ``--pairs``, too."""

        def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self[run.__name__] = Workload(run.__name__, title, size, run, pairs)
            return run

        return register

    def take(self, other: Subject, *names: str) -> None:
        """Have workloads of another subject in this one, too."""
        for name in names:
            self[name] = other[name]

"""What a workload is: one function, the same source for every loop.

A workload receives a `Bench`: the loop under test, how many operations to do, and a
stopwatch that it starts and stops around the part that counts. It does one *batch*; the
sampling process repeats the batch and takes the median, so that one preempted batch does
not spoil a sample. Wall time and CPU time are both read: CPU time includes helper threads,
which wall time hides, and is the sounder of the two on a busy machine. What needs a load from
outside is run once instead, for the time that it is given, and leaves both readings itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path
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
class Reading:
    """One of a sample's two readings: what stands above its absolute figures and its ratios.

    A rate is shown by its reciprocal: less time for one is more of them in the same time.
    """

    heading: str
    sentence: str
    scale: float
    rate: bool = False

    def shown(self, value: float) -> float:
        """Return the figure that is shown for a measured value."""
        return self.scale / value if self.rate else self.scale * value


@dataclass(frozen=True, slots=True)
class Unit:
    """What the readings of a sample are, `wall` and mostly `cpu`, and how they are shown."""

    name: str
    ratio: str
    readings: dict[str, Reading]


TIME = Unit(
    "us",
    "times asyncio",
    {
        "wall": Reading(
            "us of wall time",
            "Wall time, how many times as fast as asyncio (~: the quartiles spread over 20 %):",
            1e6,
        ),
        "cpu": Reading(
            "us of cpu time", "CPU time of the whole process, helper threads included:", 1e6
        ),
    },
)
MEMORY = Unit(
    "bytes",
    "times less",
    {
        "wall": Reading(
            "bytes, traced",
            "Bytes from Python's allocators (tracemalloc), how many times less than asyncio:",
            1.0,
        ),
        "cpu": Reading(
            "bytes of heap",
            "Bytes in use of the C heap, native code's own and the allocator's included:",
            1.0,
        ),
    },
)


class UnavailableError(Exception):
    """A workload cannot be measured here, or not of this contender; the text says why."""


@dataclass(slots=True)
class Bench:
    """What one batch works with.

    The rest is for workloads that are run once, which look after time and load themselves.
    `program` serves instead of the loop; `load_cpus` are the processors that are left to the load.
    A workload that had a load leaves in `idle` the part of the time for which that had to wait.
    """

    make_loop: Callable[[], asyncio.AbstractEventLoop]
    loop: asyncio.AbstractEventLoop
    size: int
    watch: Stopwatch = field(default_factory=Stopwatch)
    seconds: float = 0.05
    program: Path | None = None
    load_cpus: frozenset[int] = frozenset()
    idle: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """A named batch of `size` operations, or one that is run `once` and leaves its readings."""

    name: str
    title: str
    size: int
    run: Callable[[Bench], None]
    pairs: bool = False
    once: bool = False
    unit: Unit | None = None


class Subject(dict[str, Workload]):
    """The workloads of one file, in the order in which they are written.

    `environment` is what the sampling processes need beside their caller's, `seconds` what a
    sample lasts, `limits` who is compared beside the event loops.
    """

    def __init__(
        self,
        unit: Unit = TIME,
        environment: dict[str, str] | None = None,
        *,
        seconds: float = 0.2,
        limits: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.unit = unit
        self.environment = environment or {}
        self.seconds = seconds
        self.limits = limits

    def unit_of(self, name: str) -> Unit:
        """Return the unit of a workload: its own, or all the subject's."""
        return self[name].unit or self.unit

    def workload(
        self, title: str, *, size: int, pairs: bool = False
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register the decorated function under its own name; `pairs`: by ``--pairs``, too."""

        def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self[run.__name__] = Workload(run.__name__, title, size, run, pairs)
            return run

        return register

    def once(
        self, title: str, *, unit: Unit | None = None
    ) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        """Register a workload that is run once; its readings are of one operation."""

        def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self[run.__name__] = Workload(run.__name__, title, 1, run, once=True, unit=unit)
            return run

        return register

    def take(self, other: Subject, *names: str) -> None:
        """Have workloads of another subject in this one, too."""
        for name in names:
            self[name] = other[name]

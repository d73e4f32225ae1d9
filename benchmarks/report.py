"""Turn samples into statistics, a Markdown table and a JSON document.

A ratio is taken within a round, loop against asyncio, and reported as the median over the rounds
with its quartiles. Where the quartiles of two loops overlap, this machine could not tell
them apart, and the table says so instead of naming a winner.
"""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.loops import LIMITS, REFERENCE
from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from benchmarks.compare import Run, Sample
    from benchmarks.workload import Reading

QUIET = 0.05
TOO_NOISY = 0.15
LEAST_IDLE = 0.05
BUSY = 0.9


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise at least one value."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    @property
    def relative(self) -> float:
        """Return the interquartile range as a part of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0

    def overlaps(self, other: Spread) -> bool:
        """Tell whether the quartile ranges touch."""
        return self.low <= other.high and other.low <= self.high


def ratio(run: Run, workload: str, name: str, clock: str) -> Spread | None:
    """Return how many times faster than asyncio a loop was, round by round."""
    ours = run.cells[workload, name].samples
    theirs = run.cells[workload, REFERENCE].samples
    pairs = [
        getattr(theirs[number], clock) / getattr(ours[number], clock)
        for number in ours
        if number in theirs and getattr(ours[number], clock) > 0 < getattr(theirs[number], clock)
    ]
    return Spread.of(pairs) if pairs else None


def noise(run: Run) -> tuple[float, str]:
    """Judge the machine by what the same work took in every process."""
    samples = run.samples()
    if not samples:
        return 0.0, "no samples"
    preempted = statistics.median(sample.preempted for sample in samples)
    spread = max(preempted, Spread.of([sample.calibration for sample in samples]).relative)
    if spread < QUIET:
        verdict = "quiet"
    elif spread < TOO_NOISY:
        verdict = "noisy: read differences below 20 % as ties"
    else:
        verdict = "too noisy to tell by wall time; read the CPU times, or repeat on an idle machine"
    return spread, verdict


def machine() -> dict[str, str]:
    """Describe what was measured on."""
    cpu = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    flags = " ".join(str(sysconfig.get_config_var(key)) for key in ("CONFIG_ARGS", "PY_CFLAGS"))
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cpus": str(os.cpu_count()),
        "kernel": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": f"{platform.python_version()} ({' '.join(platform.python_build())})",
        "python_compiler": platform.python_compiler(),
        "python_flags": flags,
    }


def _table(header: list[str], rows: list[list[str]]) -> str:
    marks = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, marks, *rows])


def _ratio_cell(run: Run, workload: str, name: str, clock: str) -> str:
    if run.cells[workload, name].failure is not None:
        return "fails"
    spread = ratio(run, workload, name, clock)
    if spread is None:
        return "-"
    unsure = "~" if spread.relative > 0.2 else ""
    return f"{unsure}{spread.median:.2f}"


def _best(run: Run, workload: str, clock: str) -> str:
    """Name the fastest loop, or those that cannot be told apart from it; limits are no loops."""
    spreads = {
        name: spread
        for name in run.versions
        if name not in LIMITS
        and run.cells[workload, name].failure is None
        and (spread := ratio(run, workload, name, clock)) is not None
    }
    if not spreads:
        return "-"
    first = max(spreads, key=lambda name: spreads[name].median)
    equals = [n for n in spreads if n == first or spreads[n].overlaps(spreads[first])]
    if len(equals) > 3:
        return "cannot tell"
    return " = ".join(sorted(equals, key=lambda name: -spreads[name].median))


def _with_reading(run: Run, clock: str) -> list[str]:
    subject = SUBJECTS[run.subject]
    return [name for name in run.workloads() if clock in subject.unit_of(name).readings]


def ratios_table(run: Run, clock: str) -> str:
    """Return times asyncio, a row a workload, a column a loop."""
    subject = SUBJECTS[run.subject]
    loops = [name for name in run.versions if name != REFERENCE]
    rows = []
    for workload in _with_reading(run, clock):
        cells = [_ratio_cell(run, workload, name, clock) for name in loops]
        rows.append([subject[workload].title, *cells, _best(run, workload, clock)])
    return _table([subject.unit.ratio, *loops, "best"], rows)


def _absolute(samples: dict[int, Sample], clock: str, reading: Reading) -> str:
    values = [getattr(sample, clock) for sample in samples.values()]
    if not values or min(values) <= 0:
        return "-"
    spread = Spread.of([reading.shown(value) for value in values])
    digits = 3 if spread.median < 1 else 2 if spread.median < 100 else 0
    return f"{spread.median:.{digits}f} ±{spread.relative * 50:.0f}%"


def absolute_table(run: Run, clock: str) -> str:
    """Return microseconds (or what else) of each: the median and half the interquartile range.

    A row with a unit of its own says so.
    """
    subject = SUBJECTS[run.subject]
    rows = []
    for workload in _with_reading(run, clock):
        reading = subject.unit_of(workload).readings[clock]
        own = "" if reading is subject.unit.readings[clock] else f" ({reading.heading})"
        cells = [
            _absolute(run.cells[workload, name].samples, clock, reading) for name in run.versions
        ]
        rows.append([subject[workload].title + own, *cells])
    return _table([subject.unit.readings[clock].heading, *run.versions], rows)


def _left_out(run: Run) -> list[str]:
    """Say which cells are empty because a contender, or all, cannot be measured there."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (workload, name), cell in run.cells.items():
        if cell.unavailable is not None:
            reasons.setdefault((name, cell.unavailable), []).append(workload)
    lines: dict[tuple[str, str], list[str]] = {}
    for (name, reason), workloads in reasons.items():
        lines.setdefault((", ".join(workloads), reason), []).append(name)
    return [
        f"\nLeft out: {'all' if len(names) == len(run.versions) else ', '.join(names)}, "
        f"{workloads}: {reason}"
        for (workloads, reason), names in lines.items()
    ]


def _limited_by_load(run: Run) -> list[str]:
    """Name the cells in which the load had no pause and the server had: they are too low."""
    limited = [
        f"{name}, {workload}"
        for (workload, name), cell in run.cells.items()
        if (samples := list(cell.samples.values()))
        and statistics.median(sample.idle for sample in samples) < LEAST_IDLE
        and statistics.median(sample.cpu / sample.wall for sample in samples) < BUSY
    ]
    return [f"\nAs fast as the load allows: {'; '.join(limited)}"] if limited else []


def markdown(run: Run, *, absolute: bool) -> str:
    """Return the whole report."""
    facts = machine()
    spread, verdict = noise(run)
    loads = " ".join(f"{load[0]:.1f}" for load in run.load)
    lines = [
        f"Python {facts['python']}, {facts['kernel']}, {facts['cpus']} x {facts['cpu']}",
        "",
        "; ".join(f"{name} {version}" for name, version in run.versions.items()),
        "",
        f"{run.rounds} rounds, {facts['date']}, malloc {run.malloc}. Load average: {loads}.",
        f"Noise, by the same work in every process: {spread:.0%}: {verdict}.",
    ]
    readings = SUBJECTS[run.subject].unit.readings
    for clock, reading in readings.items():
        lines += ["", reading.sentence, "", ratios_table(run, clock)]
    if absolute:
        for clock in readings:
            lines += ["", absolute_table(run, clock)]
    lines += [f"\nNot measured: {name}: {reason}" for name, reason in run.missing.items()]
    for (workload, name), cell in run.cells.items():
        if cell.failure is not None:
            lines.append(f"\nFailed: {name}, {workload}: {cell.failure}")
    lines += _left_out(run) + _limited_by_load(run)
    return "\n".join(lines) + "\n"


def document(run: Run) -> dict[str, object]:
    """Return all samples and all that is needed to judge them, ready for JSON."""
    spread, verdict = noise(run)
    results = []
    for (workload, name), cell in run.cells.items():
        entry: dict[str, object] = {
            "workload": workload,
            "loop": name,
            "failure": cell.failure,
            "unavailable": cell.unavailable,
            "wall": [sample.wall for sample in cell.samples.values()],
            "cpu": [sample.cpu for sample in cell.samples.values()],
            "load_idle": [sample.idle for sample in cell.samples.values()],
        }
        for clock in ("wall", "cpu"):
            times = ratio(run, workload, name, clock)
            entry[f"times_asyncio_{clock}"] = asdict(times) if times is not None else None
        results.append(entry)
    return {
        "subject": run.subject,
        "machine": machine(),
        "versions": run.versions,
        "missing": run.missing,
        "rounds": run.rounds,
        "malloc": run.malloc,
        "load_average": run.load,
        "noise": {"spread": spread, "verdict": verdict},
        "results": results,
    }

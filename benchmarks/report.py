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

from benchmarks.loops import REFERENCE
from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from benchmarks.compare import Run, Sample

QUIET = 0.05
TOO_NOISY = 0.15


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
        if number in theirs and getattr(ours[number], clock) > 0
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
    """Name the fastest loop, or those that cannot be told apart from it."""
    spreads = {
        name: spread
        for name in run.versions
        if run.cells[workload, name].failure is None
        and (spread := ratio(run, workload, name, clock)) is not None
    }
    if not spreads:
        return "-"
    first = max(spreads, key=lambda name: spreads[name].median)
    equals = [n for n in spreads if n == first or spreads[n].overlaps(spreads[first])]
    if len(equals) > 3:
        return "cannot tell"
    return " = ".join(sorted(equals, key=lambda name: -spreads[name].median))


def ratios_table(run: Run, clock: str) -> str:
    """Return times asyncio, a row a workload, a column a loop."""
    subject = SUBJECTS[run.subject]
    loops = [name for name in run.versions if name != REFERENCE]
    rows = []
    for workload in run.workloads():
        cells = [_ratio_cell(run, workload, name, clock) for name in loops]
        rows.append([subject[workload].title, *cells, _best(run, workload, clock)])
    return _table([subject.unit.ratio, *loops, "best"], rows)


def _absolute(samples: dict[int, Sample], clock: str, scale: float) -> str:
    if not samples:
        return "-"
    spread = Spread.of([getattr(sample, clock) * scale for sample in samples.values()])
    digits = 3 if spread.median < 1 else 2 if spread.median < 100 else 0
    return f"{spread.median:.{digits}f} ±{spread.relative * 50:.0f}%"


def absolute_table(run: Run, clock: str) -> str:
    """Return microseconds (or bytes) of each: the median and half the interquartile range."""
    subject = SUBJECTS[run.subject]
    unit = subject.unit
    rows = [
        [
            subject[workload].title,
            *[
                _absolute(run.cells[workload, name].samples, clock, unit.scale)
                for name in run.versions
            ],
        ]
        for workload in run.workloads()
    ]
    return _table([unit.readings[clock][0], *run.versions], rows)


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
        f"{run.rounds} rounds, {facts['date']}. Load average by round: {loads}.",
        f"Noise, by the same work in every process: {spread:.0%}: {verdict}.",
    ]
    readings = SUBJECTS[run.subject].unit.readings
    for clock, (_, sentence) in readings.items():
        lines += ["", sentence, "", ratios_table(run, clock)]
    if absolute:
        for clock in readings:
            lines += ["", absolute_table(run, clock)]
    lines += [f"\nNot measured: {name}: {reason}" for name, reason in run.missing.items()]
    for (workload, name), cell in run.cells.items():
        if cell.failure is not None:
            lines.append(f"\nFailed: {name}, {workload}: {cell.failure}")
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
            "wall": [sample.wall for sample in cell.samples.values()],
            "cpu": [sample.cpu for sample in cell.samples.values()],
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
        "load_average": run.load,
        "noise": {"spread": spread, "verdict": verdict},
        "results": results,
    }

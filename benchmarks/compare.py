"""Run samples interleaved: round after round, every loop once, in rotated order.

Machines get faster and slower while one measures. When the loops take turns within each round
(A B C, B C A, C A B, ...), drift hits all of them alike, and the ratio to asyncio is taken within
a round, between neighbours in time. Every sample is a fresh process: no loop inherits
another's heap, imports or patched modules.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from benchmarks.loops import CONTENDERS, REFERENCE
from benchmarks.serving import USED
from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLE_TIME_LIMIT = 60.0
# glibc maps each block of 128 KiB or more afresh, until such a block has been freed as large as it
# was. asyncio reads into one of 256 KiB and gives back what it does not need, so that an echo of
# small messages measures mmap (threefold), until a first connection ends: its last read frees the
# block whole. Hence "used", where one has come and gone; a server of datagrams never gets there.
TUNABLES = "GLIBC_TUNABLES"
MALLOC = {
    "plain": {TUNABLES: ""},
    "used": {TUNABLES: "", USED: "1"},
    "tuned": {
        TUNABLES: "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=134217728"
    },
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What an operation took in one process, and what a fixed piece of work took there.

    `wall` and `cpu` are seconds, or what the subject's unit says of them.
    `preempted` is how much longer than its CPU time that took: what others had of the processor.
    `idle` is the part of the time for which a load from outside, where there was one, had to wait.
    """

    wall: float
    cpu: float
    calibration: float
    preempted: float = 0.0
    idle: float = 1.0


@dataclass(slots=True)
class Cell:
    """All samples of one workload on one loop, by round.

    A failure ends the cell, as does the reason for which the loop cannot do what is asked.
    """

    samples: dict[int, Sample] = field(default_factory=dict)
    failure: str | None = None
    unavailable: str | None = None


@dataclass(slots=True)
class Run:
    """A finished comparison."""

    subject: str
    versions: dict[str, str]
    missing: dict[str, str]
    cells: dict[tuple[str, str], Cell]
    rounds: int
    load: list[tuple[float, float, float]]
    malloc: str = "plain"

    def workloads(self) -> list[str]:
        """Return the names of the workloads, in order."""
        return list(dict.fromkeys(workload for workload, _ in self.cells))

    def samples(self) -> list[Sample]:
        """Return the samples of all cells."""
        return [sample for cell in self.cells.values() for sample in cell.samples.values()]


def _child(
    arguments: list[str], time_limit: float, environment: dict[str, str] | None = None
) -> tuple[dict[str, object], str | None]:
    command = [sys.executable, "-m", "benchmarks.sample", *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=time_limit,
            check=False,
            env=os.environ | (environment or {}),
        )
    except subprocess.TimeoutExpired:
        return {}, f"no answer within {time_limit:.0f} s"
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return {}, f"exit status {done.returncode}: {last[:160]}"
    answer: dict[str, object] = json.loads(lines[-1])
    return answer, None


def probe(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Ask each loop for its version; return those that load and why the others do not."""
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in names:
        answer, failure = _child(["version", name], SAMPLE_TIME_LIMIT)
        if failure is None:
            versions[name] = str(answer["version"])
        else:
            missing[name] = failure
    return versions, missing


def rotation(names: list[str], rounds: int) -> Iterator[tuple[int, list[str]]]:
    """Yield each round with its order: A B C, B C A, C A B, A B C, ..."""
    for number in range(rounds):
        shift = number % len(names)
        yield number, names[shift:] + names[:shift]


def _take(cell: Cell, number: int, arguments: list[str], environment: dict[str, str]) -> None:
    if cell.failure is not None or cell.unavailable is not None:
        return
    answer, failure = _child(arguments, SAMPLE_TIME_LIMIT, environment)
    if failure is not None:
        cell.failure = failure
    elif "unavailable" in answer:
        cell.unavailable = str(answer["unavailable"])
    else:
        answer.setdefault("idle", 1.0)
        keys = ("wall", "cpu", "calibration", "preempted", "idle")
        cell.samples[number] = Sample(*[float(str(answer[key])) for key in keys])


def compare(
    subject: str,
    workloads: list[str],
    names: list[str],
    *,
    rounds: int,
    seconds: float,
    progress: TextIO,
    malloc: str = "plain",
) -> Run:
    """Measure every workload on every loop that loads; asyncio is always among them."""
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown:
        raise SystemExit(f"unknown loops: {', '.join(unknown)}; known: {', '.join(CONTENDERS)}")
    wanted = list(dict.fromkeys([REFERENCE, *names]))
    versions, missing = probe(wanted)
    cells = {(w, name): Cell() for w in workloads for name in versions}
    run = Run(subject, versions, missing, cells, rounds, [os.getloadavg()], malloc)
    environment = SUBJECTS[subject].environment | MALLOC[malloc]
    for number, order in rotation(list(versions), rounds):
        for place, workload in enumerate(workloads):
            if progress.isatty():
                print(f"\r\033[Kround {number + 1}/{rounds}: {workload}", end="", file=progress)
                progress.flush()
            shift = place % len(order)
            for name in order[shift:] + order[:shift]:
                arguments = ["run", subject, workload, name, str(seconds)]
                _take(cells[workload, name], number, arguments, environment)
        run.load.append(os.getloadavg())
    if progress.isatty():
        print("\r\033[K", end="", file=progress)
    return run

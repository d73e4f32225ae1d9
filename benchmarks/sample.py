"""One sample: a process that loads one loop, repeats one workload and prints one JSON line.

The first batches warm caches, free lists and the interpreter's specialisation and are thrown
away; the sample is the median of the others. A fixed piece of pure Python is timed before and
after: it is the same work in every process, so its spread over a run, and how much longer it takes
than its CPU time, is the machine's noise and nothing else's.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import sys
import time
from typing import Any

from benchmarks.loops import CONTENDERS, LoopFactory
from benchmarks.subjects import SUBJECTS
from benchmarks.workload import Bench, Stopwatch, Workload

WARM_UP_BATCHES = 2
LEAST_BATCHES = 3
MOST_BATCHES = 1000


def calibrate(watch: Stopwatch) -> None:
    """Time a fixed piece of pure Python, some ten milliseconds, preemption included."""
    with watch:
        total = 0
        for number in range(400_000):
            total += number & 7


def measure(workload: Workload, make_loop: LoopFactory, seconds: float) -> dict[str, Any]:
    """Repeat a workload on one loop and return the readings per operation."""
    loop = make_loop()
    asyncio.set_event_loop(loop)
    walls: list[float] = []
    cpus: list[float] = []
    try:
        for _ in range(WARM_UP_BATCHES):
            workload.run(Bench(make_loop, loop, workload.size))
        gc.collect()
        deadline = time.perf_counter() + seconds
        while len(walls) < LEAST_BATCHES or (
            time.perf_counter() < deadline and len(walls) < MOST_BATCHES
        ):
            bench = Bench(make_loop, loop, workload.size)
            workload.run(bench)
            walls.append(bench.watch.wall / workload.size)
            cpus.append(bench.watch.cpu / workload.size)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return {
        "wall": statistics.median(walls),
        "cpu": statistics.median(cpus),
        "batches": len(walls),
    }


def main(arguments: list[str]) -> None:
    """Answer ``version LOOP`` or ``run SUBJECT WORKLOAD LOOP SECONDS``."""
    match arguments:
        case ["version", loop]:
            contender = CONTENDERS[loop]
            answer: dict[str, Any] = {"version": contender.version()}
            contender.load()().close()
        case ["run", subject, name, loop, seconds]:
            workload = SUBJECTS[subject][name]
            watch = Stopwatch()
            calibrate(watch)
            answer = measure(workload, CONTENDERS[loop].load(), float(seconds))
            calibrate(watch)
            answer["calibration"] = watch.wall
            answer["preempted"] = max(0.0, watch.wall / watch.cpu - 1.0)
        case _:
            raise SystemExit(__doc__)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

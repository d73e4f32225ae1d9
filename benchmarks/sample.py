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
import os
import statistics
import sys
import time
from typing import Any

from benchmarks.loops import CONTENDERS, Contender, LoopFactory
from benchmarks.programs import program
from benchmarks.subjects import SUBJECTS
from benchmarks.workload import Bench, Stopwatch, UnavailableError, Workload

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


def leave_to_load() -> frozenset[int]:
    """Give up the last processor, and name it: the load's own, so that the two never share one."""
    if not hasattr(os, "sched_setaffinity"):
        return frozenset()
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        return frozenset()
    last = frozenset({max(mine)})
    os.sched_setaffinity(0, mine - last)
    return last


def measure_once(workload: Workload, contender: Contender, seconds: float) -> dict[str, Any]:
    """Have a workload measure one contender by itself, for about so many seconds."""
    load_cpus = leave_to_load()
    make_loop = contender.load()
    loop = make_loop()
    asyncio.set_event_loop(loop)
    try:
        bench = Bench(make_loop, loop, workload.size, seconds=seconds, load_cpus=load_cpus)
        if contender.limit is not None:
            bench.program = program(contender.limit)
        gc.collect()
        workload.run(bench)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return {"wall": bench.watch.wall, "cpu": bench.watch.cpu, "batches": 1, "idle": bench.idle}


def sample(workload: Workload, contender: Contender, seconds: float) -> dict[str, Any]:
    """Measure between two readings of the machine's own speed."""
    watch = Stopwatch()
    calibrate(watch)
    try:
        if workload.once:
            answer = measure_once(workload, contender, seconds)
        elif contender.limit is not None:
            raise UnavailableError("runs in Python only")
        else:
            answer = measure(workload, contender.load(), seconds)
    except (UnavailableError, NotImplementedError) as reason:
        return {"unavailable": str(reason) or "not implemented"}
    calibrate(watch)
    answer["calibration"] = watch.wall
    answer["preempted"] = max(0.0, watch.wall / watch.cpu - 1.0)
    return answer


def main(arguments: list[str]) -> None:
    """Answer ``version LOOP`` or ``run SUBJECT WORKLOAD LOOP SECONDS``."""
    match arguments:
        case ["version", loop]:
            contender = CONTENDERS[loop]
            answer: dict[str, Any] = {"version": contender.version()}
            contender.load()().close()
        case ["run", subject, name, loop, seconds]:
            answer = sample(SUBJECTS[subject][name], CONTENDERS[loop], float(seconds))
        case _:
            raise SystemExit(__doc__)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

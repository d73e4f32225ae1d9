"""The subjects by name: one file of workloads each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.combine import COMBINE
from benchmarks.core import CORE
from benchmarks.executors import EXECUTORS
from benchmarks.memory import MEMORY_USE
from benchmarks.net import NET
from benchmarks.process import PROCESS
from benchmarks.sync import SYNC

if TYPE_CHECKING:
    from benchmarks.workload import Subject

SUBJECTS: dict[str, Subject] = {
    "core": CORE,
    "sync": SYNC,
    "combine": COMBINE,
    "memory": MEMORY_USE,
    "net": NET,
    "executors": EXECUTORS,
    "process": PROCESS,
}

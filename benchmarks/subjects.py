"""The subjects by name: one file of workloads each."""

from __future__ import annotations

from benchmarks.core import CORE
from benchmarks.workload import Subject

SUBJECTS: dict[str, Subject] = {"core": CORE}

"""The subjects by name: one file of workloads each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.core import CORE

if TYPE_CHECKING:
    from benchmarks.workload import Subject

SUBJECTS: dict[str, Subject] = {"core": CORE}

"""The registry of divergences: which upstream tests are known not to pass, where, and why.

A row names one test; `versions` and `mode` say where it holds, `outcome` what happens.  "fail":
the test is run, its failure is expected, and if the row is strict an unexpected pass fails the run,
so that a row cannot outlive its reason.  "skip": the test is not run, for it would hang or pass
without testing anything.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .implementation import VERSION

DEFAULT = Path(__file__).with_name("registry.toml")
_MODES = ("plain", "installed", "any")
_OUTCOMES = ("fail", "skip")


@dataclass(frozen=True)
class Row:
    """One known divergence; `test` is the id without the `test.test_asyncio.` prefix."""

    test: str
    reason: str
    versions: tuple[str, ...] = ()  # empty: all
    mode: str = "any"
    outcome: str = "fail"
    strict: bool = True

    def holds(self, version: tuple[int, int], installed: bool) -> bool:
        of_version = not self.versions or "{}.{}".format(*version) in self.versions
        return of_version and self.mode in ("any", "installed" if installed else "plain")


def load(path: Path = DEFAULT) -> list[Row]:
    """Every row of the file, checked: an unknown key or value is an error, not a silent row."""
    rows = []
    for entry in tomllib.loads(path.read_text())["row"]:
        entry["versions"] = tuple(entry.get("versions", ()))
        row = Row(**entry)
        if row.mode not in _MODES or row.outcome not in _OUTCOMES or not row.reason.strip():
            raise ValueError(f"bad row of the registry: {row}")
        rows.append(row)
    return rows


def holding(path: Path, installed: bool) -> dict[str, Row]:
    """The rows that hold for the running interpreter, by test id."""
    return {row.test: row for row in load(path) if row.holds(VERSION, installed)}

"""Judges outcomes by the registry of divergences and prints them.

A registered failure counts as skipped; a strict row whose test passed, and a row whose test no
longer exists in a module that was run in full, count as failures: the registry is to shrink.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .parent import Outcome
    from .registry import Row


@dataclass
class Judgement:
    """The outcomes of one module after the registry had its say."""

    upstream: str
    counts: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    registered: int = 0

    def fail(self, test: str, message: str) -> None:
        self.counts["fail"] += 1
        self.failures[test] = message


def judge(upstream: str, outcomes: dict[str, Outcome], rows: dict[str, Row]) -> Judgement:
    judgement = Judgement(upstream)
    for test, outcome in outcomes.items():
        row = rows.get(test)
        if row is None or outcome.status == "skip":
            if outcome.status == "fail":
                judgement.fail(test, outcome.message)
            else:
                judgement.counts[outcome.status] += 1
        elif outcome.status == "fail":
            judgement.counts["skip"] += 1
            judgement.registered += 1
        elif row.strict:
            judgement.fail(test, f"passed, but the registry says it cannot: {row.reason}")
        else:
            judgement.counts["ok"] += 1
    return judgement


def stale_rows(upstream: str, outcomes: dict[str, Outcome], rows: dict[str, Row]) -> list[str]:
    """Rows of a module run in full that name no test of it."""
    return [
        test
        for test, row in rows.items()
        if test.split(".")[0] == upstream and row.outcome == "fail" and test not in outcomes
    ]


def counts_line(counts: Counter[str]) -> str:
    return f"{counts['ok']} passed, {counts['fail']} failed, {counts['skip']} skipped"


def print_judgement(judgement: Judgement, seconds: float, verbose: bool) -> None:
    for test, message in judgement.failures.items():
        print("FAIL", test)
        last = (message.strip().splitlines() or ["?"])[-1][:180]
        print(message if verbose else f"     {last}")
    if judgement.counts.total():
        counts = judgement.counts
        line = f"{judgement.upstream:24s} {counts['ok']:5d} passed {counts['fail']:4d} failed"
        line += f" {counts['skip']:4d} skipped  {seconds:6.1f} s"
        if judgement.registered:
            line += f"  ({judgement.registered} registered)"
        print(line, flush=True)

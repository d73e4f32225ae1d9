"""Write measured figures into the README and the manual, so that nobody types a number.

A page names a result between ``<!-- figures NAME -->`` and ``<!-- end of figures -->``;
what stands between them is made from ``benchmarks/results/NAME.json``. A test checks that it was.
CPU time is what is published: it bears a loaded machine. The exceptions are a workload that waits,
where waiting is the point, and what is served, how much of it in a second, if the machine was quiet
enough to tell.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from benchmarks.loops import LIMITS, REFERENCE
from benchmarks.report import TOO_NOISY
from benchmarks.subjects import SUBJECTS
from benchmarks.workload import TIME, Unit

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", ROOT / "docs" / "performance.md"]
FIGURES = re.compile(r"(<!-- figures (\S+) -->\n).*?(<!-- end of figures -->)", re.S)
WAITING = {"gil_handover"}


def _times(entry: dict[str, Any], clock: str) -> str:
    """Return how many times as fast as asyncio a loop was, as text."""
    spread = entry[f"times_asyncio_{clock}"]
    if entry["failure"] is not None:
        return "fails"
    if spread is None:
        return "-"
    ratio = spread["median"]
    return f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2f}"


def _with_bold_best(cells: list[str], limits: int) -> list[str]:
    """Mark the best of a row, unless that is most of the row or no better than asyncio.

    The last cells are those of limits, which no loop has to reach.
    """
    loops = cells[: len(cells) - limits]
    best = max((float(cell) for cell in loops if cell not in ("fails", "-")), default=0.0)
    if best <= 1.0 or loops.count(f"{best:.1f}") > 3:
        return cells
    bold = [f"**{cell}**" if cell == f"{best:.1f}" else cell for cell in loops]
    return bold + cells[len(loops) :]


def _clock(result: dict[str, Any], name: str, unit: Unit) -> str:
    """Return which reading of a row is published."""
    if unit is TIME:
        return "wall" if name in WAITING else "cpu"
    # Of memory, what tracemalloc counts.
    noisy = result["noise"]["spread"] >= TOO_NOISY
    return "cpu" if unit.readings["wall"].rate and noisy else "wall"


def table(result: dict[str, Any]) -> str:
    """Return one result as a Markdown table, the fastest loops of each row in bold."""
    subject = SUBJECTS[result["subject"]]
    heading = subject.unit.name
    if subject.unit is not TIME and (clock := _clock(result, "", subject.unit)) != "wall":
        heading = subject.unit.readings[clock].heading
    loops = [name for name in result["versions"] if name != REFERENCE]
    loops.sort(key=lambda name: name in LIMITS)
    limits = sum(name in LIMITS for name in loops)
    lines = [
        f"| {subject.unit.ratio} | asyncio, {heading} | {' | '.join(loops)} |",
        f"| --- | {' | '.join(['---:'] * (len(loops) + 1))} |",
    ]
    entries = {(entry["workload"], entry["loop"]): entry for entry in result["results"]}
    for name, workload in subject.items():
        if (name, REFERENCE) not in entries:
            continue
        clock = _clock(result, name, subject.unit_of(name))
        samples = sorted(entries[name, REFERENCE][clock])
        if not samples:
            continue
        reading = subject.unit_of(name).readings[clock]
        reference = reading.shown(samples[len(samples) // 2])
        digits = 2 if reference < 10 else 0
        own = "" if workload.unit is None else f" {reading.heading}"
        cells = _with_bold_best([_times(entries[name, loop], clock) for loop in loops], limits)
        lines.append(f"| {workload.title} | {reference:.{digits}f}{own} | {' | '.join(cells)} |")
    return "\n".join(lines)


def caption(result: dict[str, Any], name: str) -> str:
    """Say where, when and with what it was measured."""
    machine = result["machine"]
    versions = ", ".join(
        f"{loop} {version}"
        for loop, version in result["versions"].items()
        if loop not in (REFERENCE, "bucle+install")
    )
    malloc = result.get("malloc", "plain")
    how = f", malloc {malloc}" if malloc != "plain" else ""
    how += ", beside other work" if result["noise"]["spread"] >= TOO_NOISY else ""
    text = (
        f"Python {machine['python'].split()[0]}, {machine['kernel']}, {machine['cpus']} x "
        f"{machine['cpu']}{how}, {machine['date'][:10]}, medians of {result['rounds']} rounds "
        f"({versions}; every sample is in `benchmarks/results/{name}.json`)."
    )
    return textwrap.fill(text, 100, break_on_hyphens=False)


def figures(name: str) -> str:
    """Return what a page shows of one result."""
    result = json.loads((RESULTS / f"{name}.json").read_text())
    return f"\n{table(result)}\n\n{caption(result, name)}\n\n"


def with_figures(text: str) -> str:
    """Return a page with all its figures renewed."""
    return FIGURES.sub(lambda found: found[1] + figures(found[2]) + found[3], text)


def main() -> None:
    """Renew all pages."""
    for page in PAGES:
        page.write_text(with_figures(page.read_text()))

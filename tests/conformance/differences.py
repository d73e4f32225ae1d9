"""Differences from asyncio that users can meet: rows of the registry, written into the pages.

A page shows them between ``<!-- differences KIND -->`` and ``<!-- end of differences -->``: "all",
"short" (the README's), or "upstream", the tests of CPython's that are known not to pass. Each row
names the test that shows it; that test fails when the difference is gone. Run as a module, this
writes the pages; a test checks that they are written.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .registry import DEFAULT, load

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "differences.md")
SECTION = re.compile(r"(<!-- differences (\w+) -->\n).*?(<!-- end of differences -->)", re.S)


@dataclass(frozen=True)
class Difference:
    """One row: what asyncio does, what bucle does, and the test that tells them apart."""

    subject: str
    asyncio: str
    bucle: str
    test: str  # "tests/unit/loop/test_polling.py::test_name"
    short: bool = False  # in the README too


def load_differences(path: Path = DEFAULT) -> list[Difference]:
    """Every row, in the order of the file; an unknown key is an error."""
    return [Difference(**entry) for entry in tomllib.loads(path.read_text())["difference"]]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def section(kind: str) -> str:
    """The text of one section."""
    if kind == "upstream":
        rows = [
            (f"`{row.test}`", ", ".join(row.versions) or "all", row.mode, row.reason)
            for row in load()
        ]
        return _table(("test", "versions", "mode", "why"), rows)
    if kind not in ("all", "short"):
        raise ValueError(f"no such list of differences: {kind}")
    return _table(
        ("subject", "asyncio", "bucle"),
        [
            (row.subject, row.asyncio, row.bucle)
            for row in load_differences()
            if row.short or kind == "all"
        ],
    )


def written(text: str) -> str:
    """The text of a page with its sections as the registry has them."""
    return SECTION.sub(lambda found: found[1] + section(found[2]) + found[3], text)


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        page.write_text(written(page.read_text()))


if __name__ == "__main__":
    main()

"""Every code block of the README and of the docs is run, so that none can rot.

A Python block is a program of its own. A console block says in a comment above it whether it is run
(``<!-- run -->``: what it prints is compared, ``...`` standing for anything) or only shown
(``<!-- shown: why -->``); a block without either fails, as does a language that nobody checks.
``<!-- needs: asyncio.TaskGroup -->`` skips a block where the interpreter lacks that name.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<marks>(?:<!--[^\n]*-->\n+)*)```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S
)
MARK = re.compile(r"<!-- *(?P<verb>run|shown|needs)(?:: *(?P<argument>.*?))? *-->")
CHECKED_ELSEWHERE = {"text", "toml", "ini", "cpp", "{toctree}", "{include} ../CONTRIBUTING.md"}


@dataclass(frozen=True)
class Block:
    """One fenced block with the marks above it."""

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str]

    def __str__(self) -> str:
        """Name the test."""
        return f"{self.page}:{self.line}"

    def skip_unless_supported(self) -> None:
        """Skip where a needed name is missing."""
        needed = self.marks.get("needs")
        if needed is not None:
            module, _, name = needed.rpartition(".")
            if not hasattr(importlib.import_module(module), name):
                pytest.skip(f"this interpreter has no {needed}")


def pages() -> list[Path]:
    """Return the README and all pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """Cut a page into its blocks."""
    text = page.read_text()
    found = []
    for match in FENCE.finditer(text):
        marks = {m["verb"]: m["argument"] or "" for m in MARK.finditer(match["marks"])}
        line = text.count("\n", 0, match.start("language")) + 1
        name = str(page.relative_to(ROOT))
        found.append(Block(name, line, match["language"].strip(), match["text"], marks))
    return found


BLOCKS = [block for page in pages() for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
CONSOLE = [block for block in BLOCKS if block.language == "console" and "run" in block.marks]


def environment() -> dict[str, str]:
    """Let `python` mean this interpreter, find this bucle and the examples' modules."""
    paths = [entry for entry in sys.path if entry]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(paths),
        "NO_COLOR": "1",
    }


def as_pattern(expected: str) -> str:
    """Turn expected output into a pattern: `...` stands for anything."""
    return ".*?".join(re.escape(part) for part in expected.split("...")) + r"\s*\Z"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_fence_is_seen(page: Path) -> None:
    """The pattern above finds all fences; one that it missed would never be run."""
    fences = re.findall(r"^```", page.read_text(), re.M)
    assert len(fences) == 2 * len(blocks_of(page))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_says_how_it_is_checked(block: Block) -> None:
    """No block escapes by accident."""
    if block.language == "console":
        assert ("run" in block.marks) != ("shown" in block.marks)
        assert block.marks.get("shown") != ""
    else:
        assert block.language == "python" or block.language in CHECKED_ELSEWHERE
        assert "shown" not in block.marks


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_block_runs(block: Block, tmp_path: Path) -> None:
    """A Python block is a whole program that ends well and warns of nothing."""
    block.skip_unless_supported()
    program = tmp_path / "block.py"
    program.write_text(block.text)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    expected = re.findall(r"# prints: (.*)", block.text)
    assert expected == [] or done.stdout.splitlines() == expected


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_console_block_prints_what_it_shows(block: Block, tmp_path: Path) -> None:
    """Each command of a console block succeeds and prints the lines below it."""
    block.skip_unless_supported()
    steps = re.split(r"^\$ ", block.text, flags=re.M)[1:]
    assert steps, "a console block begins with a command"
    for step in steps:
        command, _, expected = step.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        if expected.strip():
            assert re.match(as_pattern(expected.strip()), done.stdout, re.S), done.stdout


def test_readme_is_short() -> None:
    """The README stays a page that one reads."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200

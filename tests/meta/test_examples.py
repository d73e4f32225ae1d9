"""Every example runs, prints what it promises, and none is forgotten here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

EXPECTED = {
    "hello.py": r"hello, world\nhello, loop\nfrom bucle\.\S*\n",
    "timers.py": r"first, second, third\nnever early: True\n",
    "threads.py": r"\[0, 1, 4, 9, 16\]\nthe loop answered 42\n",
    "eager_tasks.py": (r"cached: True 42\nother:  False 8\n|eager tasks need Python 3\.12\n"),
    "debug_mode.py": (
        r"RuntimeError: Non-thread-safe operation invoked on an event loop other than the current "
        r"one\nWARNING: Executing <.*sleep\(0\.03\).*> took 0\.\d+ seconds\n"
    ),
}


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a command line with this bucle in reach."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **variables},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_no_example_is_forgotten() -> None:
    """A new file in examples/ needs a row above."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {*EXPECTED, "tour.py"}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("options", [[], ["-m", "bucle"]], ids=["python", "python -m bucle"])
def test_example_prints_what_it_promises(name: str, options: list[str]) -> None:
    """The output is the promised one, and nothing is complained about."""
    done = run("-W", "error", *options, str(EXAMPLES / name))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(EXPECTED[name], done.stdout), done.stdout
    assert done.stderr == ""


def test_tour_shows_native_types_and_figures() -> None:
    """All five kinds are native under `python -m bucle`, and every measurement has its row."""
    done = run("-m", "bucle", str(EXAMPLES / "tour.py"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("bucle ")
    assert re.findall(r"^  (\w+) +native", done.stdout, re.M) == [
        "loop",
        "task",
        "future",
        "handle",
        "timer",
    ]
    assert "is not an" not in done.stdout
    assert len(re.findall(r"\d times ", done.stdout)) == 6
    assert "\033" not in done.stdout


def test_tour_draws_without_block_characters() -> None:
    """An ASCII terminal gets bars too."""
    done = run("-m", "bucle", str(EXAMPLES / "tour.py"), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "###" in done.stdout


def test_tour_under_plain_python_tells_the_truth() -> None:
    """Without `-m bucle` the running loop is the standard library's, and the tour says so."""
    done = run(str(EXAMPLES / "tour.py"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"loop +stock", done.stdout)

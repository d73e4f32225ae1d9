"""The benchmark harness itself: its order, its statistics, and that every workload runs.

Figures are not judged here: no test depends on how fast anything is.
"""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import publish
from benchmarks.compare import Cell, Run, Sample, compare, rotation
from benchmarks.loops import CONTENDERS, DEFAULT, REFERENCE, Contender
from benchmarks.report import Spread, document, markdown, noise, ratio, ratios_table
from benchmarks.subjects import SUBJECTS
from benchmarks.workload import Bench

ROOT = Path(__file__).resolve().parents[2]


def made_run(walls: dict[str, list[float]], calibration: list[float] | None = None) -> Run:
    """Make up a run of one workload from wall times by loop."""
    rounds = len(walls[REFERENCE])
    same = calibration or [1.0] * rounds
    cells = {
        ("call_soon", name): Cell(
            {number: Sample(wall, wall, same[number]) for number, wall in enumerate(times)}
        )
        for name, times in walls.items()
    }
    return Run("core", dict.fromkeys(walls, "1"), {}, cells, rounds, [(0.0, 0.0, 0.0)])


def test_loops_take_turns() -> None:
    """Within three rounds of three loops each is once first, once second and once last."""
    orders = [order for _, order in rotation(["A", "B", "C"], 4)]
    assert orders == [["A", "B", "C"], ["B", "C", "A"], ["C", "A", "B"], ["A", "B", "C"]]


def test_ratio_is_taken_within_a_round() -> None:
    """A machine that slows down to a third meanwhile changes no ratio."""
    run = made_run({REFERENCE: [4.0, 8.0, 12.0], "bucle": [1.0, 2.0, 3.0]})
    assert ratio(run, "call_soon", "bucle", "wall") == Spread(4.0, 4.0, 4.0)


def test_ratio_uses_only_rounds_that_both_finished() -> None:
    """A sample without its partner is left out."""
    run = made_run({REFERENCE: [4.0, 8.0, 12.0], "bucle": [1.0]})
    assert ratio(run, "call_soon", "bucle", "wall") == Spread(4.0, 4.0, 4.0)


def test_clear_winner_is_named() -> None:
    """The fastest loop stands in the last column."""
    run = made_run({REFERENCE: [4.0] * 4, "uvloop": [2.0] * 4, "bucle": [1.0] * 4})
    assert ratios_table(run, "wall").splitlines()[-1].endswith("| 2.00 | 4.00 | bucle |")


def test_overlapping_quartiles_are_a_tie() -> None:
    """Two loops that the machine cannot tell apart are both named."""
    run = made_run(
        {
            REFERENCE: [4.0] * 4,
            "uvloop": [0.95, 1.05, 1.0, 1.1],
            "bucle": [1.0, 1.1, 0.9, 1.0],
        }
    )
    assert ratios_table(run, "wall").splitlines()[-1].endswith("| bucle = uvloop |")


def test_wide_spread_is_marked() -> None:
    """A ratio that swings is not printed as if it were certain."""
    run = made_run({REFERENCE: [4.0] * 4, "bucle": [1.0, 2.0, 1.0, 2.0]})
    assert "~" in ratios_table(run, "wall").splitlines()[-1]


@pytest.mark.parametrize(
    ("calibration", "verdict"),
    [
        ([1.0, 1.0, 1.01, 1.0], "quiet"),
        ([1.0, 1.1, 1.0, 1.1], "noisy"),
        ([1.0, 2.0, 1.0, 2.0], "too noisy to tell"),
    ],
)
def test_noise_is_judged_by_the_same_work(calibration: list[float], verdict: str) -> None:
    """The verdict follows the spread of the fixed piece of work."""
    run = made_run({REFERENCE: [1.0] * 4}, calibration)
    assert noise(run)[1].startswith(verdict)
    assert verdict in markdown(run, absolute=False)


def test_preempted_processes_are_noise() -> None:
    """The same wall time everywhere is no comfort where half of it went to others."""
    run = made_run({REFERENCE: [1.0] * 4})
    for sample in run.samples():
        object.__setattr__(sample, "preempted", 0.5)
    assert noise(run)[1].startswith("too noisy to tell")


def test_failed_cell_is_shown_with_its_reason() -> None:
    """A loop that fails a workload is neither fastest nor silent."""
    run = made_run({REFERENCE: [4.0] * 4, "uvloop": [1.0] * 4})
    run.cells["call_soon", "uvloop"].failure = "exit status 1: boom"
    report = markdown(run, absolute=True)
    assert "| fails | asyncio |" in report
    assert "Failed: uvloop, call_soon: exit status 1: boom" in report


@pytest.mark.parametrize("page", publish.PAGES, ids=lambda page: page.name)
def test_published_figures_are_the_measured_ones(page: Path) -> None:
    """Nobody typed a number: `python -m benchmarks publish` would change nothing."""
    text = page.read_text()
    assert publish.FIGURES.search(text)
    assert publish.with_figures(text) == text


def test_missing_loop_is_reported() -> None:
    """A loop that does not load is named, and the others are measured."""
    CONTENDERS["no such loop"] = Contender("no such loop", None, lambda: asyncio.SelectorEventLoop)
    try:
        run = compare(
            "core", ["call_soon"], ["no such loop"], rounds=1, seconds=0.0, progress=io.StringIO()
        )
    finally:
        del CONTENDERS["no such loop"]
    assert list(run.versions) == [REFERENCE]
    assert "no such loop" in run.missing
    assert len(run.cells["call_soon", REFERENCE].samples) == 1


def test_a_subject_says_what_its_figures_are() -> None:
    """Bytes are neither called microseconds nor scaled like them."""
    reference = {("queue", REFERENCE): Cell({0: Sample(3000.0, 3200.0, 1.0)})}
    run = Run("memory", {REFERENCE: "1"}, {}, reference, 1, [(0.0, 0.0, 0.0)])
    report = markdown(run, absolute=True)
    assert "| bytes of heap | asyncio |" in report
    assert "| a Queue | 3200 ±0% |" in report
    assert "us of" not in report


def test_a_subject_can_need_an_environment() -> None:
    """What weighs memory has Python take all of it where it is weighed."""
    run = compare("memory", ["future"], [REFERENCE], rounds=1, seconds=0.0, progress=io.StringIO())
    (sample,) = run.samples()
    assert sample.wall > 100
    assert sample.cpu > 100


def test_pairs_have_workloads_of_their_own() -> None:
    """`--pairs` finds some of each subject's where pairs differ in speed."""
    for subject in ("core", "sync", "combine"):
        marked = [workload.pairs for workload in SUBJECTS[subject].values()]
        assert any(marked)
        assert not all(marked)


def test_document_keeps_every_sample() -> None:
    """The JSON has all samples and what is needed to judge them."""
    run = made_run({REFERENCE: [4.0, 8.0], "bucle": [1.0, 2.0]})
    answer = json.loads(json.dumps(document(run)))
    assert answer["results"][1]["wall"] == [1.0, 2.0]
    assert answer["results"][1]["times_asyncio_wall"]["median"] == 4.0
    assert {"cpu", "kernel", "libc", "python", "python_flags"} <= answer["machine"].keys()


# The rows of the network have tests of their own.
@pytest.mark.parametrize(
    ("subject", "name"),
    [(subject, name) for subject in SUBJECTS if subject != "net" for name in SUBJECTS[subject]],
)
def test_workload_measures_something_and_leaves_nothing(subject: str, name: str) -> None:
    """Each workload runs on stock asyncio, measures a part of itself and leaves no task behind."""
    workload = SUBJECTS[subject][name]
    loop = asyncio.SelectorEventLoop()
    try:
        bench = Bench(asyncio.SelectorEventLoop, loop, max(1, workload.size // 10))
        if workload.size >= 5_000:
            bench.size = workload.size  # thousands and hundreds are units of some
        workload.run(bench)
        assert bench.watch.wall > 0
        assert bench.watch.cpu > 0
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.close()


@pytest.mark.parametrize("name", ["asyncio", "bucle", "bucle+install"])
def test_sample_process_answers(name: str) -> None:
    """A sampling process of each of our own contenders prints one JSON line."""
    assert name in DEFAULT
    command = [sys.executable, "-m", "benchmarks.sample", "run", "core", "create_task", name, "0"]
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {
        "wall",
        "cpu",
        "batches",
        "calibration",
        "preempted",
    }

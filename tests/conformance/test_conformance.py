"""CPython's own core modules pass on the native types and loop, plain and installed.

One test an upstream module, so that they run in parallel; what is known to differ is a row of
registry.toml.  BUCLE_MODULES=all adds the modules that need connections, as does `python -m
tests.conformance`; CI does so on one version.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

from tests.conformance import registry
from tests.conformance.modules import SETS
from tests.conformance.parent import ModuleRun, Options, Outcome
from tests.conformance.report import judge, stale_rows

pytestmark = pytest.mark.conformance

MODULES = SETS[os.environ.get("BUCLE_MODULES") or "core"]


def _has_upstream(module: str) -> bool:
    try:
        return importlib.util.find_spec(f"test.test_asyncio.{module}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", ["plain", "installed"])
@pytest.mark.parametrize("module", MODULES)
def test_module(module: str, mode: str) -> None:
    if not _has_upstream("test_tasks"):
        pytest.skip("this interpreter came without test.test_asyncio")
    if not _has_upstream(module):
        pytest.skip(f"this version has no {module}")
    rows = registry.holding(registry.DEFAULT, installed=mode == "installed")
    skipped = tuple(test for test, row in rows.items() if row.outcome == "skip")
    options = Options("bucle", install=mode == "installed", excluded=skipped)
    outcomes = ModuleRun(module, options).run().outcomes
    judgement = judge(module, outcomes, rows)
    assert not judgement.failures, "\n".join(
        f"{test}: {message[-1500:]}" for test, message in judgement.failures.items()
    )
    assert judgement.counts["ok"], "no test of the module ran"
    assert not stale_rows(module, outcomes, rows)


def test_every_row_names_a_module_of_the_sets() -> None:
    rows = registry.load()
    assert {row.test.split(".")[0] for row in rows} <= set(SETS["all"])
    assert len({(row.test, row.versions, row.mode) for row in rows}) == len(rows)


def test_a_strict_row_fails_the_run_when_its_test_passes() -> None:
    row = registry.Row("test_x.C.test_a", "cannot pass")
    lenient = registry.Row("test_x.C.test_b", "sometimes passes", strict=False)
    rows = {row.test: row, lenient.test: lenient}
    passed = {test: Outcome("ok") for test in rows}
    judgement = judge("test_x", passed, rows)
    assert list(judgement.failures) == [row.test]
    failed = {test: Outcome("fail") for test in rows}
    assert not judge("test_x", failed, rows).failures
    assert stale_rows("test_x", {}, {row.test: row}) == [row.test]

"""The child process: runs the cases of one upstream module and reports each test as a JSON line.

A child is started once a module and again after a test that killed or hung it.  Two guards end a
test that does not: SIGALRM raises in it (tests that use SIGALRM themselves are spared), and the
parent aborts a child that says nothing for too long.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import importlib
import json
import os
import signal
import sys
import time
import traceback
import unittest
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from . import recipes_loop, recipes_types
from .deriving import Case, generic
from .implementation import AsyncioProxy, Implementation
from .modules import PREFIX

# These use SIGALRM or ITIMER_REAL themselves: only the parent's limit guards them.
OWN_ALARM = (
    "test_add_signal_handler",
    "test_signal_handling_while_selecting",
    "test_signal_handling_args",
    "test_fork_signal_handling",
)

Emit = Callable[[dict[str, Any]], None]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class SoftTimeout(Exception):
    """Raised inside a test that outlived its limit."""


class StreamingResult(unittest.TestResult):
    """Reports every test at its start and at its end, so that a death has a name."""

    def __init__(self, emit: Emit, limit: float) -> None:
        super().__init__()
        self._emit = emit
        self._limit = limit
        self._status = ""  # empty while no test runs: errors of class set-up land there
        self._message = ""
        self._started = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._status, self._message, self._started = "ok", "", time.monotonic()
        self._emit({"event": "start", "id": test.id()})
        if not test.id().rsplit(".", 1)[-1].startswith(OWN_ALARM):
            signal.signal(signal.SIGALRM, self._on_alarm)
            signal.setitimer(signal.ITIMER_REAL, self._limit)

    def _on_alarm(self, *_: object) -> None:
        raise SoftTimeout(f"no end after {self._limit} s")

    def stopTest(self, test: unittest.TestCase) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = round(time.monotonic() - self._started, 3)
        self._report(test, self._status, self._message, seconds)
        self._status = ""
        super().stopTest(test)

    def _report(self, test: Any, status: str, message: str, seconds: float) -> None:
        record = {"id": test.id(), "status": status, "seconds": seconds}
        self._emit({"event": "result", "message": message[-3000:], **record})

    def _fail(self, error: ExcInfo) -> None:
        self._status = "fail"
        self._message += "".join(traceback.format_exception(*error))

    def addError(self, test: unittest.TestCase, err: ExcInfo) -> None:
        if self._status:
            self._fail(err)
        else:
            self._report(test, "fail", "".join(traceback.format_exception(*err)), 0)

    def addFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:
        self._fail(err)

    def addSubTest(
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: ExcInfo | None
    ) -> None:
        if err is not None:
            self._fail(err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        if self._status:
            self._status, self._message = "skip", reason

    def addExpectedFailure(self, test: unittest.TestCase, err: ExcInfo) -> None:
        self._status = "ok"

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._status, self._message = "fail", "unexpected success"


def _tolerant_close_loop(stock: Callable[[Any], None]) -> Any:
    """upstream's close_loop reads loop._default_executor, which no loop is obliged to have."""

    def close_loop(loop: Any) -> None:
        if hasattr(loop, "_default_executor"):
            stock(loop)
            return
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    return staticmethod(close_loop)


def build_cases(name: str, impl: Implementation) -> list[Case] | None:
    """The cases of one upstream module; None where this interpreter does not have it."""
    try:
        module: Any = importlib.import_module(PREFIX + name)
        utils: Any = importlib.import_module(PREFIX + "utils")
    except (ImportError, unittest.SkipTest):
        return None
    utils.TestCase.close_loop = _tolerant_close_loop(utils.TestCase.close_loop)
    if impl.overrides and getattr(module, "asyncio", None) is asyncio:
        module.asyncio = AsyncioProxy(impl.overrides)
    for override, value in impl.overrides.items():  # names taken by `from asyncio import X`
        stock = getattr(asyncio, override, None)
        if override in vars(module) and vars(module)[override] is stock:
            setattr(module, override, value)
    recipe: Any = getattr(recipes_types, name, None) or getattr(recipes_loop, name, generic)
    cases: list[Case] = recipe(module, impl)
    return cases


def run(options: argparse.Namespace) -> None:
    out = os.fdopen(options.fd, "w", buffering=1)

    def emit(record: dict[str, Any]) -> None:
        out.write(json.dumps(record) + "\n")
        out.flush()

    faulthandler.enable()
    # A background job inherits an ignored SIGINT, which the tests of interrupts do not expect.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    cases = build_cases(options.upstream, Implementation(options.module, install=options.install))
    if cases is None:
        emit({"event": "absent"})
        return
    done = set(json.loads(Path(options.done).read_text()))
    result = StreamingResult(emit, options.timeout)
    for case in cases:
        names = unittest.defaultTestLoader.getTestCaseNames(case)
        tests = [
            test
            for test in map(case, names)
            if test.id() not in done and options.match in test.id()
        ]
        if options.list:
            for test in tests:
                emit({"event": "list", "id": test.id()})
        elif tests:
            unittest.TestSuite(tests).run(result)
    emit({"event": "end"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream")
    parser.add_argument("--module", required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--done", required=True)
    parser.add_argument("--timeout", type=float, required=True)
    parser.add_argument("--match", default="")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    sys.argv[1:] = []
    run(options)


if __name__ == "__main__":
    main()

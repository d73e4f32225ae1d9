"""The parent's side of one upstream module: starts children until every test has an outcome.

A child that dies or falls silent costs exactly one test, the one it had begun; the next child goes
on after it.  Restarts are bounded, and a module that gives up says so as a failure of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .modules import PREFIX, short_id

ROOT = Path(__file__).resolve().parents[2]
_MAX_RESTARTS = 60


@dataclass(frozen=True)
class Options:
    """What a child has to know, and the tests that it must not run."""

    module: str
    install: bool = False
    timeout: float = 30.0
    match: str = ""
    list_only: bool = False
    excluded: tuple[str, ...] = ()

    def command(self, upstream: str, fd: int, done: Path) -> list[str]:
        command = [sys.executable, "-W", "ignore", "-m", "tests.conformance.child", upstream]
        command += ["--module", self.module, "--fd", str(fd), "--done", str(done)]
        command += ["--timeout", str(self.timeout), "--match", self.match]
        command += ["--install"] * self.install + ["--list"] * self.list_only
        return command


@dataclass
class Outcome:
    status: str  # ok, fail or skip
    message: str = ""
    seconds: float = 0.0


@dataclass
class ModuleRun:
    """All that is known of one upstream module so far."""

    upstream: str
    options: Options
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    absent: bool = False
    _running: str | None = None
    _ended: bool = False

    def run(self) -> ModuleRun:
        for _ in range(_MAX_RESTARTS):
            code, log = self._run_child()
            if self._ended:
                return self
            if self._running is not None:
                text = f"process died or hung in this test (rc {code})\n{log}"
                self.outcomes[self._running] = Outcome("fail", text)
                self._running = None
            else:
                place = f"{self.upstream}: child died between tests (rc {code})"
                if place in self.outcomes:  # twice at the same place: no progress
                    return self
                self.outcomes[place] = Outcome("fail", log)
        self.outcomes[f"{self.upstream}: gave up after {_MAX_RESTARTS} restarts"] = Outcome("fail")
        return self

    def _run_child(self) -> tuple[int, str]:
        """One child from start to end; its return code and the end of what it printed."""
        reader, writer = os.pipe()
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
            done = Path(folder, "done.json")
            finished = [PREFIX + test for test in (*self.options.excluded, *self.outcomes)]
            done.write_text(json.dumps(finished))
            paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
            child = subprocess.Popen(
                self.options.command(self.upstream, writer, done),
                pass_fds=(writer,),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1", "PYTHONPATH": ":".join(paths)},
            )
            os.close(writer)
            with os.fdopen(reader, "rb", buffering=0) as pipe:
                self._follow(pipe, child)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
            code = child.wait()
            return code, _tail(log)

    def _follow(self, pipe: IO[bytes], child: subprocess.Popen[bytes]) -> None:
        """Reads the child's records until it closes the pipe or is silent for too long."""
        patience = 2 * self.options.timeout + 10
        heard, rest = time.monotonic(), b""
        while True:
            if select.select([pipe], [], [], 1.0)[0]:
                chunk = pipe.read(65536)
                if not chunk:
                    return
                heard = time.monotonic()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._note(json.loads(line))
            elif time.monotonic() - heard > patience:
                child.send_signal(signal.SIGABRT)  # faulthandler prints where it hung
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(5)
                    return
                child.kill()
                return

    def _note(self, record: dict[str, Any]) -> None:
        event, test = record["event"], short_id(record.get("id", ""))
        if event == "start":
            self._running = test
        elif event == "result":
            self.outcomes[test] = Outcome(record["status"], record["message"], record["seconds"])
            self._running = None
        elif event == "list":
            self.listed.append(test)
        else:
            self._ended = True
            self.absent = event == "absent"


def _tail(log: IO[str]) -> str:
    log.seek(0)
    return log.read()[-2500:]

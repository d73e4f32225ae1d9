"""What the tests of subprocesses share: which children there are, and how to start some quickly.

Nothing waits for a fixed time: children say on a pipe when they are ready, or end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import pytest

from tests.support import BEFORE_MENDED
from tests.unit.net.peers import Noting

EARLY_POPEN = pytest.mark.skipif(
    BEFORE_MENDED, reason="early 3.11's Popen leaves its pipes open where the start fails"
)
EARLY_PROTOCOL = pytest.mark.skipif(
    BEFORE_MENDED, reason="early 3.11's protocol reports a broken stdin that nobody waited for"
)

PIPE = asyncio.subprocess.PIPE
STDOUT = asyncio.subprocess.STDOUT
DEVNULL = asyncio.subprocess.DEVNULL


def children() -> dict[int, str]:
    """The children of this process, the dead ones too: number, name and state ("Z": a zombie)."""
    found: dict[int, str] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                before, _, after = file.read().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent = after.split()[:2]
        if int(parent) == os.getpid():
            found[int(name)] = f"{before.partition('(')[2]} {state}"
    return found


def is_zombie(pid: int) -> bool:
    return children().get(pid, "").endswith(" Z")


def waiting_threads() -> list[threading.Thread]:
    """The threads that wait for a child's end."""
    return [each for each in threading.enumerate() if each.name.startswith("asyncio-waitpid")]


def python(source: str) -> tuple[str, ...]:
    """The command that runs a piece of Python as soon as possible."""
    return (sys.executable, "-I", "-S", "-c", source)


async def execute(*command: Any, **keywords: Any) -> Any:
    """asyncio's Process, as `Any`."""
    return await asyncio.create_subprocess_exec(*command, **keywords)


async def shell(command: str, **keywords: Any) -> Any:
    return await asyncio.create_subprocess_shell(command, **keywords)


async def sleeping(**keywords: Any) -> Any:
    """A child that does nothing for long, and has begun to."""
    process = await execute("sh", "-c", "echo ready; exec sleep 1000", stdout=PIPE, **keywords)
    assert await process.stdout.readline() == b"ready\n"
    return process


class Witness(Noting, asyncio.SubprocessProtocol):
    """Notes its calls, and what each pipe brought."""

    def __init__(self) -> None:
        super().__init__()
        self.data: dict[int, bytes] = {}
        self.ends: dict[int, Exception | None] = {}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.data[fd] = self.data.get(fd, b"") + data
        self.note("data")

    def pipe_connection_lost(self, fd: int, error: Exception | None) -> None:
        self.ends[fd] = error
        self.note(f"end of {fd}")

    def process_exited(self) -> None:
        self.note("exited")

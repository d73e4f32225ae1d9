"""What every test needs: the two implementations, a world made of them, scripts in subprocesses.

Stock asyncio is the control: a test is written once and holds for both, so that a wrong
expectation fails on the control first.  A world pairs the types of one implementation with a loop
of either, for a native Task must work on a foreign loop and a stock Task on ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

ROOT = Path(__file__).resolve().parents[1]
VERSION = sys.version_info[:2]
SANITIZED = "ASAN_OPTIONS" in os.environ
# Debian 12 has 3.11.2, whose asyncio lacks what 3.11.7 mended in timeouts, pausing and writers.
BEFORE_MENDED = sys.version_info < (3, 11, 7)


@dataclass(frozen=True)
class Implementation:
    """Future, Task, Handle and loop of one kind."""

    name: str
    Future: Any
    Task: Any
    Handle: Any
    TimerHandle: Any
    new_loop: Callable[[], Any]

    @property
    def native(self) -> bool:
        return self.name == "bucle"

    @property
    def api(self) -> Any:
        return library(self.name)


# Taken before anything can install(): the control must stay stock.
STOCK = Implementation(
    "stock",
    asyncio.Future,
    asyncio.Task,
    asyncio.Handle,
    asyncio.TimerHandle,
    asyncio.SelectorEventLoop,
)


STOCK_NAMES = SimpleNamespace(**vars(asyncio))


def library(name: str) -> Any:
    """By asyncio's names: asyncio as it was before anything could install(), or bucle."""
    if name == "stock":
        return STOCK_NAMES
    import bucle

    return bucle


def implementation(name: str) -> Implementation:
    if name == "stock":
        return STOCK
    import bucle

    return Implementation(
        "bucle",
        bucle.Future,
        bucle.Task,
        bucle.Handle,
        bucle.TimerHandle,
        bucle.new_event_loop,
    )


def turn(loop: Any, times: int = 1) -> None:
    """So many turns of the loop: what is ready now runs, what that makes ready does not."""
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()


class Driven:
    """A loop that a test drives; what its exception handler saw is in `errors`."""

    def __init__(self, loops: Implementation) -> None:
        self.loop = loops.new_loop()
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))

    def turn(self, times: int = 1) -> None:
        turn(self.loop, times)

    def take_errors(self) -> list[dict[str, Any]]:
        """The contexts seen so far; a test that expects some must take them."""
        taken, self.errors[:] = list(self.errors), []
        return taken

    def close(self) -> None:
        self.loop.close()


AnyDriven = TypeVar("AnyDriven", bound=Driven)


@contextlib.contextmanager
def without_reports(made: AnyDriven) -> Iterator[AnyDriven]:
    """For the time of a test, which fails if anything was reported that it did not take."""
    try:
        yield made
        assert not made.errors, f"reported to the exception handler: {made.errors[:3]}"
    finally:
        made.close()
        collect()


class World(Driven):
    """Types of one implementation on a loop of one."""

    def __init__(self, types: str, loop: str) -> None:
        self.types = implementation(types)
        self.loops = implementation(loop)
        super().__init__(self.loops)

    @property
    def api(self) -> Any:
        """The locks, queues and functions that go with this world's tasks."""
        return self.types.api

    def future(self) -> Any:
        return self.types.Future(loop=self.loop)

    def task(self, coro: Any, **kwargs: Any) -> Any:
        return self.types.Task(coro, loop=self.loop, **kwargs)

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine to its end as a task of this world's types."""
        return self.loop.run_until_complete(self.task(coro))


def world(types: str, loop: str) -> contextlib.AbstractContextManager[World]:
    return without_reports(World(types, loop))


def unix_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets, both non-blocking."""
    one, other = socket.socketpair()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


Outcome = tuple[str, str, str]


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Outcome:
    """What a call did, in a form that can be compared between implementations."""
    try:
        value = call(*args, **kwargs)
    except BaseException as error:
        return ("raised", type(error).__name__, str(error))
    return ("returned", type(value).__name__, repr(value))


def collect() -> None:
    """Collects twice: objects that finalizers of the first pass let go are found by the second."""
    gc.collect()
    gc.collect()


def run_script(
    source: str,
    *arguments: str,
    impl: str = "bucle",
    timeout: float = 60,
    options: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a script in a fresh interpreter, which sees tests.support and bucle.

    The script's first line binds `impl` to the implementation asked for.
    """
    prelude = f"from tests.support import implementation; impl = implementation({impl!r})\n"
    # The caller's path first: under a sanitizer it leads to another build of the extension.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT / "python")]
    return subprocess.run(
        [sys.executable, *options, "-c", prelude + textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYTHONPATH": ":".join(paths)} | (env or {}),
        cwd=ROOT,
    )


def check_script(source: str, *arguments: str, **options: Any) -> str:
    """Runs a script that must end well and say nothing on stderr; returns what it printed."""
    done = run_script(source, *arguments, **options)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == "", done.stderr
    return done.stdout

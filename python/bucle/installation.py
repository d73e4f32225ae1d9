"""`install()` and `uninstall()`: make the names that programs take from asyncio native, and back.

Invariant: after `uninstall()` every name holds the very object that it held before `install()`,
except those which somebody else re-pointed in between: these are left as they are. Both are
idempotent and may be called from any thread. Native types are subclasses of the stock ones and
answer `isinstance` for them, so it does not matter who imported a stock name earlier.
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import Any

from . import _compat

# Where asyncio defines what we have a form of our own of; bucle has it under the same name. Names
# that the running version lacks are passed over, and so are those where asyncio's own function does
# all there is to do (see tests/unit/package/test_names.py).
NAMES: dict[str, tuple[str, ...]] = {
    "asyncio.futures": ("Future", "wrap_future"),
    "asyncio.tasks": (
        "Task",
        "all_tasks",
        "as_completed",
        "create_task",
        "current_task",
        "eager_task_factory",
        "ensure_future",
        "gather",
        "run_coroutine_threadsafe",
        "shield",
        "sleep",
        "wait",
        "wait_for",
    ),
    "asyncio.locks": (
        "Barrier",
        "BoundedSemaphore",
        "Condition",
        "Event",
        "Lock",
        "Semaphore",
    ),
    "asyncio.queues": ("LifoQueue", "PriorityQueue", "Queue"),
    "asyncio.streams": (
        "StreamReader",
        "StreamReaderProtocol",
        "StreamWriter",
        "open_connection",
        "open_unix_connection",
        "start_server",
        "start_unix_server",
    ),
    "asyncio.timeouts": ("Timeout", "timeout", "timeout_at"),
    "asyncio.taskgroups": ("TaskGroup",),
    "asyncio.threads": ("to_thread",),
}

# EventLoop (3.13+) is "the most efficient loop of the platform"; SelectorEventLoop asks for a
# selector, and is left alone. Where there is a policy, that is asked for new loops.
LOOP_NAMES: dict[str, tuple[str, ...]] = {
    "asyncio.unix_events": ("EventLoop",),
    "asyncio.events": () if _compat.HAS_POLICIES else ("new_event_loop",),
}


def native_form(name: str) -> Any:
    """What stands for a name of asyncio."""
    import bucle

    return bucle.Loop if name == "EventLoop" else getattr(bucle, name)


class _Installation:
    """What is installed now, and what to put back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop_installed = False
        self._names_installed = False
        # Module, name, what it held before, what it holds now.
        self._swapped: list[tuple[Any, str, Any, Any]] = []
        self._stock_policy: Any = None
        self._native_policy: Any = None

    def install(self, *, loop_only: bool) -> None:
        with self._lock:
            try:
                if not self._loop_installed:
                    self._swap(LOOP_NAMES)
                    self._set_policy()
                    self._loop_installed = True
                if not loop_only and not self._names_installed:
                    self._swap(NAMES)
                    self._names_installed = True
            except BaseException:
                self._put_back()
                raise

    def _swap(self, table: dict[str, tuple[str, ...]]) -> None:
        """Re-point the names wherever asyncio itself holds them."""
        stock = {
            name: getattr(defining, name)
            for defining, names in ((importlib.import_module(path), table[path]) for path in table)
            for name in names
            if hasattr(defining, name) and native_form(name) is not getattr(defining, name)
        }
        for path, module in sorted(sys.modules.items()):
            if path != "asyncio" and not path.startswith("asyncio."):
                continue
            for name, value in stock.items():
                if vars(module).get(name) is value:
                    native = native_form(name)
                    self._swapped.append((module, name, value, native))
                    setattr(module, name, native)

    def _set_policy(self) -> None:
        if _compat.HAS_POLICIES:
            from .policy import EventLoopPolicy

            self._stock_policy = _compat.current_policy()
            self._native_policy = EventLoopPolicy()
            _compat.set_policy(self._native_policy)

    def uninstall(self) -> None:
        with self._lock:
            self._put_back()

    def _put_back(self) -> None:
        for module, name, stock, native in self._swapped:
            if getattr(module, name, None) is native:
                setattr(module, name, stock)
        if self._native_policy is not None and _compat.current_policy() is self._native_policy:
            _compat.set_policy(self._stock_policy)
        self._swapped = []
        self._stock_policy = self._native_policy = None
        self._loop_installed = self._names_installed = False


_installation = _Installation()


def install(*, loop_only: bool = False) -> None:
    """Make asyncio native: its loops, and all the names that have a native form.

    With `loop_only` the names stay asyncio's; a native loop still makes native futures, tasks and
    handles. Called again without it, the names follow.
    """
    _installation.install(loop_only=loop_only)


def uninstall() -> None:
    """Put back all that `install()` replaced."""
    _installation.uninstall()

"""`install()` and `uninstall()`: make the names that programs take from asyncio native, and back.

Invariant: after `uninstall()` every name holds the very object that it held before `install()`,
except those which somebody else re-pointed in between: these are left as they are. Both are
idempotent and may be called from any thread. Native types are subclasses of the stock ones and
answer `isinstance` for them, so it does not matter who imported a stock name earlier.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

from . import _compat, _core, eager, runner

# A name of asyncio, the modules that hold it (where they have it), what takes its place.
# EventLoop (3.13+) is "the most efficient loop of the platform"; SelectorEventLoop asks for a
# selector, and is left alone.
_REPLACEMENTS: list[tuple[str, tuple[str, ...], Any]] = [
    ("Future", ("asyncio", "asyncio.futures"), _core.Future),
    ("Task", ("asyncio", "asyncio.tasks"), _core.Task),
    ("eager_task_factory", ("asyncio", "asyncio.tasks"), eager.eager_task_factory),
    ("EventLoop", ("asyncio", "asyncio.unix_events"), _core.Loop),
]
if not _compat.HAS_POLICIES:
    _REPLACEMENTS += [
        ("new_event_loop", ("asyncio", "asyncio.events"), runner.new_event_loop),
    ]


class _Installation:
    """What is installed now, and what to put back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Module, name, what it held before, what it holds now.
        self._swapped: list[tuple[Any, str, Any, Any]] | None = None
        self._stock_policy: Any = None
        self._native_policy: Any = None

    def install(self) -> None:
        with self._lock:
            if self._swapped is not None:
                return
            swapped = []
            for name, modules, native in _REPLACEMENTS:
                for module in map(importlib.import_module, modules):
                    if hasattr(module, name):
                        swapped.append((module, name, getattr(module, name), native))
                        setattr(module, name, native)
            if _compat.HAS_POLICIES:
                from .policy import EventLoopPolicy

                self._stock_policy = _compat.current_policy()
                self._native_policy = EventLoopPolicy()
                _compat.set_policy(self._native_policy)
            self._swapped = swapped

    def uninstall(self) -> None:
        with self._lock:
            if self._swapped is None:
                return
            for module, name, stock, native in self._swapped:
                if getattr(module, name) is native:
                    setattr(module, name, stock)
            if _compat.HAS_POLICIES and _compat.current_policy() is self._native_policy:
                _compat.set_policy(self._stock_policy)
            self._swapped = self._stock_policy = self._native_policy = None


_installation = _Installation()


def install() -> None:
    """Make asyncio native: the loops it makes, and `asyncio.Future` and `asyncio.Task`."""
    _installation.install()


def uninstall() -> None:
    """Put back all that `install()` replaced."""
    _installation.uninstall()

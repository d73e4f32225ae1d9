"""`add_signal_handler` and `remove_signal_handler` of the native loop.

The checks and texts are asyncio's. What differs is the way of a signal: the interpreter writes its
number to one wake-up pair a process (not one a loop), the core hands the bytes to `_deliver`, and
the owner table says which loop they are for. So a signal that arrives while its loop is stopped
waits in that loop's queue, even when another loop ran and read the bytes in between.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import sys
import warnings
import weakref
from asyncio import coroutines
from typing import TYPE_CHECKING, Any

from . import _core

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from ._core import Loop

# Weak: a loop that is dropped without close() must not live on because it had a handler.
_owners: dict[int, weakref.ref[Loop]] = {}


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Stand in as a Python-level handler: without one no number is written to the pair."""


def _deliver(data: bytes) -> None:
    """Queue the handlers of the signals whose numbers arrived, on the loops that own them."""
    for signum in data:
        owner = _owners.get(signum)
        loop = owner() if owner is not None else None
        if loop is not None and not loop.is_closed():
            loop._handle_signal(signum)


# The public name is deprecated from 3.14 on, where the library itself uses the private one.
_is_coroutine_function: Callable[[object], bool] = vars(coroutines).get(
    "_iscoroutinefunction", vars(coroutines)["iscoroutinefunction"]
)


def _release(self: Loop, signum: int) -> None:
    """Forget that the loop owns a signal, and give up the wake-up pair with the last one."""
    owner = _owners.get(signum)
    if owner is not None and owner() in (self, None):
        del _owners[signum]
    if any(owner() is not None for owner in _owners.values()):
        return
    _core.claim_wakeup_fd(False)
    if asyncio._get_running_loop() is None:
        # Nothing runs that would take the pair back at its end; a stranger's pair stays.
        current = signal.set_wakeup_fd(-1)
        if current not in (-1, _core.signal_wakeup_fd()):
            signal.set_wakeup_fd(current)


def _set_handler(sig: int, handler: Any) -> None:
    try:
        signal.signal(sig, handler)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise RuntimeError(f"sig {sig} cannot be caught") from error
        raise


def check_signal(self: Loop, sig: object) -> None:
    """Refuse what is no signal number, as asyncio does."""
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")


def add_signal_handler(self: Loop, sig: int, callback: Any, *args: Any) -> None:
    """Call `callback(*args)` on the loop whenever the signal arrives."""
    if asyncio.iscoroutine(callback) or _is_coroutine_function(callback):
        raise TypeError("coroutines cannot be used with add_signal_handler()")
    self._check_signal(sig)
    self._check_closed()
    try:
        # Early, because it refuses any thread but the main one.
        signal.set_wakeup_fd(_core.signal_wakeup_fd())
    except (ValueError, OSError) as error:
        raise RuntimeError(str(error)) from error
    self._signal_handlers[sig] = asyncio.Handle(callback, args, self, None)
    _owners[sig] = weakref.ref(self)
    _core.claim_wakeup_fd(True)
    try:
        _set_handler(sig, _ignore)
        # SA_RESTART, so that system calls of other code are not cut short.
        signal.siginterrupt(sig, False)
    except (RuntimeError, OSError):
        del self._signal_handlers[sig]
        _release(self, sig)
        raise


def remove_signal_handler(self: Loop, sig: int) -> bool:
    """Remove the handler of a signal; tell whether there was one."""
    self._check_signal(sig)
    try:
        del self._signal_handlers[sig]
    except KeyError:
        return False
    try:
        _set_handler(sig, signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL)
    finally:
        _release(self, sig)
    return True


def handle_signal(self: Loop, sig: int) -> None:
    """Queue the handler of a signal that arrived."""
    handle: Any = self._signal_handlers.get(sig)
    if handle is None:
        return  # Removed while the number was on its way.
    if handle.cancelled():
        self.remove_signal_handler(sig)
    else:
        # The handle itself stays in the table: it serves every later signal as well.
        self.call_soon_threadsafe(handle._callback, *handle._args, context=handle._context)


def remove_all(self: Loop) -> None:
    """Give back every signal of a loop that is being closed."""
    if "_signal_handlers" not in self.__dict__:
        return
    if sys.is_finalizing():
        if self._signal_handlers:
            warnings.warn(
                f"Closing the loop {self!r} on interpreter shutdown stage, "
                f"skipping signal handlers removal",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            self._signal_handlers.clear()
        return
    for sig in list(self._signal_handlers):
        self.remove_signal_handler(sig)


def forget_after_fork() -> None:
    """In a forked child no loop of the parent runs: what it owned is nobody's."""
    _owners.clear()


_core.set_signal_dispatcher(_deliver)

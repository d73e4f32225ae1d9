"""Completes `_core.Loop`: attaches all that runs per connection, per loop or per process.

What is not native yet is the running interpreter's own code: the plain functions of asyncio's three
loop classes, which work on any loop that offers their few private names. So it has the running
version's exact semantics, on native scheduling, futures, tasks and readiness callbacks.
Invariant: a name that the core defines is never replaced, and making a loop makes none of the
containers that only some loops need.
"""

from __future__ import annotations

import inspect
import os
import selectors
import types
import weakref
from asyncio import base_events, selector_events, unix_events
from asyncio.log import logger
from socket import AF_UNIX
from typing import TYPE_CHECKING, Any

from . import _network, _processes, _signals
from ._core import Loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

# Later ones override earlier ones, as their inheritance does.
_DONORS: tuple[type[Any], ...] = (
    base_events.BaseEventLoop,
    selector_events.BaseSelectorEventLoop,
    vars(unix_events)["_UnixSelectorEventLoop"],
)

# The machinery of a selector loop, which the core replaces as a whole: lifecycle, the turn, the
# queues and the self-pipe. Borrowed, these would act on queues that nobody drains.
_MACHINERY = frozenset(
    [
        *("__init__", "__del__", "__repr__", "close", "_run_once", "_run_forever_setup"),
        *("_run_forever_cleanup", "_set_coroutine_origin_tracking", "_process_events"),
        *("_make_self_pipe", "_close_self_pipe", "_read_from_self", "_write_to_self"),
        *("_process_self_data", "_call_soon", "_add_callback", "_add_callback_signalsafe"),
    ]
)


class _MadeWhenNeeded:
    """A container of the loop that is made when it is first asked for, then an attribute."""

    def __init__(self, name: str, factory: Callable[[], Any]) -> None:
        self._name = name
        self._factory = factory

    def __get__(self, loop: Any, owner: type[Any]) -> Any:
        if loop is None:
            return self
        # setdefault: another thread may be here as well (debug logging of a transport).
        return loop.__dict__.setdefault(self._name, self._factory())


class _TransportTable(_MadeWhenNeeded):
    """asyncio's table of who has which descriptor: native transports tell the loop instead.

    Under another name it is asked for without being made: that would make the loop's dict, and
    the interpreter specialises calls of a method only while there is none.
    """

    def __get__(self, loop: Any, owner: type[Any]) -> Any:
        made = super().__get__(loop, owner)
        if loop is not None:
            loop._made_transports = made
        return made


class _Watched:
    """What transports ask of a loop's selector when they print themselves: is my fd polled?"""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def get_key(self, fd: int) -> selectors.SelectorKey:
        events = self._loop._watched_events(fd)
        if not events:
            raise KeyError(f"{fd} is not registered")
        return selectors.SelectorKey(fd, fd, events, None)


def _selector(self: Loop) -> _Watched | None:
    return None if self.is_closed() else _Watched(self)


def _stop_serving(self: Loop, sock: socket) -> None:
    """Close a listening socket; a Unix one that is still ours on disk is unlinked (3.13+)."""
    inode = self._unix_server_sockets.pop(sock, None) if sock.family == AF_UNIX else None
    path = sock.getsockname() if inode is not None else None
    self._remove_reader(sock.fileno())
    sock.close()
    if path is None:
        return
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        logger.error("Unable to clean up listening UNIX socket %r: %r", path, error)


def _close_resources(self: Loop) -> None:
    """Do what closing a loop means beyond its queues: executor and signal handlers."""
    self._executor_shutdown_called = True
    executor = self._default_executor
    if executor is not None:
        self._default_executor = None
        executor.shutdown(wait=False)
    _signals.remove_all(self)


_OWN_METHODS: dict[str, Callable[..., Any]] = {
    "_stop_serving": _stop_serving,
    "_close_resources": _close_resources,
    "_check_signal": _signals.check_signal,
    "_handle_signal": _signals.handle_signal,
    "add_signal_handler": _signals.add_signal_handler,
    "remove_signal_handler": _signals.remove_signal_handler,
    **_network.METHODS,
    **_processes.METHODS,
}

_DEFAULTS: dict[str, Any] = {
    "_exception_handler": None,
    "_asyncgens_shutdown_called": False,
    "_made_transports": types.MappingProxyType({}),
}

_CONTAINERS: dict[str, Callable[[], Any]] = {
    "_asyncgens": weakref.WeakSet,
    "_transports": weakref.WeakValueDictionary,
    "_signal_handlers": dict,
    "_unix_server_sockets": dict,
}


def _borrowed_methods() -> dict[str, Callable[..., Any]]:
    """The donors' plain functions that the native loop needs, by name."""
    methods: dict[str, Callable[..., Any]] = {}
    for donor in _DONORS:
        methods.update((n, f) for n, f in vars(donor).items() if inspect.isfunction(f))
    return {name: method for name, method in methods.items() if name not in _MACHINERY}


def _attach() -> None:
    native = frozenset(vars(Loop))
    attributes: dict[str, Any] = {**_borrowed_methods(), **_OWN_METHODS, **_DEFAULTS}
    attributes |= {name: _MadeWhenNeeded(name, make) for name, make in _CONTAINERS.items()}
    attributes["_transports"] = _TransportTable("_transports", _CONTAINERS["_transports"])
    attributes["_selector"] = property(_selector)
    for name in attributes.keys() - native:
        setattr(Loop, name, attributes[name])


_attach()

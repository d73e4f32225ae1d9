"""Answers `import uvloop` with the native loop, for programs that name uvloop themselves.

Explicit, never automatic: `python -m bucle --as-uvloop`, or `activate()` before the program's
imports. The module has uvloop's public names with uvloop's signatures; a real uvloop that was
imported before keeps working for whoever holds it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import bucle

if TYPE_CHECKING:
    from collections.abc import Coroutine

# The uvloop whose interface this is; what programs compare against their minimum.
_ANSWERED_VERSION = "0.23.0"


class _Module(ModuleType):
    """The stand-in; the policy is looked up late, as it is in bucle itself."""

    def __getattr__(self, name: str) -> Any:
        if name == "EventLoopPolicy":
            return bucle.EventLoopPolicy
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _run(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
    """Run a coroutine on a native loop; uvloop's order of keywords does not matter here."""
    return bucle.run(main, **options)


def _new_module(name: str, **attributes: Any) -> ModuleType:
    module = _Module(name, "uvloop's names, answered by bucle.")
    # Programs probe with importlib.util.find_spec(), which wants a spec of what is imported.
    module.__spec__ = ModuleSpec(name, loader=None, is_package=name == "uvloop")
    vars(module).update(attributes)
    return module


def activate() -> ModuleType:
    """Put a module named uvloop into `sys.modules` and return it."""
    present = sys.modules.get("uvloop")
    if isinstance(present, _Module):
        return present
    submodule = _new_module("uvloop.loop", Loop=bucle.Loop)
    module = _new_module(
        "uvloop",
        Loop=bucle.Loop,
        __all__=("EventLoopPolicy", "install", "new_event_loop", "run"),
        __path__=[],
        __version__=_ANSWERED_VERSION,
        install=bucle.install,
        loop=submodule,
        new_event_loop=bucle.new_event_loop,
        run=_run,
    )
    sys.modules["uvloop"] = module
    sys.modules["uvloop.loop"] = submodule
    return module

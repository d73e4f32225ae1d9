"""`python -m bucle info`: versions, libuv, what is native, and the import-time self-test.

What a bug report needs and what answers "is it really used?"; one fact a line, or JSON.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from typing import Any

import bucle

from . import _compat, _core, installation

# Made by a loop, not taken from asyncio by name; what is, stands in installation.NAMES.
_MADE_BY_A_LOOP = ("Loop", "Handle", "TimerHandle")


def collect() -> dict[str, Any]:
    """All facts, as JSON can hold them."""
    version = platform.python_version()
    return {
        "bucle": bucle.__version__,
        "python": f"{platform.python_implementation()} {version}",
        "executable": sys.executable,
        "platform": platform.platform(),
        "libuv": bucle.libuv_version(),
        "extension": _core.__file__,
        "profile_guided": _core.profile_guided,
        "native": {name: _origin(name) for name in _native_names()},
        "standard_library": ["what runs once a connection", "TLS", "subprocesses"],
        "event_loop_policy": _compat.HAS_POLICIES,
        "self_test": _core.self_test(),
    }


def _native_names() -> list[str]:
    names = [
        name
        for path, names in installation.NAMES.items()
        for name in names
        for stock in (getattr(importlib.import_module(path), name, None),)
        if stock is not None and installation.native_form(name) is not stock
    ]
    return [*_MADE_BY_A_LOOP, *names]


def _origin(name: str) -> str:
    """The name in the standard library of what ours stands for."""
    native = getattr(bucle, name)
    if isinstance(native, type):
        base = next(base for base in native.__mro__ if base.__module__ != native.__module__)
        return f"{base.__module__}.{base.__qualname__}"
    return f"asyncio.{name}"


def show(*, as_json: bool) -> None:
    """Print the facts."""
    facts = collect()
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2, default=str) + "\n")
        return
    test = facts["self_test"]
    verdict = "passed" if test["registered_tasks"] else "tasks stay unregistered"
    lines = {
        "bucle": facts["bucle"],
        "python": f"{facts['python']} ({facts['executable']})",
        "libuv": facts["libuv"],
        "extension": facts["extension"],
        "built": "profile-guided" if facts["profile_guided"] else "without a profile",
        "native": ", ".join(sorted(facts["native"], key=str.lower)),
        "from asyncio": ", ".join(facts["standard_library"]),
        "policy": "bucle.EventLoopPolicy" if facts["event_loop_policy"] else "none in this Python",
        "self-test": f"{verdict}: {test['reason']}" if test["reason"] else verdict,
    }
    width = max(map(len, lines)) + 2
    for name, value in lines.items():
        sys.stdout.write(f"{name:<{width}}{value}\n")

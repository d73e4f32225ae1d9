"""`python -m bucle info`: versions, libuv, what is native, and the import-time self-test.

What a bug report needs and what answers "is it really used?"; one fact a line, or JSON.
"""

from __future__ import annotations

import json
import platform
import sys
from typing import Any

import bucle

from . import _compat, _core

_NATIVE_TYPES = ("Loop", "Future", "Task", "Handle", "TimerHandle")


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
        "native": {name: _origin(getattr(bucle, name)) for name in _NATIVE_TYPES},
        "standard_library": ["transports", "servers", "subprocesses", "TLS", "sync", "streams"],
        "event_loop_policy": _compat.HAS_POLICIES,
        "self_test": _core.self_test(),
    }


def _origin(kind: type[Any]) -> str:
    base = kind.__mro__[1]
    return f"{base.__module__}.{base.__qualname__}"


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
        "native": ", ".join(facts["native"]),
        "from asyncio": ", ".join(facts["standard_library"]),
        "policy": "bucle.EventLoopPolicy" if facts["event_loop_policy"] else "none in this Python",
        "self-test": f"{verdict}: {test['reason']}" if test["reason"] else verdict,
    }
    width = max(map(len, lines)) + 2
    for name, value in lines.items():
        sys.stdout.write(f"{name:<{width}}{value}\n")

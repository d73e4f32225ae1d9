"""`EventLoopPolicy`: the running version's default policy, making native loops.

Invariant: nothing but the loop that is made differs. What `get_event_loop` does without a loop
(make one, warn, raise) is the standard library's answer, since programs are written for that one.
"""

from __future__ import annotations

from typing import Any

from . import _compat
from ._core import Loop

_Default: Any = _compat.default_policy_class()

if _Default is None:
    raise ImportError("this version of Python has no event loop policies; use bucle.run")


class EventLoopPolicy(_Default):  # type: ignore[misc]
    """asyncio's default event loop policy, whose loops are native."""

    _loop_factory = Loop

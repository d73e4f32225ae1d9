"""The combinators whose form depends on the running version, as `bucle` offers them.

`as_completed` is a generator function up to 3.12: there a generator stands around the native
iterator. `current_task` is C in asyncio itself from 3.12 on: it is taken as it is.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

from . import _core

as_completed: Any = _core.as_completed

if inspect.isgeneratorfunction(asyncio.as_completed):
    _iterate = as_completed

    @functools.wraps(_iterate)
    def _as_generator(fs: Any, *, timeout: float | None = None) -> Any:
        yield from _iterate(fs, timeout=timeout)

    as_completed = _as_generator

current_task: Any = vars(_core).get("current_task", asyncio.current_task)

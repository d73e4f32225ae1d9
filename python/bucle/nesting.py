"""`allow_nesting(loop)`: run a loop inside one of its own callbacks or tasks.

For synchronous code that has to wait for a coroutine while the loop runs already: notebooks, and
libraries with a synchronous face. Off unless asked for, loop by loop, since it lets callbacks come
between two lines of code that expects none. What may run where is decided in the core
(src/loop/nesting.cpp).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

from ._core import Loop

if TYPE_CHECKING:
    from collections.abc import Coroutine

_T = TypeVar("_T")


def allow_nesting(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop's run_until_complete() and run_forever() be called while it runs.

    Inside a callback or a task of that loop, in its own thread; inside the methods of a transport's
    protocol it stays a RuntimeError. From then on bucle.run() there runs its coroutine on that
    loop, too.
    """
    if not isinstance(loop, Loop):
        raise TypeError(f"a loop of bucle's was expected, got {loop!r}")
    loop._may_nest = True


def nests(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether allow_nesting() was called with the loop."""
    return isinstance(loop, Loop) and loop._may_nest


def run_inside(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on the loop that runs already; it has ended when this returns or raises."""
    task = asyncio.ensure_future(main, loop=loop)
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():  # stop(), or an interrupt
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                loop.run_until_complete(task)

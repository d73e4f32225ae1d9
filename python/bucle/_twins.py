"""The few functions of Python that native code is made from.

A native function takes its signature and documentation from its twin in asyncio (see
`src/py/function.hpp`); where the running version has none, the twin is here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def await_anything(awaitable: Awaitable[Any]) -> Any:
    """Await what is neither a coroutine nor a future, by the interpreter's own rules."""
    return await awaitable


def shutdown(self: Any, immediate: bool = False) -> None:
    """Let every further put() raise QueueShutDown, and get() once the queue is empty.

    With `immediate` the queue is emptied first, and what was in it counts as done.
    """


class _AsCompletedIterator:
    """What `as_completed()` iterates by; asyncio has it from 3.13 on."""

    async def _wait_for_one(self, resolve: bool = False) -> Any:
        """Wait for the next future to end; give its result if `resolve`, else the future."""

    async def __anext__(self) -> Any:
        """Wait for the next future to end."""

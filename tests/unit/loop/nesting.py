"""What the tests of nested runs share: the loop's refusals and coroutines that take some turns."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support import outcome

RUNNING = ("raised", "RuntimeError", "This event loop is already running")
OTHER = ("raised", "RuntimeError", "Cannot run the event loop while another loop is running")
STOPPED = ("raised", "RuntimeError", "Event loop stopped before Future completed.")
IN_PROTOCOL = (
    "raised",
    "RuntimeError",
    "The event loop cannot be run inside a method of a transport's protocol",
)


async def value_of(value: Any, turns: int = 3) -> Any:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


def closed(coroutine: Any, call: Any) -> Any:
    """What a call made of a coroutine that it is to refuse."""
    seen = outcome(call, coroutine)
    coroutine.close()
    return seen

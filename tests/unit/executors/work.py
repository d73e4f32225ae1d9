"""What workers of other processes and interpreters run; found by its name, whoever starts them."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

from tests.support import implementation


def add(one: int, other: int) -> int:
    return one + other


def fail(text: str) -> None:
    raise ValueError(text)


def end(status: int) -> None:
    os._exit(status)


async def _answer(value: Any) -> Any:
    """Wait by a timer, for a thread of an executor and for another thread's call."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0.001)
    in_thread = await loop.run_in_executor(None, add, value, 1)
    told = loop.create_future()
    threading.Thread(
        target=lambda: (
            threading.Event().wait(0.005),
            loop.call_soon_threadsafe(told.set_result, in_thread),
        )
    ).start()
    return await told


def run_loop(name: str, value: int) -> tuple[bool, int]:
    """Whether no loop ran here, and what a new loop of the implementation came to."""
    alone = asyncio._get_running_loop() is None
    loop = implementation(name).new_loop()
    try:
        found = loop.run_until_complete(_answer(value))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    return alone, found


def run_loops(name: str, value: int) -> list[tuple[bool, int]]:
    """The same three times, one after the other, in what may be a worker that was used before."""
    return [run_loop(name, value + number) for number in range(3)]


def send_loops(channel: Any, name: str) -> None:
    """run_loops() in a process that was given a pipe."""
    channel.send(run_loops(name, 1))

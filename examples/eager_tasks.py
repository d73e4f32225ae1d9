"""Eager tasks (Python 3.12 and later): a task runs at once, up to its first real wait.

A coroutine that never has to wait, such as one whose answer is cached, then costs no turn of
the loop at all. `asyncio.eager_task_factory` works as it is; the tasks it makes are native.
"""

import asyncio

import bucle

cache = {"answer": 42}


async def look_up(key: str) -> int:
    """Answer from the cache at once, or after a while."""
    if key not in cache:
        await asyncio.sleep(0.01)
        cache[key] = len(key)
    return cache[key]


async def main() -> None:
    """Ask for something cached and for something else."""
    loop = asyncio.get_running_loop()
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        print("eager tasks need Python 3.12")
        return
    loop.set_task_factory(factory)

    cached = asyncio.create_task(look_up("answer"))
    other = asyncio.create_task(look_up("question"))
    print("cached:", cached.done(), cached.result())
    print("other: ", other.done(), await other)


if __name__ == "__main__":
    bucle.run(main())

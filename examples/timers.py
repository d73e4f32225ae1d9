"""Timers: ordered by deadline, never early, cheap to cancel.

A program with many timeouts schedules far more timers than ever fire. Here ten thousand are
scheduled and cancelled, and three fire, in the order of their deadlines.
"""

import asyncio

import bucle


async def main() -> None:
    """Schedule, cancel, and wait for the rest."""
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    start = loop.time()

    for delay, name in ((0.03, "third"), (0.01, "first"), (0.02, "second")):
        loop.call_at(start + delay, fired.append, name)
    for handle in [loop.call_later(60, fired.append, "never") for _ in range(10_000)]:
        handle.cancel()

    async with asyncio.timeout(5):
        while len(fired) < 3:
            await asyncio.sleep(0.005)

    print(", ".join(fired))
    print("never early:", loop.time() - start >= 0.03)


if __name__ == "__main__":
    bucle.run(main())

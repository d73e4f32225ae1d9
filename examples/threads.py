"""Threads: blocking work goes out to a thread, results come back thread-safely.

Only two functions of a loop may be called from another thread: `call_soon_threadsafe` and, on top
of it, `asyncio.run_coroutine_threadsafe`.
"""

import asyncio
import threading

import bucle


def blocking_square(number: int) -> int:
    """Stand for something that blocks."""
    return number * number


async def double(number: int) -> int:
    """Stand for something that only the loop's thread may do."""
    await asyncio.sleep(0)
    return number * 2


def worker(loop: asyncio.AbstractEventLoop, done: "asyncio.Future[str]") -> None:
    """Use the loop from outside."""
    answer = asyncio.run_coroutine_threadsafe(double(21), loop).result(timeout=5)
    loop.call_soon_threadsafe(done.set_result, f"the loop answered {answer}")


async def main() -> None:
    """Send work to threads, and let a thread send work here."""
    print(await asyncio.gather(*[asyncio.to_thread(blocking_square, n) for n in range(5)]))

    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()
    thread = threading.Thread(target=worker, args=(loop, done))
    thread.start()
    print(await done)
    thread.join()


if __name__ == "__main__":
    bucle.run(main())

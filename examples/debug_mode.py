"""Debug mode: the loop says what is slow and what is called from the wrong thread.

The same as asyncio's, text for text: pass ``debug=True``, or set PYTHONASYNCIODEBUG=1, or run
``python -X dev``. It costs nothing when it is off.
"""

import asyncio
import logging
import sys
import threading
import time

import bucle


def call_from_wrong_thread(loop: asyncio.AbstractEventLoop) -> None:
    """Use call_soon where only call_soon_threadsafe is allowed."""
    try:
        loop.call_soon(print, "never printed")
    except RuntimeError as error:
        print("RuntimeError:", error)


async def main() -> None:
    """Make both mistakes that debug mode reports."""
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.02

    thread = threading.Thread(target=call_from_wrong_thread, args=(loop,))
    thread.start()
    thread.join()

    loop.call_soon(time.sleep, 0.03)
    await asyncio.sleep(0)


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s: %(message)s")
    bucle.run(main(), debug=True)

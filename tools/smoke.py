#!/usr/bin/env python3
"""Prove that an installed package works: it runs, its types are native, and install() and back.

Run with `python -I` from outside the checkout, so that only what is installed can be imported.
"""

import asyncio
import threading
from pathlib import Path

import bucle


async def answer() -> int:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, bucle.Loop), loop
    assert isinstance(asyncio.current_task(), bucle.Task)
    await asyncio.sleep(0.001)
    future = loop.create_future()
    threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 40)).start()
    forty: int = await future
    return forty + sum(await asyncio.gather(*(asyncio.sleep(0, 1) for _ in range(2))))


def main() -> None:
    here = Path(__file__).resolve().parent.parent
    assert not Path(bucle.__file__).is_relative_to(here / "python"), bucle.__file__
    assert bucle.run(answer()) == 42
    bucle.install()
    assert asyncio.run(answer()) == 42
    bucle.uninstall()
    assert asyncio.new_event_loop().__class__ is not bucle.Loop
    print(f"bucle {bucle.__version__} with libuv {bucle.libuv_version()} works")


if __name__ == "__main__":
    main()

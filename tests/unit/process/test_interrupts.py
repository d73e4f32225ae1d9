"""Ctrl-C at every moment: the same script under asyncio and bucle says and returns the same.

Where the moment can be named, the script interrupts itself there; where it cannot, an interrupt
comes at a random one, and what is compared is how the program ends.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.support import ROOT, Implementation, run_script

PRELUDE = """
import asyncio, os, signal, sys, threading, time

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

def interrupt_later(seconds=0.05):
    threading.Timer(seconds, interrupt).start()

def run(coro, **keywords):
    with asyncio.Runner(loop_factory=impl.new_loop, **keywords) as runner:
        return runner.run(coro)

async def forever(name="task"):
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print(name, "cancelled")
        raise
    finally:
        print(name, "cleans up")
"""

MOMENTS = {
    "in a poll": """
async def main():
    interrupt_later()
    await forever("main")
run(main())
""",
    "in a poll, with other tasks": """
async def main():
    tasks = [asyncio.ensure_future(forever(n)) for n in range(3)]
    interrupt_later()
    await forever("main")
run(main())
""",
    "in a poll, with a task group": """
async def main():
    interrupt_later()
    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(forever(n))
run(main())
""",
    "in a task": """
async def main():
    interrupt()
    print("went on")
    await forever("main")
run(main())
""",
    "in a task that does not wait any more": """
async def main():
    interrupt()
    return "done"
print(run(main()))
""",
    "in another task": """
async def other():
    interrupt()
    await forever("other")
async def main():
    task = asyncio.ensure_future(other())
    await forever("main")
run(main())
""",
    "in a task that blocks": """
async def main():
    interrupt_later()
    time.sleep(0.2)
    await forever("main")
run(main())
""",
    "in a callback": """
async def main():
    asyncio.get_running_loop().call_soon(interrupt)
    await forever("main")
run(main())
""",
    "in a timer": """
async def main():
    asyncio.get_running_loop().call_later(0.01, interrupt)
    await forever("main")
run(main())
""",
    "twice": """
async def main():
    interrupt()
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("once")
    interrupt()
    print("not reached")
run(main())
""",
    "twice, in cleanup": """
async def main():
    try:
        interrupt()
        await asyncio.sleep(1000)
    finally:
        interrupt_later()
        try:
            await asyncio.sleep(1000)
        finally:
            print("cleanup was cut short")
run(main())
""",
    "main ignores it": """
async def main():
    interrupt()
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        print("ignored")
    return 5
print(run(main()))
""",
    "caught around the run": """
async def main():
    interrupt_later()
    await forever("main")
try:
    run(main())
except KeyboardInterrupt as error:
    print("caught", repr(error))
print(run(asyncio.sleep(0, "again")))
""",
    "raised by a task": """
async def main():
    asyncio.ensure_future(forever("other"))
    await asyncio.sleep(0)
    raise KeyboardInterrupt
run(main())
""",
    "raised by another task": """
async def other():
    raise KeyboardInterrupt
async def main():
    task = asyncio.ensure_future(other())
    await forever("main")
run(main())
""",
    "raised by a callback": """
def callback():
    raise KeyboardInterrupt
async def main():
    asyncio.get_running_loop().call_soon(callback)
    await forever("main")
run(main())
""",
    "SystemExit of a task": """
async def main():
    asyncio.ensure_future(forever("other"))
    await asyncio.sleep(0)
    raise SystemExit(7)
run(main())
""",
    "SystemExit of a callback": """
async def main():
    asyncio.get_running_loop().call_soon(sys.exit, 8)
    await forever("main")
run(main())
""",
    "SystemExit of a signal's handler": """
async def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    await forever("main")
run(main())
""",
    "during start, in the factory": """
make = impl.new_loop
def new_loop():
    loop = make()
    interrupt()
    return loop
class impl:
    new_loop = staticmethod(new_loop)
run(forever("main"))
""",
    "during start, before the first step": """
def factory(loop, coro, **keywords):
    interrupt()
    return asyncio.Task(coro, loop=loop, **keywords)
async def main():
    await forever("main")
with asyncio.Runner(loop_factory=impl.new_loop) as runner:
    runner.get_loop().set_task_factory(factory)
    runner.run(main())
""",
    "during start, of a bare loop": """
loop = impl.new_loop()
loop.call_soon(interrupt)
try:
    loop.run_until_complete(forever("main"))
finally:
    print(loop.is_running())
    loop.close()
""",
    "during start, before run_forever": """
loop = impl.new_loop()
try:
    interrupt()
    loop.run_forever()
finally:
    print("closed")
    loop.close()
""",
    "during close, while tasks are cancelled": """
async def stubborn():
    try:
        await asyncio.sleep(1000)
    finally:
        interrupt()
        print("after the interrupt")
async def main():
    asyncio.ensure_future(stubborn())
    await asyncio.sleep(0)
run(main())
""",
    "during close, in a poll": """
async def slow():
    try:
        await asyncio.sleep(1000)
    finally:
        interrupt_later()
        try:
            await asyncio.sleep(1000)
        finally:
            print("slow cleans up")
async def main():
    asyncio.ensure_future(slow())
    await asyncio.sleep(0)
run(main())
""",
    "during close, of an async generator": """
async def generator():
    try:
        while True:
            yield 1
    finally:
        interrupt()
        print("generator closed")
async def main():
    global kept
    kept = generator()
    async for _ in kept:
        break
run(main())
""",
    "during close, while the executor's threads end": """
async def main():
    loop = asyncio.get_running_loop()
    loop.run_in_executor(None, time.sleep, 0.3)
    interrupt_later(0.1)
run(main())
""",
    "during close, of the loop": """
make = impl.new_loop
def new_loop():
    loop = make()
    close = loop.close
    def closing():
        interrupt()
        close()
    loop.close = closing
    return loop
class impl:
    new_loop = staticmethod(new_loop)
run(asyncio.sleep(0))
""",
    "after close": """
run(asyncio.sleep(0))
interrupt()
""",
    "while a child is awaited": """
async def main():
    process = await asyncio.create_subprocess_exec("sleep", "1000")
    interrupt()
    try:
        await process.wait()
    finally:
        process.kill()
        print(await process.wait())
run(main())
""",
    "while communicating": """
async def main():
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    interrupt_later()
    try:
        await process.stdout.read()
    finally:
        print(await process.communicate(b"data"), process.returncode)
run(main())
""",
    "while a child is started": """
async def main():
    starting = asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1, preexec_fn=None)
    interrupt()
    try:
        await starting
    finally:
        print("not started")
run(main())
""",
    "while a server serves": """
async def main():
    server = await asyncio.start_server(print, "127.0.0.1", 0)
    interrupt_later()
    try:
        await server.serve_forever()
    finally:
        print("server", server.is_serving())
run(main())
""",
    "a handler of the loop": """
async def main():
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    interrupt_later()
    await stop.wait()
    print("stopped", loop.remove_signal_handler(signal.SIGINT))
    interrupt()
    await asyncio.sleep(1000)
run(main())
""",
    "ignored": """
signal.signal(signal.SIGINT, signal.SIG_IGN)
async def main():
    interrupt()
    await asyncio.sleep(0.01)
    return "done"
print(run(main()))
""",
    "in debug mode": """
async def main():
    interrupt_later()
    await forever("main")
run(main(), debug=True)
""",
    "in a thread that is awaited": """
async def main():
    interrupt_later()
    try:
        await asyncio.to_thread(time.sleep, 0.2)
    finally:
        print("main cleans up")
run(main())
""",
    "SIGTERM": """
async def main():
    os.kill(os.getpid(), signal.SIGTERM)
    await forever("main")
run(main())
""",
}


def last_error(text: str) -> str:
    """The exception that ended the program; warnings and reports may come before it or after."""
    return (re.findall(r"^[\w.]*(?:Error|Interrupt|Exit)\b.*$", text, re.M) or [""])[-1]


def complaints(text: str) -> list[str]:
    """The kinds of things said on stderr beside the traceback: of tasks, callbacks, warnings."""
    marks = (
        "Exception ignored",
        "never retrieved",
        "destroyed",
        "Warning",
        "Exception in callback",
    )
    return [mark for mark in marks if mark in text]


@pytest.mark.parametrize("name", MOMENTS)
def test_it_ends_as_under_asyncio(name: str) -> None:
    source = PRELUDE + MOMENTS[name]
    stock = run_script(source, impl="stock")
    for install in ("", "import bucle; bucle.install()\n"):
        ours = run_script(install + source)
        assert ours.returncode == stock.returncode, ours.stderr
        # asyncio keeps its tasks in sets: the order of their ends is any
        assert sorted(ours.stdout.splitlines()) == sorted(stock.stdout.splitlines()), ours.stderr
        assert last_error(ours.stderr) == last_error(stock.stderr)
        assert complaints(ours.stderr) == complaints(stock.stderr), (ours.stderr, stock.stderr)


BUSY = (
    PRELUDE
    + """
async def chatter():
    async def answer(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    while True:
        writer.write(b"x")
        await reader.readexactly(1)

async def spawn():
    while True:
        process = await asyncio.create_subprocess_exec("true", stdin=-1, stdout=-1)
        await process.communicate()

async def compute():
    while True:
        await asyncio.gather(*[asyncio.sleep(0) for _ in range(100)])

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    print("begin", flush=True)
    try:
        await asyncio.gather(chatter(), spawn(), compute())
    finally:
        print("end", flush=True)

run(main())
"""
)


@pytest.mark.native
@pytest.mark.parametrize("seed", range(12))
def test_at_a_random_moment(impl: Implementation, seed: int) -> None:
    """The program ends by the interrupt, after its cleanup; asyncio's does nearly always."""
    prelude = f"from tests.support import implementation; impl = implementation({impl.name!r})\n"
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT / "python")]
    keywords: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        [sys.executable, "-c", prelude + BUSY],
        env=os.environ | {"PYTHONPATH": ":".join(paths)},
        cwd=ROOT,
        **keywords,
    ) as program:
        assert program.stdout.readline() == b"begin\n"
        try:
            program.wait(random.Random(seed).uniform(0, 0.1))
        except subprocess.TimeoutExpired:
            pass
        program.send_signal(signal.SIGINT)
        out, error = program.communicate(timeout=60)
    assert program.returncode == -signal.SIGINT, error
    assert out == b"end\n"
    assert last_error(error.decode()) == "KeyboardInterrupt"

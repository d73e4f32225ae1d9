"""gunicorn, which forks its workers after the program was loaded and had run loops itself:
uvicorn's worker class and aiohttp's, a worker that is killed, a reload, and the end.

The module is the program that asks, and also what gunicorn loads: worker class and application.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from tests.frameworks.launch import World

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "tests.frameworks.programs.gunicorn_workers"
WORLD, VARIANT = "BUCLE_WORLD", "BUCLE_VARIANT"
# uvicorn takes a loop by its name; without one what asyncio makes, as of installed worlds.
UVICORN_LOOPS = {
    "asyncio": "asyncio",
    "bucle": "bucle:new_event_loop",
    "debug": "bucle:new_event_loop",
}

kept: list[Any] = []


def of_this_process() -> World:
    return World(os.environ[WORLD])


def look() -> str:
    """Who answers; the kind of loop is checked, and that nothing came from before the fork."""
    loop = of_this_process().look()
    assert loop not in kept
    return f"{os.getpid()} {os.getppid()}"


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await asyncio.sleep(0.001)
    said = await asyncio.to_thread(str.encode, look())
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


async def aiohttp_application() -> Any:
    from aiohttp import web

    async def answer(_: Any) -> Any:
        await asyncio.sleep(0.001)
        return web.Response(body=await asyncio.to_thread(str.encode, look()))

    application = web.Application()
    application.router.add_get("/", answer)
    return application


def uvicorn_class() -> Any:
    from uvicorn_worker import UvicornWorker

    loop = UVICORN_LOOPS.get(os.environ[WORLD], "none")
    return type("Worker", (UvicornWorker,), {"CONFIG_KWARGS": {"loop": loop, "http": "h11"}})


def aiohttp_class() -> Any:
    base = importlib.import_module("aiohttp.worker").GunicornWebWorker

    class Worker(base):  # type: ignore[misc,valid-type]
        def init_process(self) -> None:
            new_loop = of_this_process().new_loop
            if os.environ[WORLD] in ("bucle", "debug"):
                asyncio.new_event_loop = new_loop  # type: ignore[assignment]
            super().init_process()

    return Worker


if VARIANT in os.environ:  # gunicorn's own process
    world = of_this_process()
    if world.debug:
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    if world.name in ("installed", "late"):
        world.install()
    kept.append(world.new_loop())
    # Descriptors, a wake-up and a thread that are not the workers'.
    kept[0].run_until_complete(asyncio.sleep(0.001))
    kept[0].add_reader(os.pipe()[0], print)
    Worker: Any = uvicorn_class() if os.environ[VARIANT] == "uvicorn" else aiohttp_class()
    application: Any = asgi if os.environ[VARIANT] == "uvicorn" else aiohttp_application


async def ask(path: str) -> tuple[int, int]:
    """The processes of a worker that answers and of its master."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
        except ConnectionError:  # of a worker that ends
            answer = b""
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200"):
            worker, master = body.split()
            return int(worker), int(master)
        assert not head, answer


async def until(path: str, enough: Callable[[set[int]], bool]) -> set[int]:
    """Ask until the workers that answered are enough."""
    seen: set[int] = set()
    async with asyncio.timeout(60):
        while not enough(seen):
            seen.add((await ask(path))[0])
    return seen


async def use(world: World, path: str, master: subprocess.Popen[bytes]) -> None:
    world.look()
    first = await until(path, lambda seen: len(seen) == 2)
    print("two workers")
    found = await asyncio.gather(*(ask(path) for _ in range(40)))
    print("at once", {pid for pid, _ in found} <= first, {pid for _, pid in found} == {master.pid})
    os.kill(min(first), signal.SIGKILL)
    second = await until(path, lambda seen: bool(seen - first))
    print("another for one that was killed", len(second - first))
    master.send_signal(signal.SIGHUP)
    third = await until(path, lambda seen: len(seen - first - second) == 2)
    print("two others after a reload", len(third - first - second))
    master.terminate()
    print("end with", await asyncio.to_thread(master.wait, 60))


def main(world: World) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/socket"
        command = [
            *(sys.executable, "-m", "gunicorn", "--preload", "--workers", "2"),
            *("--bind", f"unix:{path}", "--log-level", "critical", "--graceful-timeout", "5"),
            *(
                "--worker-class",
                f"{NAME}.Worker",
                "--worker-tmp-dir",
                folder,
                "--no-control-socket",
            ),
            f"{NAME}:application",
        ]
        environment = os.environ | {WORLD: world.name, VARIANT: world.variant}
        with subprocess.Popen(command, env=environment) as master:
            try:
                world.run(use(world, path, master))
            finally:
                if master.poll() is None:
                    master.terminate()

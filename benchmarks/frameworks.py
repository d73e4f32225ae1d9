"""HTTP servers in Python under wrk: what is left of a loop's speed below a framework.

The frameworks are looked for when a row runs: where one is missing, or wrk is, the row is left out
and the report says so.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import resource
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

from benchmarks.serving import HOST, Answer, Serve, Serving, bound_socket, serve_and_drive
from benchmarks.workload import Bench, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TEXT = "Hello, world!"
CONNECTIONS = 50
WARM_UP = 1  # wrk knows whole seconds only


def _framework(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(f"{error.name or name} is not installed") from None


def _wrk(path: str, port: int, seconds: int) -> tuple[float, int]:
    """Return requests a second, and how many there were."""
    command = [path, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"http://{HOST}:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    rate = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
    total = re.search(r"(\d+) requests in ", done.stdout)
    if rate is None or total is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk: {' '.join((done.stdout + done.stderr).split())[-120:]}")
    return float(rate[1]), int(total[1])


def under_wrk(bench: Bench, prepare: Callable[[], Serve]) -> None:
    """Have wrk ask a server of a framework, in this process, as often as it can."""
    serve = prepare()
    path = shutil.which("wrk")
    if path is None:
        raise UnavailableError("wrk is not installed")

    def drive(port: int, _process: int) -> Answer:
        _wrk(path, port, WARM_UP)
        load_before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall_before = time.perf_counter()
        before = time.process_time()
        rate, total = _wrk(path, port, max(1, round(bench.seconds)))
        cpu = time.process_time() - before
        wall = time.perf_counter() - wall_before
        load = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = load.ru_utime - load_before.ru_utime + load.ru_stime - load_before.ru_stime
        return Answer(1 / rate, cpu / total, max(0.0, 1 - busy / wall))

    serve_and_drive(bench, serve, drive, None)


def serve_uvicorn() -> Serve:
    """Prepare uvicorn with httptools and a bare ASGI application."""
    uvicorn = _framework("uvicorn")
    _framework("httptools")
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(TEXT))],
    }
    body = {"type": "http.response.body", "body": TEXT.encode()}

    async def application(
        _scope: object, _receive: object, send: Callable[[object], Awaitable[None]]
    ) -> None:
        await send(start)
        await send(body)

    async def serve() -> Serving:
        config = uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
        )
        server = uvicorn.Server(config)
        listener, port = bound_socket()
        serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)

        async def close() -> None:
            server.should_exit = True
            await serving

        return Serving(port, close)

    return serve


def serve_aiohttp() -> Serve:
    """Prepare aiohttp's server with one route."""
    web = _framework("aiohttp.web")

    async def hello(_request: object) -> Any:
        return web.Response(text=TEXT)

    async def serve() -> Serving:
        application = web.Application()
        application.router.add_get("/", hello)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        listener, port = bound_socket()
        await web.SockSite(runner, listener).start()
        return Serving(port, runner.cleanup)

    return serve

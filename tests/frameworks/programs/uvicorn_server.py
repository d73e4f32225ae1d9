"""uvicorn with either of its HTTP parsers, and a websocket library with each: bytes on the wire,
TLS, limits, lifespan, and the whole program as `uvicorn.run` with the loop named by a string.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

from .common import (
    blocking_exchange,
    certificate,
    client_tls,
    digest,
    failure,
    masked,
    pattern,
    show_wire,
    wire,
)

if TYPE_CHECKING:
    from tests.frameworks.launch import World

log: list[str] = []
WEBSOCKETS = {"h11": "websockets-sansio", "httptools": "wsproto"}


async def respond(send: Any, body: bytes, status: int = 200, **headers: str) -> None:
    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def whole_body(receive: Any) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            log.append(message["type"])
            await send({"type": f"{message['type']}.complete"})
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    else:
        await http(scope, receive, send)


async def http(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    if path == "/scope":
        said = f"{scope['method']} {scope['http_version']} {scope['scheme']} {scope['client'][0]}"
        await respond(send, said.encode(), content_type="text/plain")
    elif path == "/echo":
        await respond(send, await whole_body(receive))
    elif path == "/take":
        await respond(send, digest(await whole_body(receive)).encode())
    elif path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(100):
            body = pattern(number * 31)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/big":
        length = [(b"content-length", b"4000000")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        for start in range(0, 4_000_000, 50_000):
            body = pattern(4_000_000)[start : start + 50_000]
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/wait":
        await whole_body(receive)
        message = await receive()  # until the client goes
        log.append(message["type"])
    elif path == "/fail":
        raise RuntimeError("as intended")
    else:
        await respond(send, b"not here", 404)


async def websocket(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            log.append(f"disconnect {message['code']}")
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
            return
        kept = {k: v for k, v in message.items() if k in ("text", "bytes") and v is not None}
        await send({"type": "websocket.send", **kept})


GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n"
CLOSE = b"Connection: close\r\n\r\n"
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"


async def exchanges(port: int, tls: Any = None) -> None:
    for path in (b"/scope", b"/stream", b"/none", b"/fail"):
        answer = await wire(port, GET % path + CLOSE, tls)
        print(path.decode(), digest(answer))
        show_wire(path.decode(), answer[:300])
    answer = await wire(port, GET % b"/big" + CLOSE, tls)
    print("big", digest(answer))
    for size in (0, 1, 70_000, 2_000_000):
        sent = POST % (b"/take", size) + CLOSE + pattern(size)
        show_wire(f"take {size}", await wire(port, sent, tls))
    many = (GET % b"/scope" + b"\r\n") * 50 + GET % b"/scope" + CLOSE
    print("pipelined", digest(await wire(port, many, tls)))
    slowly = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    slowly += b"Expect: 100-continue\r\n" + CLOSE + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    print(
        "slowly", (await wire(port, slowly, tls, pause=0.003)).endswith(b"hello world\r\n0\r\n\r\n")
    )
    show_wire("HTTP/1.0", await wire(port, b"GET /scope HTTP/1.0\r\n\r\n", tls))
    show_wire("garbage", await wire(port, b"\x00\x01\x02 garbage\r\n\r\n", tls))


async def upgraded(port: int, tls: Any) -> None:
    from websockets.asyncio.client import connect

    uri = f"wss://localhost:{port}/ws" if tls else f"ws://127.0.0.1:{port}/ws"
    async with connect(uri, ssl=tls, proxy=None) as connection:
        for size in (0, 1, 65_536, 900_000):
            await connection.send(pattern(size))
            print("websocket", digest(await connection.recv()))
        for number in range(200):
            await connection.send(f"many {number}")
        print("websocket", [await connection.recv() for _ in range(200)][-1])
        await connection.send("close")
        print("websocket", await failure(connection.recv()))


async def gone(port: int) -> None:
    """A client that goes while its answer is awaited."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET % b"/wait" + b"\r\n")
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    for _ in range(100):
        if "http.disconnect" in log:
            break
        await asyncio.sleep(0.02)


async def started(config: uvicorn.Config) -> tuple[uvicorn.Server, asyncio.Task[None], int]:
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    sock = server.servers[0].sockets[0]
    name = sock.getsockname()
    return server, serving, name[1] if isinstance(name, tuple) else 0


async def inside(options: dict[str, Any]) -> None:
    """The server as a task among others."""
    tls = {"ssl_certfile": certificate("server")}
    for context, extra in ((None, {}), (client_tls(), tls)):
        print("== TLS" if context else "== plain")
        server, serving, port = await started(uvicorn.Config(app, **options, **extra))
        await exchanges(port, context)
        await upgraded(port, context)
        if context is None:
            await gone(port)
        server.should_exit = True
        await serving
        print("refused:", await failure(asyncio.open_connection("127.0.0.1", port)))
    print(log)
    config = uvicorn.Config(app, **options, limit_concurrency=1, timeout_keep_alive=1)
    server, serving, port = await started(config)
    show_wire("over the limit", await wire(port, GET % b"/scope" + CLOSE))
    began = time.monotonic()
    server.config.limit_concurrency = None
    await asyncio.to_thread(blocking_exchange, port, b"GET /scope HTTP/1.1\r\nHost: x\r\n\r\n")
    print("kept alive for a second:", 0.9 < time.monotonic() - began < 10)
    server.should_exit = True
    await serving


def whole(world: World, options: dict[str, Any]) -> None:
    """`uvicorn.run` on a loop that is named by a string, ended by SIGTERM from outside."""
    looked = []

    async def looking(scope: Any, receive: Any, send: Any) -> None:
        if not looked:
            world.look()
            looked.append(True)
        await app(scope, receive, send)

    name = {"asyncio": "asyncio", "bucle": "bucle:new_event_loop", "debug": "bucle:new_event_loop"}
    names = {"installed": "none", "late": "none"} | name
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/socket"

        def client() -> None:
            import socket

            while not os.path.exists(path):
                time.sleep(0.01)
            with socket.socket(socket.AF_UNIX) as sock:
                while sock.connect_ex(path):
                    time.sleep(0.01)
                sock.sendall(POST % (b"/echo", 5) + CLOSE + b"hello")
                answer = b""
                while chunk := sock.recv(65536):
                    answer += chunk
            show_wire("unix", masked(answer))
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=client)
        thread.start()
        caught: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: caught.append(number))
        try:
            uvicorn.run(looking, loop=names[world.name], uds=path, **(options | {"lifespan": "on"}))
        finally:
            thread.join()
        print("raised again after the shutdown:", caught == [signal.SIGTERM], log[-2:])


def main(world: World) -> None:
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "http": world.variant,
        "ws": WEBSOCKETS[world.variant],
        "log_config": None,
        "access_log": False,
        "timeout_graceful_shutdown": 2,
    }
    world.run(inside(options))
    if world.name == "debug":
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    whole(world, options)

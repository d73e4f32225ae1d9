"""aiohttp's server and client: bodies of all kinds, connections kept, cut and cancelled."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import tempfile
import warnings
from pathlib import Path

import aiohttp
from aiohttp import web

from .common import digest, failure, pattern, show_wire, storm, wire

ports: set[int] = set()


@web.middleware
async def note_port(request: web.Request, handler: object) -> web.StreamResponse:
    assert request.transport is not None
    peer = request.transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        ports.add(peer[1])
    return await handler(request)


async def plain(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request.query_string}", headers={"X-Method": request.method})


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(int(request.match_info["count"])):
        await response.write(b"chunk %d;" % number)
        if number % 7 == 0:
            await asyncio.sleep(0)
    await response.write_eof()
    return response


async def big(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 5_000_000
    await response.prepare(request)
    body = pattern(5_000_000)
    for start in range(0, len(body), 70_001):
        await response.write(body[start : start + 70_001])
    return response


async def echo(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    async for chunk in request.content.iter_chunked(10_000):
        await response.write(chunk)
    return response


async def take(request: web.Request) -> web.Response:
    return web.json_response({"got": digest(await request.read())})


async def form(request: web.Request) -> web.Response:
    lines = []
    async for part in await request.multipart():
        lines.append(f"{part.name} {part.filename} {digest(await part.read())}")
    return web.Response(text="; ".join(lines))


async def numbered(request: web.Request) -> web.Response:
    number = int(request.match_info["number"])
    await asyncio.sleep(0.002 * (number % 5))
    return web.Response(text=str(number))


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response(text="too late")


async def busy(_: web.Request) -> web.Response:
    await asyncio.sleep(0.1)
    return web.Response(text="done")


async def drop(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response(text="never seen")


async def short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b"ten bytes.")
    assert request.transport is not None
    request.transport.close()
    return response


async def broken(_: web.Request) -> web.Response:
    raise web.HTTPGone(text="as intended")


async def describe(request: web.Request) -> web.Response:
    transport = request.transport
    assert transport is not None
    own = transport.get_extra_info("socket")
    return web.json_response(
        {
            "transport": isinstance(transport, asyncio.Transport),
            "remote": request.remote,
            "sockname": transport.get_extra_info("sockname")[0],
            "socket": type(own).__name__,
            "nodelay": bool(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
            "family": own.family.name,
            "ssl": transport.get_extra_info("sslcontext"),
            "nothing": transport.get_extra_info("nothing", "default"),
        }
    )


async def bodies(client: aiohttp.ClientSession, file: Path) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        async with client.request(method, "/plain?x=1") as reply:
            print(method, reply.status, reply.headers["X-Method"], repr(await reply.text()))
    async with client.get("/stream/100") as reply:
        print("stream", reply.headers["Transfer-Encoding"], digest(await reply.read()))
    async with client.get("/stream/3") as reply:
        print("chunks", (await reply.read())[:7])
    async with client.get("/big") as reply:
        print("big", digest(await reply.read()))
    async with client.get("/big") as reply:
        slowly = bytearray()
        async for piece in reply.content.iter_chunked(300_000):
            slowly += piece
            await asyncio.sleep(0.001)
        print("big, read slowly", digest(slowly))
    for size in (0, 1, 65_536, 3_000_000):
        async with client.post("/take", data=pattern(size)) as reply:
            print("take", await reply.json())
        async with client.post("/echo", data=pattern(size)) as reply:
            print("echo", digest(await reply.read()))

    async def pieces():
        for start in range(0, 500_000, 9_999):
            yield pattern(500_000)[start : start + 9_999]
            await asyncio.sleep(0)

    async with client.post("/take", data=pieces()) as reply:
        print("upload in chunks", await reply.json())
    with file.open("rb") as opened:
        async with client.post("/take", data=opened) as reply:
            print("upload of a file", await reply.json())
    fields = aiohttp.FormData()
    fields.add_field("text", "some text")
    fields.add_field("file", pattern(200_000), filename="name.bin")
    async with client.post("/form", data=fields) as reply:
        print("form", await reply.text())
    # a plain file on a plain socket: loop.sendfile
    async with client.get("/file") as reply:
        print("file", reply.headers["Content-Length"], digest(await reply.read()))
    async with client.get("/file", headers={"Range": "bytes=100000-1099999"}) as reply:
        print("range", reply.status, digest(await reply.read()))
    async with client.get("/packed") as reply:
        print("packed", reply.headers["Content-Encoding"], digest(await reply.read()))
    async with client.get("/moved") as reply:
        print("moved", [r.status for r in reply.history], reply.status, await reply.text())
    async with client.get("/broken") as reply:
        print("broken", reply.status, await reply.text())
    async with client.get("/describe") as reply:
        print("describe", await reply.json())


async def connections(client: aiohttp.ClientSession, base: str) -> None:
    ports.clear()
    for _ in range(10):
        async with client.get("/plain") as reply:
            await reply.read()
    print("kept for ten requests:", len(ports))
    ports.clear()
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=5)) as limited:

        async def one() -> int:
            async with limited.get("/busy") as reply:
                await reply.read()
                return reply.status

        print("twenty at once:", await asyncio.gather(*(one() for _ in range(20))))
        print("connections:", len(ports))
    ports.clear()
    async with aiohttp.ClientSession(
        base, connector=aiohttp.TCPConnector(force_close=True)
    ) as closing:
        for _ in range(5):
            async with closing.get("/plain") as reply:
                await reply.read()
    print("not kept:", len(ports))


async def trouble(client: aiohttp.ClientSession) -> None:
    for timeout in (
        aiohttp.ClientTimeout(total=0.05),
        aiohttp.ClientTimeout(sock_read=0.05),
    ):
        print("timeout:", await failure(client.get("/slow", timeout=timeout)))
    print("dropped:", (await failure(client.get("/drop"))).split(":")[0])
    async with client.get("/short") as reply:
        print("short:", (await failure(reply.read())).split(":")[0])
    try:
        async with asyncio.timeout(0.05):
            await client.get("/slow")
    except TimeoutError:
        print("cancelled")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        print("refused:", (await failure(client.get(refused))).split(" [")[0])

    async def right(number: int) -> bool:
        async with client.get(f"/numbered/{number}") as reply:
            return await reply.text() == str(number)

    await storm(right, 0.0007, count=150, rounds=4)


async def raw(port: int) -> None:
    close = b"Connection: close\r\n\r\n"
    get = b"GET %s HTTP/1.1\r\nHost: localhost\r\n"
    show_wire("plain", await wire(port, get % b"/plain" + close))
    show_wire("chunked", await wire(port, get % b"/stream/3" + close))
    show_wire("HTTP/1.0", await wire(port, b"GET /stream/3 HTTP/1.0\r\n\r\n"))
    many = (get % b"/plain?1" + b"\r\n") * 30 + get % b"/plain?2" + close
    show_wire("pipelined", (await wire(port, many))[-700:])
    upload = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    upload += b"Transfer-Encoding: chunked\r\n" + close + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    show_wire("bytes that come slowly", await wire(port, upload, pause=0.003))
    show_wire("garbage", await wire(port, b"\x00\xff not HTTP\r\n\r\n"))
    show_wire("line too long", await wire(port, b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n"))
    show_wire("error", await wire(port, get % b"/none" + close))


async def main() -> None:
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # what the garbage below is answered
    warnings.filterwarnings("ignore", message="Sending a large body directly")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        file = Path(folder) / "file.bin"
        file.write_bytes(pattern(2_500_000))
        (Path(folder) / "packed.bin.gz").write_bytes(gzip.compress(pattern(400_000), mtime=0))
        app = web.Application(client_max_size=1 << 24, middlewares=[note_port])
        app.router.add_route("*", "/plain", plain)
        app.router.add_get("/stream/{count}", stream)
        app.router.add_get("/numbered/{number}", numbered)
        for get in (big, slow, busy, drop, short, broken, describe):
            app.router.add_get(f"/{get.__name__}", get)
        for post in (echo, take, form):
            app.router.add_post(f"/{post.__name__}", post)

        async def send_file(_: web.Request) -> web.FileResponse:
            return web.FileResponse(file)

        async def send_packed(_: web.Request) -> web.FileResponse:
            return web.FileResponse(Path(folder) / "packed.bin")

        async def moved(_: web.Request) -> web.Response:
            raise web.HTTPFound("/plain?moved")

        (Path(folder) / "packed.bin").write_bytes(pattern(400_000))
        app.router.add_get("/file", send_file)
        app.router.add_get("/packed", send_packed)
        app.router.add_get("/moved", moved)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        await web.UnixSite(runner, f"{folder}/socket").start()
        base = f"http://127.0.0.1:{port}"
        async with aiohttp.ClientSession(base) as client:
            await bodies(client, file)
            await connections(client, base)
            await trouble(client)
        await raw(port)
        connector = aiohttp.UnixConnector(f"{folder}/socket")
        async with aiohttp.ClientSession("http://unix", connector=connector) as client:
            async with client.get("/plain?unix") as reply:
                print("unix", await reply.text())
            async with client.post("/echo", data=pattern(1_000_000)) as reply:
                print("unix", digest(await reply.read()))
            async with client.get("/file") as reply:
                print("unix", digest(await reply.read()))
        await runner.cleanup()
        print("refused after cleanup:", await failure(asyncio.open_connection("127.0.0.1", port)))

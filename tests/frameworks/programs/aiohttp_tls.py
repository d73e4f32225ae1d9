"""aiohttp over TLS: verification, client certificates, and TLS to an origin through a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import warnings

import aiohttp
from aiohttp import web

from .common import client_tls, digest, failure, pattern, server_tls, show_wire, wire


async def plain(request: web.Request) -> web.Response:
    transport = request.transport
    assert transport is not None
    certificate = transport.get_extra_info("peercert") or {}
    names = [value for entry in certificate.get("subject", ()) for _, value in entry]
    made = transport.get_extra_info("ssl_object")
    return web.json_response(
        {
            "secure": request.secure,
            "transport": isinstance(transport, asyncio.Transport),
            "client": names[-1:],
            "object": type(made).__name__,
            "cipher": transport.get_extra_info("cipher")[1],
            "context": type(transport.get_extra_info("sslcontext")).__name__,
        }
    )


async def big(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    body = pattern(3_000_000)
    for start in range(0, len(body), 50_000):
        await response.write(body[start : start + 50_000])
    return response


async def take(request: web.Request) -> web.Response:
    return web.Response(text=digest(await request.read()))


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.Response()


async def cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers CONNECT and then only passes bytes on."""
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().partition(":")
    there_reader, there_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
    for end in (there_writer, writer):
        end.close()
        with contextlib.suppress(ConnectionError):
            await end.wait_closed()


async def talk(client: aiohttp.ClientSession, **options: object) -> None:
    async with client.get("/plain", **options) as reply:
        print("plain", await reply.json())
    async with client.get("/big", **options) as reply:
        print("big", digest(await reply.read()))
    async with client.post("/take", data=pattern(2_000_000), **options) as reply:
        print("take", await reply.text())


async def main() -> None:
    warnings.filterwarnings("ignore", message="Sending a large body directly")
    app = web.Application(client_max_size=1 << 24)
    app.router.add_get("/plain", plain)
    app.router.add_get("/big", big)
    app.router.add_get("/slow", slow)
    app.router.add_get("/cut", cut)
    app.router.add_post("/take", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls()).start()
    strict = server_tls(ask_client=True)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=strict).start()
    port, strict_port = (address[1] for address in runner.addresses)

    connector = aiohttp.TCPConnector(ssl=client_tls())
    async with aiohttp.ClientSession(f"https://localhost:{port}", connector=connector) as client:
        await talk(client)
        found = await asyncio.gather(*(client.get("/plain") for _ in range(30)))
        print("thirty at once:", {reply.status for reply in found})
        for reply in found:
            reply.release()
        print("cut:", (await failure(client.get("/cut"))).split(":")[0])
        for _ in range(3):
            quick = aiohttp.ClientTimeout(total=0.05)
            print("timeout:", await failure(client.get("/slow", timeout=quick)))

        async def ask(number: int) -> str:
            try:
                async with asyncio.timeout(0.003 * (number % 7)):
                    async with client.get("/big") as reply:
                        return digest(await reply.read())
            except TimeoutError:
                return "given up"

        storm = await asyncio.gather(*(ask(number) for number in range(20)))
        print(
            "storm:", {said for said in storm if said != "given up"} <= {digest(pattern(3_000_000))}
        )
        await talk(client)

    connector = aiohttp.TCPConnector(ssl=client_tls(identify=True))
    strict_base = f"https://localhost:{strict_port}"
    async with aiohttp.ClientSession(strict_base, connector=connector) as client:
        await talk(client)

    async with aiohttp.ClientSession() as client:
        url = f"https://localhost:{port}/plain"
        print("unknown authority:", (await failure(client.get(url))).split(":")[0])
        other = f"https://127.0.0.2:{port}/plain"
        print("nobody there:", (await failure(client.get(other, ssl=client_tls()))).split(":")[0])
        plainly = f"http://localhost:{port}/plain"
        print("plain HTTP to TLS:", (await failure(client.get(plainly))).split(":")[0])
        without = client.get(f"{strict_base}/plain", ssl=client_tls())
        print("no certificate:", (await failure(without)).split(":")[0])
        unverified = await client.get(url, ssl=False)
        print("unverified:", unverified.status)
        unverified.release()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    through = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connector = aiohttp.TCPConnector(ssl=client_tls())
    async with aiohttp.ClientSession(f"https://localhost:{port}", connector=connector) as client:
        await talk(client, proxy=through)
    secure = await asyncio.start_server(proxy, "127.0.0.1", 0, ssl=server_tls())
    through = f"https://localhost:{secure.sockets[0].getsockname()[1]}"
    connector = aiohttp.TCPConnector(ssl=client_tls())
    async with aiohttp.ClientSession(f"https://localhost:{port}", connector=connector) as client:
        print("TLS in TLS")
        await talk(client, proxy=through)
    for one in (server, secure):
        one.close()
        await one.wait_closed()

    get = b"GET /take HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    show_wire("within TLS", await wire(port, get, client_tls()))
    old = client_tls()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    show_wire("within TLS 1.2, slowly", await wire(port, get, old, pause=0.003))
    await runner.cleanup()

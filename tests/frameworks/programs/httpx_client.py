"""httpx (httpcore on anyio's streams) against a small server on asyncio's streams, with TLS too."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile

import httpx

from .common import client_tls, digest, failure, pattern, server_tls, storm

connections = 0


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/1.1 as far as the client needs it, by hand: what it sends is read as bytes."""
    global connections
    connections += 1
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            request, *lines = head.decode().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines) if k}
            body = bytearray()
            if "chunked" in headers.get("transfer-encoding", ""):
                while size := int(await reader.readline(), 16):
                    body += await reader.readexactly(size)
                    await reader.readexactly(2)
                await reader.readexactly(2)
            else:
                body += await reader.readexactly(int(headers.get("content-length", 0)))
            path = request.split()[1]
            if path == "/drop":
                break
            if path == "/slow":
                await reader.read()  # until the client has given up
            if path == "/big":
                body[:] = pattern(2_000_000)
            if path.startswith("/number/"):
                await asyncio.sleep(0.002 * (int(path[8:]) % 5))
                body[:] = path[8:].encode()
            if path == "/chunked":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for number in range(200):
                    part = pattern(number * 13)
                    if part:
                        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
                continue
            if path == "/short":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
                break
            writer.writelines([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body])
            await writer.drain()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def talk(client: httpx.AsyncClient) -> None:
    global connections
    connections = 0
    for size in (0, 1, 100_000, 1_000_000):
        reply = await client.post("/echo", content=pattern(size))
        print("echo", reply.status_code, digest(reply.content))

    async def pieces():
        for start in range(0, 300_000, 7_777):
            yield pattern(300_000)[start : start + 7_777]

    reply = await client.post("/echo", content=pieces())
    print("chunked upload", digest(reply.content))
    print("big", digest((await client.get("/big")).content))
    print("chunked", digest((await client.get("/chunked")).content))
    async with client.stream("GET", "/big") as reply:
        read = bytearray()
        async for part in reply.aiter_bytes(100_000):
            read += part
            await asyncio.sleep(0.001)
        print("streamed", digest(read))
    print("connections", connections)
    print("timeout", await failure(client.get("/slow", timeout=0.05)))
    print("drop", await failure(client.get("/drop")))
    print("short", await failure(client.get("/short")))
    async with client.stream("GET", "/big") as reply:
        async for _ in reply.aiter_bytes(10):
            break  # the rest is left unread
    print("after a half-read answer", digest((await client.get("/chunked")).content))

    async def right(number: int) -> bool:
        return (await client.get(f"/number/{number}")).text == str(number)

    await storm(right, 0.001)


async def main() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        plain = await asyncio.start_server(serve, "127.0.0.1", 0)
        secure = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls())
        unix = await asyncio.start_unix_server(serve, f"{folder}/socket")
        ports = [server.sockets[0].getsockname()[1] for server in (plain, secure)]
        for title, base, transport in (
            ("plain", f"http://127.0.0.1:{ports[0]}", None),
            ("TLS", f"https://localhost:{ports[1]}", httpx.AsyncHTTPTransport(verify=client_tls())),
            ("unix", "http://unix", httpx.AsyncHTTPTransport(uds=f"{folder}/socket")),
        ):
            print(f"-- {title}")
            async with httpx.AsyncClient(
                base_url=base, transport=transport, timeout=60, trust_env=False
            ) as client:
                await talk(client)
        async with httpx.AsyncClient(trust_env=False) as client:
            url = f"https://localhost:{ports[1]}/"
            print("unknown authority", (await failure(client.get(url))).split(":")[0])
        for server in (plain, secure, unix):
            server.close()
            await server.wait_closed()

"""aiohttp's websockets: messages of all kinds and sizes, closing by either side, heartbeats."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import WSMsgType, web

from .common import digest, failure, pattern

log: list[str] = []


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0, compress="compress" in request.query)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            if message.data == "close":
                await socket.close(code=4001, message=b"as asked")
            elif message.data == "ping":
                await socket.ping(b"are you there")
                await socket.send_str("pinged")
            elif message.data == "abort":
                assert request.transport is not None
                request.transport.abort()
            else:
                await socket.send_str(message.data.upper())
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data[::-1])
    log.append(f"closed {socket.close_code}")
    return socket


async def flood(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    for number in range(2000):
        await socket.send_str(f"message {number}" + "x" * (number % 300))
    await socket.close()
    return socket


async def silent(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(autoping=False)
    await socket.prepare(request)
    async for _ in socket:
        pass
    return socket


async def main() -> None:
    app = web.Application()
    for handler in (echo, flood, silent):
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(base) as client:
        for compress in (0, 15):
            path = "/echo?compress" if compress else "/echo"
            async with client.ws_connect(path, compress=compress, max_msg_size=0) as socket:
                await socket.send_str("hello")
                print("text", await socket.receive_str())
                await socket.send_json({"key": ["value"]})
                print("json", await socket.receive_json())
                for size in (0, 1, 125, 126, 65_535, 65_536, 2_000_000):
                    await socket.send_bytes(pattern(size))
                    back = await socket.receive_bytes()
                    print("binary", back[::-1] == pattern(size), digest(back))
                for number in range(300):
                    await socket.send_str(f"many {number}")
                print("many", [(await socket.receive_str())[-3:] for _ in range(300)][-1])
                await socket.send_str("ping")
                print("ping", await socket.receive_str())
                await socket.send_str("close")
                message = await socket.receive()
                print("close", message.type.name, message.data, message.extra)
            print("code", socket.close_code)
        async with client.ws_connect("/echo") as socket:
            await socket.close(code=4002, message=b"enough")
        print("closed by the client", socket.close_code)
        async with client.ws_connect("/echo") as socket:
            await socket.send_str("abort")
            message = await socket.receive()
            print("aborted", message.type.name, socket.close_code)
        async with client.ws_connect("/flood") as socket:
            lines = [message.data async for message in socket]
            print("flood", len(lines), digest("".join(lines).encode()))
        async with client.ws_connect("/flood") as socket:
            await asyncio.sleep(0.05)  # what was sent fills the transport's buffers
            lines = [message.data async for message in socket]
            print("flood, read late", len(lines), digest("".join(lines).encode()))
        async with client.ws_connect("/silent", heartbeat=0.1) as socket:
            message = await socket.receive()
            print("no pong", message.type.name, socket.close_code)
        async with client.ws_connect("/echo", heartbeat=1) as socket:
            await asyncio.sleep(1.2)
            await socket.send_str("still here")
            print("pongs", await socket.receive_str())
        timeout = aiohttp.ClientWSTimeout(ws_receive=0.05)
        async with client.ws_connect("/echo", timeout=timeout) as socket:
            print("nothing comes:", await failure(socket.receive()))

        async def one(number: int) -> bool:
            async with client.ws_connect("/echo") as socket:
                right = True
                for turn in range(20):
                    await socket.send_str(f"{number} in {turn}")
                    right &= await socket.receive_str() == f"{number} IN {turn}"
                return right

        print("forty at once:", set(await asyncio.gather(*(one(n) for n in range(40)))))
        print("not there:", await failure(client.ws_connect("/nowhere")))
    await runner.cleanup()
    print("server:", log[:4], len(log))

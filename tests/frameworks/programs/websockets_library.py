"""The websockets library: its asyncio server and client, plain, over TLS and over a Unix socket."""

from __future__ import annotations

import asyncio
import logging
import tempfile

from websockets.asyncio.client import connect, unix_connect
from websockets.asyncio.server import broadcast, serve, unix_serve
from websockets.exceptions import ConnectionClosed

from .common import client_tls, digest, failure, pattern, server_tls, show_wire, wire


async def handler(connection) -> None:
    async for message in connection:
        if message == "close":
            await connection.close(4001, "as asked")
        elif message == "abort":
            connection.transport.abort()
        elif message == "ping":
            await (await connection.ping(b"from the server"))
            await connection.send("ponged")
        elif message == "flood":
            for number in range(3000):
                await connection.send(f"message {number}" + "x" * (number % 200))
            await connection.close()
        elif message == "pieces":

            async def parts():
                for number in range(50):
                    yield f"part {number};"
                    await asyncio.sleep(0)

            await connection.send(parts())
        else:
            await connection.send(message)


async def talk(connection) -> None:
    for text in ("hello", "", "ümläut \N{SNOWMAN}"):
        await connection.send(text)
        print("text", ascii(await connection.recv()))
    for size in (0, 1, 125, 126, 65_535, 65_536, 900_000):
        await connection.send(pattern(size))
        print("binary", digest(await connection.recv()))
    for number in range(500):
        await connection.send(f"many {number}")
    print("many", [await connection.recv() for _ in range(500)][-1])
    await connection.send("ping")
    print(await connection.recv())
    print("latency", await (await connection.ping()) >= 0)
    await connection.send("pieces")
    print("pieces", digest((await connection.recv()).encode()))
    await connection.send([b"one ", b"two ", b"three"])
    print("fragments", await connection.recv())
    print("nothing comes:", await failure(asyncio.wait_for(connection.recv(), 0.03)))
    await connection.send("after that")
    print(await connection.recv())


async def endings(open_one) -> None:
    async with open_one() as connection:
        await connection.send("close")
        print("closed:", await failure(connection.recv()), connection.close_code)
    async with open_one() as connection:
        await connection.send("abort")
        print("aborted:", await failure(connection.recv()), connection.close_code)
    async with open_one() as connection:
        await connection.send("flood")
        lines = [line async for line in connection]
        print("flood", len(lines), digest("".join(lines).encode()))
    async with open_one() as connection:
        await connection.send("flood")
        await asyncio.sleep(0.05)
        lines = [line async for line in connection]
        print("flood, read late", len(lines), digest("".join(lines).encode()))


async def main() -> None:
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/socket"
        options = {"ping_interval": 0.5, "server_header": "server"}
        async with (
            serve(handler, "127.0.0.1", 0, **options) as plain,
            serve(handler, "127.0.0.1", 0, ssl=server_tls(), compression=None, **options) as secure,
            unix_serve(handler, path, **options),
        ):
            ports = [server.sockets[0].getsockname()[1] for server in (plain, secure)]

            def open_plain(**also):
                return connect(f"ws://127.0.0.1:{ports[0]}", proxy=None, **also)

            def open_secure(**also):
                uri = f"wss://localhost:{ports[1]}"
                return connect(uri, ssl=client_tls(), proxy=None, **also)

            def open_unix(**also):
                return unix_connect(path, **also)

            for open_one in (open_plain, open_secure, open_unix):
                print("--", open_one.__name__)
                async with open_one() as connection:
                    await talk(connection)
                    kind = isinstance(connection.transport, asyncio.Transport)
                    print("transport", kind, type(connection.local_address).__name__)
                print("code", connection.close_code)
                await endings(open_one)

            everybody = [await open_plain() for _ in range(50)]
            for connection in everybody:
                await connection.send("here")
                await connection.recv()
            for number in range(20):
                broadcast(plain.connections, f"to all {number}")
            heard = [[await one.recv() for _ in range(20)] for one in everybody]
            print("broadcast", len(plain.connections), {tuple(lines)[-1] for lines in heard})
            await asyncio.gather(*(one.close() for one in everybody))

            async def give_up(number: int) -> str:
                try:
                    async with asyncio.timeout(0.001 * (number % 9)):
                        async with open_plain() as connection:
                            await connection.send(str(number))
                            said = await connection.recv()
                            return "right" if said == str(number) else "WRONG"
                except (TimeoutError, ConnectionClosed):
                    return "given up"

            found = await asyncio.gather(*(give_up(number) for number in range(100)))
            print("storm", "WRONG" in found)
            wrong = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            show_wire("no websocket", await wire(ports[0], wrong))
            show_wire("garbage", await wire(ports[0], b"\x00\x01\r\n\r\n"))
            refused = connect(f"ws://127.0.0.1:{ports[1]}", proxy=None, open_timeout=5)
            print("plain to TLS:", (await failure(refused)).split(":")[0])
            last = await open_plain()
        print("server gone:", await failure(last.recv()))
        await last.close()

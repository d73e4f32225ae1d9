"""Tornado on a running asyncio loop: its web server and client, websockets, and raw IOStreams."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Any

from tornado import gen, httpclient, httpserver, iostream, netutil, tcpclient, tcpserver, web
from tornado import websocket as ws
from tornado.ioloop import IOLoop, PeriodicCallback

from .common import client_tls, digest, failure, pattern, server_tls, show_wire, wire

if TYPE_CHECKING:
    from tests.frameworks.launch import World

log: list[str] = []


class Plain(web.RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(0)
        self.write(f"hello {self.get_query_argument('x', '')}")

    async def post(self) -> None:
        self.write(self.request.body)


class Stream(web.RequestHandler):
    @gen.coroutine
    def get(self) -> Any:
        for number in range(100):
            self.write(pattern(number * 17))
            yield self.flush()
            if number % 10 == 0:
                yield gen.sleep(0.001)


class Slow(web.RequestHandler):
    async def get(self) -> None:
        await asyncio.sleep(30)

    def on_connection_close(self) -> None:
        log.append("client went")


@web.stream_request_body
class Upload(web.RequestHandler):
    def prepare(self) -> None:
        self.read = bytearray()

    async def data_received(self, chunk: bytes) -> None:
        await asyncio.sleep(0)
        self.read += chunk

    def put(self) -> None:
        self.write(digest(self.read))


class Echo(ws.WebSocketHandler):
    def on_message(self, message: Any) -> None:
        if message == "close":
            self.close(4001, "as asked")
        else:
            self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self) -> None:
        log.append(f"closed {self.close_code}")

    def get_compression_options(self) -> dict[str, Any]:
        return {}


class Lines(tcpserver.TCPServer):
    async def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        try:
            while True:
                line = await stream.read_until(b"\n", max_bytes=1000)
                if line == b"bytes\n":
                    await stream.write(digest(await stream.read_bytes(1_000_000)).encode() + b"\n")
                elif line == b"big\n":
                    await stream.write(pattern(2_000_000))
                else:
                    await stream.write(line.upper())
        except iostream.StreamClosedError:
            log.append("stream closed")


async def http(client: httpclient.AsyncHTTPClient, base: str, **options: Any) -> None:
    async def fetch(path: str, **more: Any) -> httpclient.HTTPResponse:
        return await client.fetch(base + path, raise_error=False, **options, **more)

    octets = {"Content-Type": "application/octet-stream"}  # else it is parsed as a form
    reply = await fetch("/?x=1")
    print(reply.code, reply.body)
    for size in (0, 1, 100_000, 3_000_000):
        reply = await fetch("/", method="POST", headers=octets, body=pattern(size))
        print("echo", reply.code, digest(reply.body))
    print("stream", digest((await fetch("/stream")).body))
    parts: list[bytes] = []
    await fetch("/stream", streaming_callback=parts.append)
    print("streamed", digest(b"".join(parts)))

    async def produce(write: Any) -> None:
        for start in range(0, 300_000, 9_999):
            await write(pattern(300_000)[start : start + 9_999])

    print("upload", (await fetch("/upload", method="PUT", body_producer=produce)).body)
    print("slow", await failure(fetch("/slow", request_timeout=1)))
    print("none", (await fetch("/none")).code)
    found = await asyncio.gather(*(fetch(f"/?x={number}") for number in range(50)))
    print("fifty at once", {reply.body == b"hello %d" % n for n, reply in enumerate(found)})


async def websockets(url: str) -> None:
    connection = await ws.websocket_connect(url, compression_options={})
    for size in (0, 1, 126, 65_536, 2_000_000):
        await connection.write_message(pattern(size), binary=True)
        print("binary", digest(await connection.read_message()))
    for number in range(300):
        await connection.write_message(f"many {number}")
    print([await connection.read_message() for _ in range(300)][-1])
    await connection.write_message("close")
    print(await connection.read_message(), connection.close_code, connection.close_reason)
    connection.close()


async def streams() -> None:
    server = Lines()
    sockets = netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    port = sockets[0].getsockname()[1]
    stream = await tcpclient.TCPClient().connect("127.0.0.1", port)
    for number in range(100):
        await stream.write(b"line %d\n" % number)
        line = await stream.read_until(b"\n")
    print(line)
    await stream.write(b"bytes\n" + pattern(1_000_000))
    print(await stream.read_until_regex(rb"[a-z]\w*\n"))
    await stream.write(b"big\n")
    into = bytearray(2_000_000)
    print(await stream.read_into(into), digest(into))
    print(await failure(gen.with_timeout(IOLoop.current().time() + 0.02, stream.read_bytes(1))))
    stream.close()
    stream = await tcpclient.TCPClient().connect("127.0.0.1", port)
    await stream.write(b"x" * 2000)
    print(await failure(stream.read_until(b"\n")))
    server.stop()


async def loop_itself() -> None:
    loop = IOLoop.current()
    left, right = socket.socketpair()
    left.setblocking(False)
    seen: asyncio.Queue[Any] = asyncio.Queue()

    def ready(fd: Any, events: int) -> None:
        try:
            seen.put_nowait((fd is left, events, left.recv(100)))
        except BlockingIOError:
            pass  # it is always writable

    loop.add_handler(left, ready, IOLoop.READ)
    right.send(b"one")
    print(await seen.get())
    loop.update_handler(left, IOLoop.WRITE | IOLoop.READ)
    right.send(b"two")
    print(await seen.get())
    loop.remove_handler(left)
    left.close()
    right.close()
    ticks: list[int] = []
    periodic = PeriodicCallback(lambda: ticks.append(1), 5)
    periodic.start()
    await asyncio.sleep(0.1)
    periodic.stop()
    print("ticks", 3 < len(ticks) < 25)
    print("executor", await loop.run_in_executor(None, sum, [1, 2]))
    done: asyncio.Future[str] = asyncio.Future()
    loop.call_later(0.005, loop.add_callback, done.set_result, "called")
    print(await done)


async def main(world: World) -> None:
    loop = world.look()
    assert IOLoop.current().asyncio_loop is loop
    logging.getLogger("tornado").setLevel(logging.CRITICAL)
    handlers = [("/", Plain), ("/stream", Stream), ("/slow", Slow), ("/upload", Upload)]
    app = web.Application([*handlers, ("/ws", Echo)], websocket_max_message_size=1 << 23)
    for tls in (None, client_tls()):
        options = {"ssl_options": server_tls()} if tls else {}
        server = httpserver.HTTPServer(app, max_body_size=1 << 24, **options)
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        port = sockets[0].getsockname()[1]
        print("-- TLS" if tls else "-- plain")
        client = httpclient.AsyncHTTPClient(force_instance=True, max_clients=20)
        await http(client, f"{'https' if tls else 'http'}://localhost:{port}", ssl_options=tls)
        client.close()
        get = b"GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        show_wire("plain", await wire(port, get % b"", tls))
        print("stream", digest(await wire(port, get % b"stream", tls)))
        show_wire("garbage", await wire(port, b"\x00\xff garbage\r\n\r\n", tls))
        if tls is None:
            await websockets(f"ws://127.0.0.1:{port}/ws")
        server.stop()
        await server.close_all_connections()
    await streams()
    await loop_itself()
    await asyncio.sleep(0.05)
    print(sorted(set(log)))

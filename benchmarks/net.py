"""Workloads of what owns a descriptor: servers under a load from outside, sock_*, name lookup.

The servers are written as a program would write them. Names from asyncio are looked up when a
workload runs (`asyncio.start_server`), so that what installs itself over asyncio is measured as it
would be used. The rows that need no peer repeat batches, as other subjects do.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from benchmarks.frameworks import serve_aiohttp, serve_uvicorn, under_wrk
from benchmarks.serving import HOST, Load, Serving, bound_socket, under_idle_connections, under_load
from benchmarks.workload import Bench, Reading, Subject, Unit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

SERVER_CPU = "us of server CPU"
RATE = Unit(
    "thousands a second",
    "times asyncio",
    {
        "wall": Reading(
            "thousands a second",
            "How many in a second, times asyncio (~: the quartiles spread over 20 %):",
            1e-3,
            rate=True,
        ),
        "cpu": Reading(
            SERVER_CPU, "CPU time of the server for each, helper threads included:", 1e6
        ),
    },
)
STREAM = Unit(
    "MiB a second",
    "times asyncio",
    {
        "wall": Reading("MiB a second", "", 1.0, rate=True),
        "cpu": Reading(f"{SERVER_CPU} a MiB", "", 1e6),
    },
)
MEMORY = Unit(
    "bytes",
    "times less",
    {"wall": Reading("bytes", "", 1.0)},
)
NET = Subject(RATE, seconds=0.5, limits=("libuv in C",))

MEBIBYTE = 1 << 20
BLOCK = b"b" * (64 << 10)
HEAD = b"h" * 128
BODY = b"b" * 896
SMALL_REQUEST = 128
LINES = 256
LINE = 64
MESSAGE = b"m" * 1024


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


class HeadAndBody(Echo):
    """Answers each request with two writes, as most HTTP servers do."""

    received = 0

    def data_received(self, data: bytes) -> None:
        """Count, and answer what is complete."""
        self.received += len(data)
        while self.received >= SMALL_REQUEST:
            self.received -= SMALL_REQUEST
            self.transport.write(HEAD)
            self.transport.write(BODY)


class EchoDatagrams(asyncio.DatagramProtocol):
    """Sends back each datagram."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send it back to its sender."""
        self.transport.sendto(data, addr)


def close_server(server: asyncio.AbstractServer) -> Callable[[], Awaitable[object]]:
    """Return what closes a server to the end."""

    async def close() -> None:
        server.close()
        await server.wait_closed()

    return close


def load_protocol(bench: Bench, load: Load, protocol: type[asyncio.Protocol]) -> None:
    """Serve by a protocol."""
    under_load(bench, load, lambda: serve_protocol(bench, protocol))


async def serve_protocol(bench: Bench, protocol: type[asyncio.Protocol]) -> Serving:
    """Start a server of protocols."""
    listener, port = bound_socket()
    server = await bench.loop.create_server(protocol, sock=listener)
    return Serving(port, close_server(server))


async def serve_stream(handler: Handler) -> Serving:
    """Start a server of streams."""
    listener, port = bound_socket()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass  # the load goes as it likes
        finally:
            writer.close()

    server = await asyncio.start_server(handle, sock=listener)
    return Serving(port, close_server(server))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def send_blocks(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send as fast as it is taken."""
    while True:
        writer.write(BLOCK)
        await writer.drain()


async def read_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read line by line, and send back one of many."""
    while True:
        for _ in range(LINES):
            line = await reader.readline()
        if not line:
            return
        writer.write(line)
        await writer.drain()


@NET.once("protocol echo 1 KiB, 1 connection")
def protocol_echo_1(bench: Bench) -> None:
    """Answer one client; both wait for each other."""
    load_protocol(bench, Load(connections=1), Echo)


@NET.once("protocol echo 1 KiB, 50 connections")
def protocol_echo_50(bench: Bench) -> None:
    """Answer fifty clients."""
    load_protocol(bench, Load(), Echo)


@NET.once("streams echo 1 KiB, 50 connections")
def streams_echo_50(bench: Bench) -> None:
    """Read, write and drain for fifty clients."""
    under_load(bench, Load(), lambda: serve_stream(echo))


@NET.once("head and body by two writes, 50 connections")
def split_write_50(bench: Bench) -> None:
    """Answer fifty clients with 1 KiB in two parts."""
    load = Load(request=SMALL_REQUEST, response=len(HEAD + BODY), limit="answer")
    load_protocol(bench, load, HeadAndBody)


@NET.once("bulk stream of 64 KiB writes", unit=STREAM)
def bulk_stream(bench: Bench) -> None:
    """Write and drain without end; an operation is a MiB."""
    load = Load("drain", connections=1, operations=1 / MEBIBYTE, limit="send")
    under_load(bench, load, lambda: serve_stream(send_blocks))


@NET.once("readline, 64 bytes each")
def readline_64(bench: Bench) -> None:
    """Read lines of four clients, which send some hundred at a time; an operation is a line."""
    size = LINES * LINE
    load = Load(connections=4, request=size, response=LINE, operations=LINES, limit=None)
    under_load(bench, load, lambda: serve_stream(read_lines))


@NET.once("UDP echo 1 KiB, 50 clients")
def udp_echo(bench: Bench) -> None:
    """Send back datagrams from one socket."""

    async def serve() -> Serving:
        transport, _ = await bench.loop.create_datagram_endpoint(
            EchoDatagrams, local_addr=(HOST, 0)
        )

        async def close() -> None:
            transport.close()

        return Serving(transport.get_extra_info("sockname")[1], close)

    under_load(bench, Load("datagram", limit="datagram"), serve)


@NET.once("short connections: connect, echo, close")
def short_connections(bench: Bench) -> None:
    """Answer one request of each client, ten at a time; an operation is a connection."""
    load_protocol(bench, Load("short", connections=10), Echo)


@NET.once("memory of an idle connection, protocol", unit=MEMORY)
def idle_protocol(bench: Bench) -> None:
    """Weigh a connection of a protocol that was answered once."""
    under_idle_connections(bench, 1_000, 3_000, lambda: serve_protocol(bench, Echo))


@NET.once("memory of an idle connection, streams", unit=MEMORY)
def idle_streams(bench: Bench) -> None:
    """Weigh a connection whose task waits in read(), which was answered once."""
    under_idle_connections(bench, 1_000, 3_000, lambda: serve_stream(echo))


@NET.workload("getaddrinfo of a literal", size=500)
def getaddrinfo_literal(bench: Bench) -> None:
    """Look up an address that is one already."""

    async def main() -> None:
        for _ in range(bench.size):
            await bench.loop.getaddrinfo(HOST, 80, type=socket.SOCK_STREAM)

    with bench.watch:
        bench.loop.run_until_complete(main())


def with_socket_pair(
    bench: Bench, main: Callable[[socket.socket, socket.socket], Awaitable[None]]
) -> None:
    """Time what is done with two connected sockets."""
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)

    async def run() -> None:
        await main(left, right)

    with left, right, bench.watch:
        bench.loop.run_until_complete(run())


@NET.workload("sock_sendall + sock_recv, data is there", size=1_000)
def sock_ready(bench: Bench) -> None:
    """Send and receive in one task, which never has to wait."""
    loop = bench.loop

    async def main(left: socket.socket, right: socket.socket) -> None:
        for _ in range(bench.size):
            await loop.sock_sendall(left, MESSAGE)
            await loop.sock_recv(right, 65536)

    with_socket_pair(bench, main)


@NET.workload("sock_sendall + sock_recv to and fro", size=1_000)
def sock_ping_pong(bench: Bench) -> None:
    """Pass a message between two tasks, of which each waits for the other."""
    loop = bench.loop

    async def send_back(mine: socket.socket) -> None:
        for _ in range(bench.size // 2):
            await loop.sock_sendall(mine, await loop.sock_recv(mine, 65536))

    async def main(left: socket.socket, right: socket.socket) -> None:
        other = loop.create_task(send_back(right))
        for _ in range(bench.size // 2):
            await loop.sock_sendall(left, MESSAGE)
            await loop.sock_recv(left, 65536)
        await other

    with_socket_pair(bench, main)


@NET.once("HTTP, uvicorn with httptools, under wrk")
def http_uvicorn(bench: Bench) -> None:
    """Answer fifty clients that keep their connections."""
    under_wrk(bench, serve_uvicorn)


@NET.once("HTTP, aiohttp, under wrk")
def http_aiohttp(bench: Bench) -> None:
    """Answer fifty clients that keep their connections."""
    under_wrk(bench, serve_aiohttp)

"""What the programs share: TLS contexts, a client that shows the bytes on the wire, digests.

The client is a blocking socket in a thread: it has no part in the loop that it looks at.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import re
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def certificate(name: str) -> str:
    return str(Path(os.environ["BUCLE_CERTIFICATES"]) / f"{name}.pem")


def server_tls(*, ask_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate("server"))
    if ask_client:
        context.load_verify_locations(certificate("ca"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_tls(*, identify: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate("ca"))
    if identify:
        context.load_cert_chain(certificate("client"))
    return context


def digest(data: bytes | bytearray | memoryview) -> str:
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:16]}"


@functools.cache
def pattern(size: int) -> bytes:
    """So many bytes of which no two stretches are equal, so that a swap shows in the digest."""
    words = b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))
    return words[:size]


def masked(data: bytes) -> bytes:
    """Without what differs from run to run: dates and ports."""
    data = re.sub(rb"(?i)(date|last-modified): [^\r\n]*", rb"\1: -", data)
    data = re.sub(rb'(?i)etag: "[^"]*"', b"etag: -", data)
    return re.sub(rb"127\.0\.0\.1:\d+", b"127.0.0.1:-", data)


def blocking_exchange(
    port: int, sent: bytes, tls: ssl.SSLContext | None = None, *, pause: float = 0
) -> bytes:
    """Send, byte for byte with a pause if one is asked for, and read until the peer closes."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        sock = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            step = max(1, len(sent) // 20 if pause else len(sent))
            for start in range(0, len(sent), step):
                sock.sendall(sent[start : start + step])
                if pause:
                    import time

                    time.sleep(pause)
            while chunk := sock.recv(65536):
                received += chunk
        except ConnectionResetError:
            received += b"<reset>"
        finally:
            sock.close()
    return bytes(received)


async def wire(
    port: int, sent: bytes, tls: ssl.SSLContext | None = None, *, pause: float = 0
) -> bytes:
    """What a server answers, byte for byte, but for dates and ports."""
    return masked(await asyncio.to_thread(blocking_exchange, port, sent, tls, pause=pause))


def show_wire(title: str, answer: bytes) -> None:
    print(f"-- {title}: {len(answer)} bytes")
    for line in answer[:1500].split(b"\r\n"):
        print("  ", ascii(line.decode("latin-1")))


async def storm(
    right: Callable[[int], Awaitable[bool]], unit: float, *, count: int = 40, rounds: int = 2
) -> None:
    """Many questions at once, every third given up at some point of its life.

    An answer that reaches another question is the worst that a loop can do.
    """

    async def ask(number: int) -> str:
        try:
            async with asyncio.timeout(unit * (number % 13) if number % 3 == 0 else None):
                return "right" if await right(number) else "WRONG"
        except TimeoutError:
            return "given up"

    for _ in range(rounds):
        found = await asyncio.gather(*(ask(number) for number in range(count)))
        whole = {answer for number, answer in enumerate(found) if number % 3}
        print("storm", whole, "WRONG" in found)


async def failure(awaitable: object) -> str:
    """The name and text of what an awaitable raises, without ports, or what it returns."""
    try:
        value = await awaitable
    except (Exception, asyncio.CancelledError) as error:
        text = re.sub(r"\b\d{5}\b", "-", str(error))
        # the number and text of OpenSSL's source line change with its build
        return f"{type(error).__name__}: {re.sub(r' *[(]_ssl.c:[^)]*[)]', '', text)}"
    return f"returned {value!r}"

"""What a program can notice of native connections: a row of the differences each."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from typing import Any

import pytest

import bucle

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def run(native: bool, main: Any) -> Any:
    if native:
        return bucle.run(main)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


BOTH = pytest.mark.parametrize("native", [False, True], ids=["asyncio", "bucle"])


@BOTH
def test_a_failed_write_shows_at_the_end_of_the_turn(native: bool) -> None:
    async def main() -> bool:
        left, right = socket.socketpair()
        left.setblocking(False)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            asyncio.Protocol, left
        )
        transport.pause_reading()
        right.close()
        transport.write(b"nobody reads it")
        at_once = transport.is_closing()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert transport.is_closing()
        return at_once

    assert run(native, main()) is not native


@BOTH
def test_one_context_a_connection(native: bool) -> None:
    seen: list[str] = []

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            VARIABLE.set("made")

        def data_received(self, data: bytes) -> None:
            seen.append(VARIABLE.get())

    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(Protocol, left)
        right.send(b"data")
        while not seen:
            await asyncio.sleep(0.001)
        transport.close()
        right.close()
        await asyncio.sleep(0)

    run(native, main())
    assert seen == ["made" if native else "unset"]


@BOTH
def test_small_writes_are_never_delayed(native: bool) -> None:
    async def main() -> int:
        made, lost = asyncio.Event(), asyncio.Event()

        class Accepted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                made.set()

            def connection_lost(self, exc: Exception | None) -> None:
                lost.set()

        server = await asyncio.get_running_loop().create_server(Accepted, "127.0.0.1", 0)
        sock = socket.socket()  # its protocol number is 0
        sock.connect(server.sockets[0].getsockname())
        sock.setblocking(False)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            asyncio.Protocol, sock
        )
        delay: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        await made.wait()
        transport.close()
        await lost.wait()
        server.close()
        return delay

    assert (run(native, main()) != 0) is native

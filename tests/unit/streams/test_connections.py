"""The four functions, on sockets; and who else in asyncio uses streams."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import check_script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support import World


async def echo(reader: Any, writer: Any) -> None:
    async for line in reader:
        writer.write(line)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def talk(server: Any, reader: Any, writer: Any, api: Any) -> list[Any]:
    assert (type(reader), type(writer)) == (api.StreamReader, api.StreamWriter)
    assert type(writer._protocol) is api.StreamReaderProtocol
    writer.writelines([b"one\n", b"two\n"])
    writer.write(b"x" * 300_000 + b"\n")
    answers: list[Any] = [await reader.readline(), await reader.readuntil(b"o\n")]
    answers.append(len(await reader.readexactly(300_001)))
    await writer.drain()
    writer.write_eof()
    answers.append(await reader.read())
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return answers


EXPECTED = [b"one\n", b"two\n", 300_001, b""]


async def test_tcp(world: World, api: Any) -> None:
    server = await api.start_server(echo, "127.0.0.1", 0, limit=1 << 20)
    address = server.sockets[0].getsockname()
    reader, writer = await api.open_connection(*address, limit=1 << 19)
    assert reader._limit == 1 << 19
    assert await talk(server, reader, writer, api) == EXPECTED


async def test_unix(world: World, api: Any, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await api.start_unix_server(echo, path, limit=1 << 20)
    reader, writer = await api.open_unix_connection(path, limit=1 << 20)
    assert await talk(server, reader, writer, api) == EXPECTED


async def test_a_connected_socket(world: World, api: Any) -> None:
    left, right = socket.socketpair()
    reader, writer = await api.open_connection(sock=left)
    right.sendall(b"data")
    right.close()
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert data == b"data"


async def test_a_plain_function_for_each_client(world: World, api: Any) -> None:
    def meet(reader: Any, writer: Any) -> None:
        writer.write(b"hello")
        writer.close()

    server = await api.start_server(meet, "127.0.0.1", 0)
    reader, writer = await api.open_connection(*server.sockets[0].getsockname())
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    assert data == b"hello"


async def test_a_refused_connection(world: World, api: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await api.open_connection(*unused.getsockname())


def test_outside_of_a_loop(api: Any) -> None:
    for function in (api.open_connection, api.open_unix_connection):
        awaitable = function()
        with pytest.raises(RuntimeError, match="no running event loop"):
            awaitable.send(None)


def test_subprocesses_after_install() -> None:
    source = """
    import asyncio, sys, bucle
    async def main():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c",
            "import sys; print(sys.stdin.read().upper(), end=''); sys.exit(3)",
            stdin=-1, stdout=-1, stderr=-1)
        assert type(process.stdout) is bucle.StreamReader
        assert type(process.stdin) is bucle.StreamWriter
        out, err = await process.communicate(b"x" * 200_000 + b"end")
        assert out == b"X" * 200_000 + b"END", len(out)
        assert err == b""
        assert process.returncode == 3
        process = await asyncio.create_subprocess_shell("cat", stdin=-1, stdout=-1)
        process.stdin.write(b"line" + bytes([10]))
        await process.stdin.drain()
        assert await process.stdout.readline() == b"line" + bytes([10])
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.wait() == 0
    bucle.install()
    asyncio.run(main())
    bucle.uninstall()
    """
    assert check_script(source) == ""


async def test_pipes(world: World, api: Any) -> None:
    left, right = socket.socketpair()
    loop = asyncio.get_running_loop()
    reader = api.StreamReader(loop=loop)
    make = lambda: api.StreamReaderProtocol(reader, loop=loop)  # noqa: E731
    transport, protocol = await loop.connect_read_pipe(make, left.makefile("rb", 0))
    left.close()
    right.sendall(b"line\nrest")
    right.close()
    got = await reader.readline(), await reader.read()
    transport.close()
    await protocol._get_close_waiter(None)
    assert got == (b"line\n", b"rest")

"""create_unix_server and create_unix_connection: paths, abstract names, what is left on disk."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import unix_pair

from .peers import (
    Factory,
    Net,
    Recorder,
    attempt,
    cancelled_after,
    closed,
    said,
    same_as_stock,
    turns,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CLEANS_UP = (
    "cleanup_socket" in inspect.signature(asyncio.SelectorEventLoop.create_unix_server).parameters
)


class Serving(Factory):
    """A server on a name, with the protocols that it made."""

    async def start(self, loop: Any, *arguments: Any, **keywords: Any) -> Any:
        return await loop.create_unix_server(self, *arguments, **keywords)

    async def exchange(self, loop: Any, name: Any) -> None:
        """One client connects, is heard and answered, and goes."""
        transport, protocol = await loop.create_unix_connection(Recorder, name)
        await until(lambda: self.made and self.made[-1].calls)
        accepted = self.made.pop()
        transport.write(b"question")
        await until(lambda: accepted.received == b"question")
        accepted.transport.write(b"answer")
        await until(lambda: protocol.received == b"answer")
        await closed(transport)
        await until(lambda: accepted.lost)


async def end(server: Any) -> None:
    server.close()
    await server.wait_closed()
    await turns(2)


@pytest.mark.parametrize("form", [str, Path, os.fsencode])
async def test_paths(net: Net, tmp_path: Path, form: Callable[[Any], Any]) -> None:
    serving = Serving()
    path = tmp_path / "socket"
    server = await serving.start(net.loop, form(path))
    assert isinstance(server, asyncio.Server)
    (sock,) = server.sockets
    assert sock.family == socket.AF_UNIX
    assert sock.getsockname() == str(path)
    await serving.exchange(net.loop, form(path))
    await end(server)


@pytest.mark.parametrize("form", [str, str.encode])
async def test_abstract_names(net: Net, form: Callable[[str], Any]) -> None:
    serving = Serving()
    name = form(f"\0bucle-{os.getpid()}-stream")
    server = await serving.start(net.loop, name)
    (sock,) = server.sockets
    assert sock.getsockname() == (name if isinstance(name, bytes) else name.encode())
    await serving.exchange(net.loop, name)
    with pytest.raises(OSError, match="already in use"):
        await serving.start(net.loop, name)
    await end(server)
    with pytest.raises(ConnectionRefusedError):
        await net.loop.create_unix_connection(Recorder, name)


async def test_extra_info(net: Net, tmp_path: Path) -> None:
    serving = Serving()
    path = str(tmp_path / "socket")
    server = await serving.start(net.loop, path)
    transport, _ = await net.loop.create_unix_connection(Recorder, path)
    await until(lambda: serving.made and serving.made[0].calls)
    accepted = serving.made[0].transport
    assert transport.get_extra_info("peername") == path
    assert transport.get_extra_info("sockname") == ""
    assert accepted.get_extra_info("peername") == ""
    assert accepted.get_extra_info("sockname") == path
    credentials = accepted.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, 12
    )
    assert struct.unpack("3i", credentials) == (os.getpid(), os.getuid(), os.getgid())
    await closed(transport)
    await until(lambda: serving.made[0].lost)
    await end(server)


async def test_a_stale_socket_is_replaced(net: Net, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    serving = Serving()
    server = await serving.start(net.loop, path)
    await serving.exchange(net.loop, path)
    await end(server)


def test_another_file_is_not_replaced(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")

    async def scenario(loop: Any) -> Any:
        return await attempt(loop.create_unix_server(Recorder, str(path)))

    _, _, text = same_as_stock(net, scenario)
    assert f"Address {str(path)!r} is already in use" in text
    assert path.read_text() == "precious"


@pytest.mark.parametrize("given", [None, True, False])
@pytest.mark.parametrize("own_socket", [False, True])
def test_what_is_left_on_disk(
    net: Net, tmp_path: Path, given: bool | None, own_socket: bool
) -> None:
    path = tmp_path / "socket"
    keywords = {} if given is None else {"cleanup_socket": given}

    async def scenario(loop: Any) -> Any:
        try:
            if own_socket:
                sock = socket.socket(socket.AF_UNIX)
                sock.bind(str(path))
                try:
                    server = await loop.create_unix_server(Recorder, sock=sock, **keywords)
                except TypeError:
                    sock.close()
                    raise
            else:
                server = await loop.create_unix_server(Recorder, str(path), **keywords)
        except TypeError as error:
            path.unlink(missing_ok=True)
            return str(error).rpartition(".")[2]
        assert path.exists()
        await end(server)
        left = path.exists()
        path.unlink(missing_ok=True)
        return left

    left = same_as_stock(net, scenario)
    if CLEANS_UP:
        assert left is (given is False)


async def test_a_path_that_is_gone_already(net: Net, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await Serving().start(net.loop, str(path))
    path.unlink()
    await end(server)
    assert not path.exists()


async def test_the_path_of_a_successor_is_kept(net: Net, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    old = await Serving().start(net.loop, path)
    serving = Serving()
    new = await serving.start(net.loop, path)
    await end(old)
    await serving.exchange(net.loop, path)
    await end(new)


SERVER_REFUSES: list[dict[str, Any]] = [
    {},
    {"path": "path", "sock": "stream"},
    {"sock": "tcp"},
    {"sock": "datagram"},
    {"path": "path", "ssl": True},
    {"path": "path", "ssl_handshake_timeout": 1},
    {"path": "path", "ssl_shutdown_timeout": 1},
    {"path": "/no/such/folder/socket"},
    {"path": "x" * 200},
    {"path": ""},
    {"path": 5},
    {"path": "nul\0inside"},
]
CLIENT_REFUSES: list[dict[str, Any]] = [
    {},
    {"path": "path", "sock": "stream"},
    {"sock": "tcp"},
    {"sock": "datagram"},
    {"path": "path", "ssl": True},
    {"path": "path", "server_hostname": "name"},
    {"path": "path", "ssl_handshake_timeout": 1},
    {"path": "path", "ssl_shutdown_timeout": 1},
    {"path": "/no/such/folder/socket"},
    {"path": "/"},
    {"path": "x" * 200},
    {"path": 5},
    {"path": "nul\0inside"},
]


@pytest.mark.parametrize(
    ("method", "keywords"),
    [("create_unix_server", each) for each in SERVER_REFUSES]
    + [("create_unix_connection", each) for each in CLIENT_REFUSES],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # asyncio drops the socket that it made
def test_what_is_refused(net: Net, tmp_path: Path, method: str, keywords: dict[str, Any]) -> None:
    socks = {
        "stream": socket.socket(socket.AF_UNIX),
        "tcp": socket.socket(),
        "datagram": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    }
    given = dict(keywords)
    if "sock" in given:
        given["sock"] = socks[given["sock"]]
    if given.get("path") == "path":
        given["path"] = str(tmp_path / "path")

    async def scenario(loop: Any) -> Any:
        return await attempt(getattr(loop, method)(Recorder, **given))

    assert type(same_as_stock(net, scenario)[0]) is str
    for sock in socks.values():
        assert sock.fileno() != -1
        sock.close()


async def test_nobody_listens(net: Net, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        with pytest.raises(ConnectionRefusedError):
            await net.loop.create_unix_connection(Recorder, path)
    with pytest.raises(FileNotFoundError):
        await net.loop.create_unix_connection(Recorder, path + "nothing")


async def test_a_given_socket(net: Net) -> None:
    sock, peer = unix_pair()
    sock.setblocking(True)
    transport, protocol = await net.loop.create_unix_connection(Recorder, sock=sock)
    assert sock.gettimeout() == 0
    peer.send(b"x")
    await until(lambda: protocol.received)
    await closed(transport, peer)


def test_a_full_backlog(net: Net, tmp_path: Path) -> None:
    """connect() says EAGAIN: asyncio takes that for a connection, which ends as it begins."""
    path = str(tmp_path / "socket")

    async def scenario(loop: Any) -> Any:
        transport, protocol = await loop.create_unix_connection(Recorder, path)
        await until(lambda: protocol.lost)
        assert transport.get_extra_info("socket").fileno() == -1
        return protocol.calls, said(protocol.error)

    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket(socket.AF_UNIX))
        listening.bind(path)
        listening.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(path)
        calls, _ = same_as_stock(net, scenario)
    assert calls == ["made", "lost"]


async def test_cancelled_after_so_many_turns(net: Net, tmp_path: Path) -> None:
    serving = Serving()
    path = str(tmp_path / "socket")
    server = await serving.start(net.loop, path)
    for after in range(8):
        connecting = net.loop.create_unix_connection(Recorder, path)
        if made := await cancelled_after(after, connecting):
            await closed(made[0])
    await until(lambda: all(each.lost for each in serving.made))
    await turns(20)
    await until(lambda: all(each.lost for each in serving.made))
    await end(server)

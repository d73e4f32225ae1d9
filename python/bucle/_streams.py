"""The functions of the streams API: they run once a connection, so they are Python.

They do what asyncio's do, on the running loop whichever that is, with native readers, writers and
protocols. Name, signature and documentation are those of the running version's functions.
"""

from __future__ import annotations

import functools
from asyncio import events, streams
from typing import TYPE_CHECKING, Any

from ._core import StreamReader, StreamReaderProtocol, StreamWriter

if TYPE_CHECKING:
    from collections.abc import Callable

_DEFAULT_LIMIT: int = vars(streams)["_DEFAULT_LIMIT"]


async def open_connection(
    host: Any = None, port: Any = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    loop = events.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, host, port, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_server(
    client_connected_cb: Any,
    host: Any = None,
    port: Any = None,
    *,
    limit: int = _DEFAULT_LIMIT,
    **kwds: Any,
) -> Any:
    loop = events.get_running_loop()
    factory = _server_protocol(client_connected_cb, limit, loop)
    return await loop.create_server(factory, host, port, **kwds)


async def open_unix_connection(
    path: Any = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
) -> tuple[StreamReader, StreamWriter]:
    loop = events.get_running_loop()
    reader = StreamReader(limit=limit, loop=loop)
    protocol = StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.create_unix_connection(lambda: protocol, path, **kwds)
    return reader, StreamWriter(transport, protocol, reader, loop)


async def start_unix_server(
    client_connected_cb: Any, path: Any = None, *, limit: int = _DEFAULT_LIMIT, **kwds: Any
) -> Any:
    loop = events.get_running_loop()
    factory = _server_protocol(client_connected_cb, limit, loop)
    return await loop.create_unix_server(factory, path, **kwds)


def _server_protocol(
    client_connected_cb: Any, limit: int, loop: Any
) -> Callable[[], StreamReaderProtocol]:
    """What makes the protocol of each connection that a server accepts."""

    def factory() -> StreamReaderProtocol:
        reader = StreamReader(limit=limit, loop=loop)
        return StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return factory


def _be_like_asyncios(function: Callable[..., Any]) -> None:
    """Take over name, documentation and, through `__wrapped__`, signature of the stock function."""
    stock = getattr(streams, function.__name__)
    # Not the module: pickles find it by its own.
    assigned = ("__name__", "__qualname__", "__doc__")
    functools.update_wrapper(function, stock, assigned=assigned, updated=())


for _function in (open_connection, start_server, open_unix_connection, start_unix_server):
    _be_like_asyncios(_function)

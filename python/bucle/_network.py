"""What a loop does per connection: which transport it makes, and how a server begins to accept.

asyncio's own create_connection, create_server and the like call these few private methods of their
loop. The transports that they return are native; what is no real socket (a stand-in of some test,
say) gets asyncio's.
"""

from __future__ import annotations

import functools
import socket
from asyncio import base_events, selector_events, sslproto
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING, Any

from ._core import send_gathered, set_connection_socket

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable
    from contextvars import Context

_Stock: Any = selector_events.BaseSelectorEventLoop
_StockTransport: Any = vars(selector_events)["_SelectorSocketTransport"]


class _ConnectionSocket(TransportSocket):
    """What a connection shows of its socket. What the turn wrote so far goes out before anything
    is done to the descriptor itself."""

    __slots__ = ()

    def fileno(self) -> int:
        send_gathered()
        return super().fileno()

    def dup(self) -> socket.socket:
        send_gathered()
        return super().dup()

    def shutdown(self, how: int) -> None:
        send_gathered()
        super().shutdown(how)

    def setsockopt(self, *args: Any, **kwargs: Any) -> None:
        send_gathered()
        super().setsockopt(*args, **kwargs)


set_connection_socket(_ConnectionSocket)

# What a transport asks of its socket; who overrides one of these wants to be asked.
_ASKED = ("fileno", "recv", "recv_into", "send", "sendmsg", "shutdown")
_PLAIN = [getattr(socket.socket, name) for name in _ASKED]


def _may_use_descriptor(sock: Any) -> bool:
    """Whether nobody wants to be asked. By type: a mock says what it was told to say."""
    kind = type(sock)
    return kind is socket.socket or (
        issubclass(kind, socket.socket) and [getattr(kind, name) for name in _ASKED] == _PLAIN
    )


def _ensure_fd_no_transport(self: Any, fd: Any) -> None:
    fileno = fd
    if not isinstance(fileno, int):
        try:
            fileno = int(fileno.fileno())
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"Invalid file object: {fd!r}") from None
    transport = self._transport_of(fileno) if fileno >= 0 else None
    transport = transport or self._made_transports.get(fileno)
    if transport and not transport.is_closing():
        raise RuntimeError(f"File descriptor {fd!r} is used by transport {transport!r}")


def _make_socket_transport(
    self: Any,
    sock: Any,
    protocol: asyncio.BaseProtocol,
    waiter: asyncio.Future[Any] | None = None,
    *,
    extra: dict[str, Any] | None = None,
    server: base_events.Server | None = None,
    context: Context | None = None,
) -> asyncio.Transport:
    self._ensure_fd_no_transport(sock)
    if _may_use_descriptor(sock):
        made = self._new_transport(sock, protocol, waiter, extra, server, context)
    else:
        made = _StockTransport(self, sock, protocol, waiter, extra, server)
    return made  # type: ignore[no-any-return]


def _make_ssl_transport(
    self: Any,
    rawsock: socket.socket,
    protocol: asyncio.BaseProtocol,
    sslcontext: ssl.SSLContext,
    waiter: Any = None,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    extra: dict[str, Any] | None = None,
    server: base_events.Server | None = None,
    context: Context | None = None,
    **timeouts: Any,
) -> asyncio.Transport:
    self._ensure_fd_no_transport(rawsock)
    tls = sslproto.SSLProtocol(
        self, protocol, sslcontext, waiter, server_side, server_hostname, **timeouts
    )
    self._make_socket_transport(rawsock, tls, extra=extra, server=server, context=context)
    return tls._app_transport


def _start_serving(
    self: Any,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
    sock: Any,
    sslcontext: ssl.SSLContext | None = None,
    server: base_events.Server | None = None,
    backlog: int = 100,
    *rest: Any,
    context: Context | None = None,
    **timeouts: Any,
) -> None:
    if sslcontext or not _may_use_descriptor(sock):
        given = {} if context is None else {"context": context}
        _Stock._start_serving(
            self, protocol_factory, sock, sslcontext, server, backlog, *rest, **timeouts, **given
        )
        return
    if len(rest) > 2:  # by position, behind the two timeouts of TLS
        context = rest[2]
    again = functools.partial(
        self._start_serving, protocol_factory, sock, sslcontext, server, backlog, context=context
    )
    self._listen(protocol_factory, sock, server, backlog, context, again)


async def _sendfile_native(
    self: Any, transp: Any, file: Any, offset: int, count: int | None
) -> Any:
    if not hasattr(transp, "_lend_fd"):  # not native
        return await _Stock._sendfile_native(self, transp, file, offset, count)
    # asyncio's own takes the transport out of this dict for the time, and puts it back
    fd = transp._sock_fd
    if self._transport_of(fd) is not transp:
        raise KeyError(fd)  # lent already
    self._transports[fd] = transp
    transp._lend_fd()
    try:
        return await _Stock._sendfile_native(self, transp, file, offset, count)
    finally:
        self._transports.pop(fd, None)
        transp._take_fd_back()


METHODS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        _ensure_fd_no_transport,
        _make_socket_transport,
        _make_ssl_transport,
        _start_serving,
        _sendfile_native,
    )
}

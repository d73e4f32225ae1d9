"""Exceptions in protocol callbacks go where asyncio sends them: reported, told, or out of the run.

An ordinary exception is reported and, if it came out of reading, ends the connection; an exit or an
interrupt leaves the run, and the loop can be used again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest

from .peers import (
    BufferedRecorder,
    Factory,
    Net,
    Recorder,
    attempt,
    closed,
    connected,
    fill,
    receive,
    reset,
    same_as_stock,
    tcp_pair,
    turns,
    until,
)

EXITS = pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])


def failing(base: type[Recorder], method: str, error: type[BaseException]) -> type[Recorder]:
    """A protocol one callback of which raises, after it has been noted."""

    def fail(self: Any, *arguments: Any) -> Any:
        getattr(super(made, self), method)(*arguments)
        raise error("on purpose")

    made: type[Recorder] = type("Failing", (base,), {method: fail})
    return made


@pytest.mark.parametrize(
    ("base", "method", "message"),
    [
        (Recorder, "data_received", "Fatal error: protocol.data_received() call failed."),
        (Recorder, "eof_received", "Fatal error: protocol.eof_received() call failed."),
        (BufferedRecorder, "get_buffer", "Fatal error: protocol.get_buffer() call failed."),
        (BufferedRecorder, "buffer_updated", "Fatal error: protocol.buffer_updated() call failed."),
        (BufferedRecorder, "eof_received", "Fatal error: protocol.eof_received() call failed."),
    ],
)
async def test_reading_fails(net: Net, base: type[Recorder], method: str, message: str) -> None:
    transport, protocol, peer = await connected(net.loop, failing(base, method, LookupError))
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    await until(lambda: protocol.lost)
    assert isinstance(protocol.error, LookupError)
    assert transport.is_closing()
    (context,) = net.take_errors()
    assert context == {
        "message": message,
        "exception": protocol.error,
        "transport": transport,
        "protocol": protocol,
    }
    # what was not read makes a reset of the end
    assert await attempt(receive(peer)) == b"" or method == "get_buffer"
    peer.close()


@pytest.mark.parametrize("error", [OSError, ConnectionResetError, asyncio.CancelledError])
def test_errors_of_the_system_are_not_reported(
    net: Net, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """An OSError from a protocol counts as one of the connection; a cancellation does not."""

    async def main() -> None:
        _, protocol, peer = await connected(net.loop, failing(Recorder, "data_received", error))
        peer.send(b"x")
        await until(lambda: protocol.lost)
        assert type(protocol.error) is error
        reported = net.take_errors()
        assert len(reported) == (0 if issubclass(error, OSError) else 1)
        peer.close()

    with caplog.at_level(logging.DEBUG, "asyncio"):
        net.run(main())
    assert not [each for each in caplog.records if "Fatal" in each.getMessage()]


def test_errors_of_the_system_are_logged_in_debug_mode(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        net.loop.set_debug(True)
        _, protocol, peer = await connected(net.loop)
        reset(peer)
        await until(lambda: protocol.lost)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        net.run(main())
    (record,) = [each for each in caplog.records if "Fatal" in each.getMessage()]
    assert record.getMessage().endswith(": Fatal read error on socket transport")
    assert record.levelno == logging.DEBUG
    assert record.exc_info is not None
    assert record.exc_info[0] is ConnectionResetError


async def test_an_empty_buffer(net: Net) -> None:
    _, protocol, peer = await connected(net.loop, lambda: BufferedRecorder(0))
    peer.send(b"x")
    await until(lambda: protocol.lost)
    (context,) = net.take_errors()
    assert context["message"] == "Fatal error: protocol.get_buffer() call failed."
    assert isinstance(protocol.error, RuntimeError)
    assert str(protocol.error) == "get_buffer() returned an empty buffer"
    peer.close()


@pytest.mark.parametrize(
    "buffer",
    [b"bytes", "text", memoryview(b"read-only"), memoryview(bytearray(64))[::2]],
    ids=["bytes", "text", "read-only", "strided"],
)
def test_a_buffer_that_cannot_be_written(net: Net, buffer: Any) -> None:
    class Odd(BufferedRecorder):
        def get_buffer(self, sizehint: int) -> Any:
            return buffer

    async def scenario(loop: Any) -> Any:
        reports: list[Any] = []
        loop.set_exception_handler(lambda _, report: reports.append(report))
        transport, protocol, peer = await connected(loop, Odd)
        peer.send(b"x")
        await until(lambda: protocol.lost)
        await closed(transport, peer)
        loop.set_exception_handler(None)
        (report,) = reports
        return report["message"], type(protocol.error).__name__, str(protocol.error)

    assert same_as_stock(net, scenario)[0] == "Fatal read error on socket transport"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # stock's __del__
@pytest.mark.parametrize("protocol", [None, 5])
async def test_a_factory_that_makes_no_protocol(net: Net, protocol: Any) -> None:
    kind = type(protocol).__name__
    mine, peer = tcp_pair()
    with mine, peer:
        with pytest.raises(AttributeError, match=f"'{kind}' object has no attribute 'connection_m"):
            await net.loop.create_connection(lambda: protocol, sock=mine)


@pytest.mark.parametrize("buffer", [b"read-only", None, 5, memoryview(b"read-only")])
async def test_what_is_no_buffer(net: Net, buffer: Any) -> None:
    _, protocol, peer = await connected(net.loop, BufferedRecorder)
    protocol.buffer = buffer
    peer.send(b"x")
    await until(lambda: protocol.lost)
    (context,) = net.take_errors()
    assert context["message"].startswith("Fatal ")
    assert isinstance(protocol.error, (TypeError, BufferError))
    peer.close()


async def test_connection_made_fails(net: Net) -> None:
    """It is reported as any callback, and the connection goes on."""
    made = failing(Recorder, "connection_made", LookupError)
    transport, protocol, peer = await connected(net.loop, made)
    (context,) = net.take_errors()
    assert context["message"].startswith("Exception in callback ")
    assert isinstance(context["exception"], LookupError)
    peer.send(b"x")
    await until(lambda: protocol.received)
    await closed(transport, peer)


@pytest.mark.parametrize("end", ["close", "abort", "peer", "reset"])
async def test_connection_lost_fails(net: Net, end: str) -> None:
    made = failing(Recorder, "connection_lost", LookupError)
    transport, protocol, peer = await connected(net.loop, made)
    sock = transport.get_extra_info("socket")
    if end == "peer":
        peer.close()
    elif end == "reset":
        reset(peer)
    else:
        getattr(transport, end)()
    await until(lambda: sock.fileno() == -1)
    await turns(3)
    (context,) = net.take_errors()
    assert context["message"].startswith("Exception in callback ")
    assert isinstance(context["exception"], LookupError)
    assert protocol.calls.count("lost") == 1
    peer.close()


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
async def test_flow_control_fails(net: Net, method: str) -> None:
    """It is reported, and the connection goes on."""
    made = failing(Recorder, method, LookupError)
    transport, protocol, peer = await connected(net.loop, made)
    transport.set_write_buffer_limits(0)
    sent = fill(transport)
    assert len(await receive(peer, sent)) == sent
    await until(lambda: "resume" in protocol.calls)
    (context,) = net.take_errors()
    assert context["message"] == f"protocol.{method}() failed"
    assert isinstance(context["exception"], LookupError)
    assert context["transport"] is transport
    assert context["protocol"] is protocol
    assert not transport.is_closing()
    transport.write(b"more")
    assert await receive(peer, 4) == b"more"
    await closed(transport, peer)


@EXITS
@pytest.mark.parametrize(
    ("base", "method"),
    [
        (Recorder, "connection_made"),
        (Recorder, "data_received"),
        (Recorder, "eof_received"),
        (Recorder, "connection_lost"),
        (BufferedRecorder, "get_buffer"),
        (BufferedRecorder, "buffer_updated"),
    ],
)
def test_an_exit_in_a_callback_leaves_the_run(
    net: Net, base: type[Recorder], method: str, error: type[BaseException]
) -> None:
    mine, peer = tcp_pair()
    peer.send(b"x")
    peer.shutdown(socket.SHUT_WR)
    loop = net.loop
    protocol = failing(base, method, error)()
    connecting = loop.create_task(loop.create_connection(lambda: protocol, sock=mine))
    with pytest.raises(error, match="on purpose"):
        loop.run_forever()
    assert not loop.is_running()
    assert net.take_errors() == []

    async def rest() -> None:
        transport, _ = await connecting
        sock = transport.get_extra_info("socket")
        transport.set_protocol(Recorder())
        transport.abort()
        await until(lambda: sock.fileno() == -1)

    net.run(rest())
    peer.close()


@EXITS
async def test_an_exit_in_pause_writing_reaches_the_writer(
    net: Net, error: type[BaseException]
) -> None:
    made = failing(Recorder, "pause_writing", error)
    transport, _, peer = await connected(net.loop, made)
    transport.set_write_buffer_limits(0)
    with pytest.raises(error):
        fill(transport)
    await closed(transport, peer)


@EXITS
def test_an_exit_in_a_servers_protocol_leaves_the_run(net: Net, error: type[BaseException]) -> None:
    factory = Factory(failing(Recorder, "data_received", error))
    server = net.run(net.loop.create_server(factory, "127.0.0.1", 0))
    peer = socket.create_connection(server.sockets[0].getsockname())
    peer.send(b"x")
    with pytest.raises(error, match="on purpose"):
        net.loop.run_forever()

    async def finish() -> None:
        server.close()
        await closed(factory.made[0].transport, peer)
        await server.wait_closed()

    net.run(finish())


async def test_a_reset_is_an_error_of_the_connection(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop)
    peer.send(b"x")
    await until(lambda: protocol.received)
    reset(peer)
    await until(lambda: protocol.lost)
    assert protocol.calls == ["made", "data", "lost"]
    assert isinstance(protocol.error, ConnectionResetError)
    assert transport.is_closing()


async def test_set_protocol_to_what_is_none(net: Net) -> None:
    """asyncio looks at nothing; what cannot be called fails when it is called."""
    transport, _, peer = await connected(net.loop)
    transport.set_protocol(None)
    assert transport.get_protocol() is None
    peer.send(b"x")
    await until(lambda: len(net.errors) == 2)
    reading, losing = net.take_errors()
    assert reading["message"] == "Fatal error: protocol.data_received() call failed."
    assert losing["message"].startswith("Exception in callback ")
    for context in (reading, losing):
        assert isinstance(context["exception"], AttributeError)
    assert transport.get_extra_info("socket").fileno() == -1
    peer.close()

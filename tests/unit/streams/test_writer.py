"""StreamWriter and StreamReaderProtocol over a transport that only keeps what is done to it."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import BEFORE_MENDED
from tests.unit.streams.conftest import Transport

if TYPE_CHECKING:
    from tests.support import World


def connected(world: World, api: Any, transport: Transport, callback: Any = None) -> Any:
    """A protocol whose connection is made, and a writer and a reader on it."""
    reader = api.StreamReader(loop=world.loop)
    protocol = api.StreamReaderProtocol(reader, callback, loop=world.loop)
    protocol.connection_made(transport)
    return reader, protocol, api.StreamWriter(transport, protocol, reader, world.loop)


def test_what_is_passed_on(world: World, api: Any) -> None:
    transport = Transport({"peername": "somebody"})
    _, protocol, writer = connected(world, api, transport)
    assert writer.transport is transport
    assert writer.write(b"data") is None
    assert writer.writelines([b"a", b"b"]) is None
    assert writer.write_eof() == "answer"
    assert writer.can_write_eof() is True
    assert writer.get_extra_info("peername") == "somebody"
    assert writer.get_extra_info("nothing", 5) == 5
    assert writer.is_closing() is False
    assert writer.close() == "closed"
    assert writer.is_closing() is True
    assert transport.calls == [
        ("write", b"data"),
        ("writelines", [b"a", b"b"]),
        "write_eof",
        "close",
    ]
    assert (writer._transport, writer._protocol, writer._loop) == (transport, protocol, world.loop)
    assert writer._complete_fut.result() is None
    with pytest.raises(AttributeError):
        writer.transport = None


def test_repr(world: World, api: Any, transport: Transport) -> None:
    _, protocol, writer = connected(world, api, transport)
    assert repr(writer) == (
        "<StreamWriter transport=<Transport> reader=<StreamReader transport=<Transport>>>"
    )
    kind = type("Mine", (api.StreamWriter,), {})
    alone = kind(transport, protocol, None, world.loop)
    assert repr(alone) == "<Mine transport=<Transport>>"
    transport.closing = True


def test_a_reader_of_either_kind_and_nothing_else(
    world: World, api: Any, transport: Transport
) -> None:
    transport.closing = True
    for reader in (None, asyncio.StreamReader(loop=world.loop), api.StreamReader(loop=world.loop)):
        assert api.StreamWriter(transport, None, reader, world.loop)._reader is reader
    with pytest.raises(AssertionError):
        api.StreamWriter(transport, None, object(), world.loop)


def test_drain_with_nothing_to_wait_for(world: World, api: Any, transport: Transport) -> None:
    _, _, writer = connected(world, api, transport)
    with pytest.raises(StopIteration):
        writer.drain().send(None)
    writer.close()
    draining = writer.drain()
    assert draining.send(None) is None  # a turn, in which the connection may be lost
    with pytest.raises(StopIteration):
        draining.send(None)


def test_drain_waits_while_paused(world: World, api: Any, transport: Transport) -> None:
    _, protocol, writer = connected(world, api, transport)
    protocol.pause_writing()
    with pytest.raises(AssertionError):
        protocol.pause_writing()
    waiting = [world.task(writer.drain()) for _ in range(3)]
    world.turn()
    assert len(protocol._drain_waiters) == 3
    waiting[1].cancel()
    world.turn()
    assert waiting[1].cancelled()
    assert len(protocol._drain_waiters) == 2
    protocol.resume_writing()
    world.turn(2)
    assert [task.done() for task in waiting] == [True] * 3
    assert not protocol._drain_waiters
    with pytest.raises(AssertionError):
        protocol.resume_writing()
    writer.close()


@pytest.mark.parametrize("error", [None, OSError("lost")])
def test_a_lost_connection(world: World, api: Any, transport: Transport, error: Any) -> None:
    reader, protocol, writer = connected(world, api, transport)
    protocol.pause_writing()
    tasks = [world.task(each) for each in (writer.drain(), writer.wait_closed(), reader.read(1))]
    world.turn()
    protocol.connection_lost(error)
    world.turn(2)
    if error is None:
        assert [task.result() for task in tasks] == [None, None, b""]
        assert reader.at_eof()
    else:
        assert [task.exception() for task in tasks] == [error] * 3
        assert reader.exception() is error
        with pytest.raises(OSError, match="lost") as caught:
            world.run(writer.drain())
        assert caught.value is error
        reader.set_exception(None)
    with pytest.raises(ConnectionResetError, match=r"^Connection lost$"):
        world.run(writer.drain())
    assert protocol._transport is None
    assert protocol._stream_reader is None
    protocol.data_received(b"late")
    assert protocol.eof_received() is True
    writer.close()


def test_over_tls_the_end_closes(world: World, api: Any) -> None:
    transport = Transport({"sslcontext": object()})
    transport.closing = True
    _, protocol, _ = connected(world, api, transport)
    assert protocol._over_ssl is True
    assert protocol.eof_received() is False


def test_the_protocol_does_not_keep_its_reader(
    world: World, api: Any, transport: Transport
) -> None:
    transport.closing = True
    reader = api.StreamReader(loop=world.loop)
    protocol = api.StreamReaderProtocol(reader, loop=world.loop)
    gone = weakref.ref(reader)
    assert protocol._stream_reader is reader
    assert protocol._stream_reader_wr == gone
    del reader
    gc.collect()
    assert gone() is None
    protocol.connection_made(transport)
    protocol.data_received(b"data")
    assert protocol.eof_received() is True
    protocol.connection_lost(None)


def test_a_server_keeps_its_reader_until_it_is_connected(
    world: World, api: Any, transport: Transport
) -> None:
    transport.closing = True
    seen: list[Any] = []
    callback = lambda reader, writer: seen.append((reader, writer))  # noqa: E731
    protocol = api.StreamReaderProtocol(api.StreamReader(loop=world.loop), callback, world.loop)
    gc.collect()
    protocol.connection_made(transport)
    (reader, writer), *others = seen
    assert not others
    assert type(reader) is api.StreamReader
    assert type(writer) is api.StreamWriter
    assert reader._transport is writer.transport is transport
    assert protocol._task is None
    protocol.connection_lost(None)


def test_the_task_of_a_client(world: World, api: Any, transport: Transport) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        got.append(await reader.readline())
        writer.close()

    got: list[bytes] = []
    _, protocol, _ = connected(world, api, transport, talk)
    assert isinstance(protocol._task, asyncio.Task)
    protocol.data_received(b"hello\n")
    world.turn(3)
    assert got == [b"hello\n"]
    assert transport.calls == ["close"]
    protocol.connection_lost(None)


@pytest.mark.mended_in_3_11_7
def test_a_client_task_that_fails(world: World, api: Any, transport: Transport) -> None:
    async def talk(reader: Any, writer: Any) -> None:
        raise KeyError("client")

    kept = connected(world, api, transport, talk)
    world.turn(3)
    del kept
    (context,) = world.take_errors()
    assert context["message"] == "Unhandled exception in client_connected_cb"
    assert str(context["exception"]) == "'client'"
    assert context["transport"] is transport
    assert transport.calls == ["close"]


@pytest.mark.skipif(BEFORE_MENDED, reason="asyncio tells of it since 3.11.7")
def test_a_client_task_that_is_cancelled(world: World, api: Any, transport: Transport) -> None:
    def end(streams: Any, transport: Transport) -> Any:
        reader = streams.StreamReader(loop=world.loop)
        protocol = streams.StreamReaderProtocol(reader, talk, loop=world.loop)
        protocol.connection_made(transport)
        world.turn()
        protocol._task.cancel()
        world.turn(3)
        calls = list(transport.calls)
        transport.closing = True
        return calls, [context["message"].split("(")[0] for context in world.take_errors()]

    async def talk(reader: Any, writer: Any) -> None:
        await reader.read(1)

    # What happens then changed with the versions.
    ours = end(api, transport)
    theirs = end(asyncio, Transport())
    assert [text.split()[0] for text in ours[1]] == [text.split()[0] for text in theirs[1]]
    assert ours[0] == theirs[0]


@pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")
def test_a_client_callback_that_raises(world: World, api: Any, transport: Transport) -> None:
    def meet(streams: Any, transport: Transport) -> Any:
        reader = streams.StreamReader(loop=world.loop)
        protocol = streams.StreamReaderProtocol(reader, talk, loop=world.loop)
        try:
            protocol.connection_made(transport)
        except KeyError as error:
            outcome: Any = error.args
        else:
            outcome = None
        transport.closing = True
        return outcome, [context["message"] for context in world.take_errors()]

    def talk(reader: Any, writer: Any) -> None:
        raise KeyError("callback")

    assert meet(api, transport) == meet(asyncio, Transport())


@pytest.mark.skipif(
    not hasattr(asyncio.StreamWriter, "__del__"), reason="writers say nothing before 3.11.5"
)
def test_a_writer_that_nobody_closed(world: World, api: Any, transport: Transport) -> None:
    _, _, writer = connected(world, api, transport)
    shown = repr(writer)
    owner = [writer]
    del writer
    with pytest.warns(ResourceWarning) as caught:
        owner.clear()
    (warning,) = caught
    assert str(warning.message) == f"unclosed {shown}"
    assert warning.filename == asyncio.streams.__file__
    assert transport.calls == ["close"]


@pytest.mark.skipif(
    not hasattr(asyncio.StreamWriter, "__del__"), reason="writers say nothing before 3.11.5"
)
def test_a_writer_that_is_closed_says_nothing(world: World, api: Any, transport: Transport) -> None:
    class Mine(api.StreamWriter):  # type: ignore[misc,name-defined]
        def close(self) -> None:
            closed.append(self.mark)
            super().close()

    closed: list[int] = []
    _, protocol, writer = connected(world, api, transport)
    other = Transport()
    mine = [Mine(other, protocol, None, world.loop)]
    mine[0].mark = 5
    writer.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del writer
        gc.collect()
    with pytest.warns(ResourceWarning, match="^unclosed <Mine"):
        mine.clear()
    assert closed == [5]


def test_writer_and_protocol_are_collected(world: World, api: Any, transport: Transport) -> None:
    reader, protocol, writer = connected(world, api, transport)
    transport.protocol = protocol  # type: ignore[attr-defined]
    transport.closing = True
    gone = [weakref.ref(each) for each in (protocol, writer)]
    del reader, protocol, writer
    transport.protocol = None  # type: ignore[attr-defined]
    gc.collect()
    assert [each() for each in gone] == [None, None]


def test_an_exception_nobody_asks_for_is_not_reported(
    world: World, api: Any, transport: Transport
) -> None:
    transport.closing = True
    _, protocol, writer = connected(world, api, transport)
    protocol.connection_lost(OSError("lost"))
    del protocol, writer
    gc.collect()
    world.turn()
    assert not world.errors


def test_flow_is_logged_in_debug_mode(
    world: World, api: Any, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    transport.closing = True
    _, protocol, _ = connected(world, api, transport)
    world.loop.set_debug(True)
    with caplog.at_level("DEBUG", logger="asyncio"):
        protocol.pause_writing()
        protocol.resume_writing()
    world.loop.set_debug(False)
    texts = [record.getMessage() for record in caplog.records]
    assert [text.rpartition("> ")[2] for text in texts[-2:]] == [
        "pauses writing",
        "resumes writing",
    ]


def test_a_subclassed_protocol(world: World, api: Any, transport: Transport) -> None:
    class Mine(api.StreamReaderProtocol):  # type: ignore[misc,name-defined]
        def __init__(self, reader: Any, **options: Any) -> None:
            super().__init__(reader, **options)
            self.events: list[Any] = []

        def data_received(self, data: bytes) -> None:
            self.events.append(data)
            super().data_received(data)

        async def _drain_helper(self) -> None:
            self.events.append("drain")
            await super()._drain_helper()

        def _get_close_waiter(self, stream: Any) -> Any:
            self.events.append("waiter")
            return super()._get_close_waiter(stream)

    reader = api.StreamReader(loop=world.loop)
    protocol = Mine(reader, loop=world.loop)
    protocol.connection_made(transport)
    writer = api.StreamWriter(transport, protocol, reader, world.loop)
    protocol.data_received(b"line\n")
    world.run(writer.drain())
    protocol.connection_lost(None)
    world.run(writer.wait_closed())
    assert protocol.events == [b"line\n", "drain", "waiter"]
    assert world.run(reader.readline()) == b"line\n"
    transport.closing = True


def test_construction(world: World, api: Any) -> None:
    async def make() -> Any:
        return api.StreamReaderProtocol(None)

    protocol = world.run(make())
    assert protocol._loop is world.loop
    assert protocol._stream_reader is None
    assert protocol._source_traceback is None
    world.loop.set_debug(True)
    reader = api.StreamReader(loop=world.loop)
    world.loop.set_debug(False)
    protocol = api.StreamReaderProtocol(reader, loop=world.loop)
    assert protocol._source_traceback is reader._source_traceback is not None

"""What programs and subclasses do to a reader's private parts."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support import World
    from tests.unit.streams.conftest import Transport


def test_the_buffer_is_live_once_it_was_looked_at(world: World, api: Any) -> None:
    reader = api.StreamReader(loop=world.loop)
    reader.feed_data(b"some ")
    buffer = reader._buffer
    assert type(buffer) is bytearray
    assert buffer is reader._buffer
    reader.feed_data(b"data")
    assert buffer == b"some data"
    del buffer[:5]
    buffer += b" more"
    assert world.run(reader.readexactly(6)) == b"data m"
    assert buffer == b"ore"
    buffer.clear()
    reader.feed_data(b"x" * 5000)
    assert len(buffer) == 5000


def test_a_buffer_that_was_looked_at_is_native_again(world: World, api: Any) -> None:
    reader = api.StreamReader(loop=world.loop)
    chunk = b"x" * 100
    reader.feed_data(chunk)
    assert len(reader._buffer) == 100
    world.run(reader.readexactly(100))
    reader.feed_data(chunk)
    assert (world.run(reader.read(100)) is chunk) is world.types.native


def test_another_buffer(world: World, api: Any) -> None:
    class Loud(bytearray):
        def clear(self) -> None:
            cleared.append(len(self))
            super().clear()

    cleared: list[int] = []
    reader = api.StreamReader(loop=world.loop, limit=3)
    reader._buffer = Loud(b"first\nsecond")
    with pytest.raises(ValueError, match="longer than limit"):
        world.run(reader.readline())
    with pytest.raises(ValueError, match="exceed the limit"):
        world.run(reader.readline())
    assert cleared == [6]
    reader._buffer = bytearray(b"ab")
    assert world.run(reader.read(5)) == b"ab"


def test_a_view_of_the_buffer_forbids_reading(world: World, api: Any) -> None:
    reader = api.StreamReader(loop=world.loop)
    reader.feed_data(b"data")
    view = memoryview(reader._buffer)
    with pytest.raises(BufferError):
        world.run(reader.read(2))
    with pytest.raises(BufferError):
        reader.feed_data(b"more")
    view.release()
    assert world.run(reader.read(2)) == b"da"


def test_attributes_can_be_set(world: World, api: Any, transport: Transport) -> None:
    reader = api.StreamReader(loop=world.loop)
    reader._limit = 2
    reader._transport = transport
    reader.feed_data(b"12345")
    assert reader._paused
    reader._paused = False
    assert world.run(reader.readexactly(5)) == b"12345"
    assert transport.calls == ["pause_reading"]
    reader._eof = True
    assert reader.at_eof()
    reader._eof = False
    reader._exception = OSError("set")
    with pytest.raises(OSError, match="set"):
        world.run(reader.read(1))
    reader._exception = None
    waiter = reader._waiter = world.future()
    reader.feed_data(b"x")
    assert waiter.done()
    assert reader._waiter is None
    reader._limit = 2.5
    reader.feed_data(b"1234")
    assert not reader._paused
    reader.feed_data(b"6")
    assert reader._paused


def test_all_attributes_show(world: World, api: Any) -> None:
    reader = api.StreamReader(loop=world.loop, limit=7)
    reader.feed_data(b"data")
    reader.mark = 1
    shown = vars(reader)
    assert shown["mark"] == 1
    assert {name: shown[name] for name in ("_limit", "_buffer", "_eof", "_paused")} == {
        "_limit": 7,
        "_buffer": b"data",
        "_eof": False,
        "_paused": False,
    }
    assert shown["_loop"] is world.loop


def test_overrides_are_called(world: World, api: Any) -> None:
    class Mine(api.StreamReader):  # type: ignore[misc,name-defined]
        async def readuntil(self, separator: bytes = b"\n") -> Any:
            calls.append("readuntil")
            return await super().readuntil(separator)

        async def _wait_for_data(self, func_name: str) -> None:
            calls.append(func_name)
            await super()._wait_for_data(func_name)

        def _wakeup_waiter(self) -> None:
            calls.append("wakeup")
            super()._wakeup_waiter()

        def _maybe_resume_transport(self) -> None:
            calls.append("resume")
            super()._maybe_resume_transport()

    calls: list[str] = []
    reader = Mine(loop=world.loop)
    waiting = world.task(reader.readline())
    world.turn()
    reader.feed_data(b"line\n")
    assert world.loop.run_until_complete(waiting) == b"line\n"
    assert calls == ["readuntil", "readuntil", "wakeup", "resume"]


def test_patches_on_an_object_of_a_subclass(world: World, api: Any) -> None:
    class Mine(api.StreamReader):  # type: ignore[misc,name-defined]
        pass

    async def until(separator: bytes) -> Any:
        return (b"patched", separator)

    reader = Mine(loop=world.loop)
    reader.feed_data(b"line\nmore")
    assert world.run(reader.readline()) == b"line\n"
    reader.readuntil = until
    assert world.run(reader.readline()) == (b"patched", b"\n")
    del reader.readuntil
    reader.feed_data(b"\n")
    assert world.run(reader.readline()) == b"more\n"
    Mine.read = lambda self, n=-1: until(b"class")
    assert world.run(reader.read()) == (b"patched", b"class")


def test_a_protocol_asks_a_subclass_by_name(world: World, api: Any, transport: Transport) -> None:
    class Mine(api.StreamReader):  # type: ignore[misc,name-defined]
        def feed_data(self, data: bytes) -> None:
            super().feed_data(data.upper())

        def feed_eof(self) -> None:
            calls.append("eof")
            super().feed_eof()

        def set_transport(self, given: Any) -> None:
            calls.append(given)
            super().set_transport(given)

    calls: list[Any] = []
    reader = Mine(loop=world.loop)
    protocol = api.StreamReaderProtocol(reader, loop=world.loop)
    protocol.connection_made(transport)
    protocol.data_received(b"data")
    protocol.eof_received()
    assert calls == [transport, "eof"]
    assert world.run(reader.read()) == b"DATA"


def test_slots_and_properties_in_a_subclass(world: World, api: Any) -> None:
    class Mine(api.StreamReader):  # type: ignore[misc,name-defined]
        @property
        def _eof(self) -> bool:
            return False

        @_eof.setter
        def _eof(self, value: bool) -> None:
            ends.append(value)

    ends: list[bool] = []
    reader = Mine(loop=world.loop)
    reader.feed_eof()
    reader.feed_data(b"after the end")
    assert True in ends
    assert world.run(reader.read(5)) == b"after"


def test_a_dropped_reader_is_collected(world: World, api: Any, transport: Transport) -> None:
    class Mine(api.StreamReader):  # type: ignore[misc,name-defined]
        pass

    reader = Mine(loop=world.loop)
    reader.me = reader
    reader.set_transport(transport)
    reader.feed_data(b"data")
    gone = weakref.ref(reader)
    del reader
    gc.collect()
    assert gone() is None


@pytest.mark.native
def test_a_reader_that_is_not_initialized(world: World, api: Any) -> None:
    reader = api.StreamReader.__new__(api.StreamReader)
    with pytest.raises((AttributeError, TypeError)):
        world.run(reader.read(1))
    with pytest.raises((AttributeError, TypeError)):
        world.run(reader.readline())
    assert repr(reader) == "<StreamReader>"
    reader.feed_eof()

"""StreamReader: what it gives, in which objects, and what it refuses."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import outcome

if TYPE_CHECKING:
    from tests.support import World
    from tests.unit.streams.conftest import Transport


def fed(world: World, api: Any, *chunks: bytes, limit: int = 1 << 16, eof: bool = False) -> Any:
    reader = api.StreamReader(limit=limit, loop=world.loop)
    for chunk in chunks:
        reader.feed_data(chunk)
    if eof:
        reader.feed_eof()
    return reader


def failure(world: World, awaitable: Any) -> Any:
    """The error that it ends with, and what an error of streams knows."""
    try:
        world.run(awaitable)
    except Exception as error:
        known = [getattr(error, name, None) for name in ("partial", "expected", "consumed")]
        return (type(error), str(error), *known, type(error.__context__), type(error.__cause__))
    raise AssertionError("it does not fail")


def test_what_is_there_is_read_at_once(world: World, api: Any) -> None:
    async def read() -> Any:
        return (
            await reader.readline(),
            await reader.readexactly(3),
            await reader.readuntil(b"--"),
            await reader.read(2),
            await reader.read(0),
        )

    reader = fed(world, api, b"one\ntwo", b"th", b"ree-", b"-rest of it")
    awaited = read()
    # nothing but the end: no step of it waits
    with pytest.raises(StopIteration) as stop:
        awaited.send(None)
    assert stop.value.value == (b"one\n", b"two", b"three--", b"re", b"")
    assert reader._buffer == b"st of it"


def test_a_chunk_that_is_read_whole_is_not_copied(world: World, api: Any) -> None:
    chunks = [bytes([n]) * 2000 for n in range(1, 3)]
    for read in (lambda r: r.read(4096), lambda r: r.readexactly(2000)):
        reader = fed(world, api, chunks[0])
        same = world.run(read(reader)) is chunks[0]
        assert same is world.types.native
    large = [b"x" * 5000, b"y" * 6000, b"z" * 9000]
    reader = fed(world, api, *large)
    for chunk in large:
        got = world.run(reader.read(len(chunk)))
        assert got == chunk
        assert (got is chunk) is world.types.native


def test_all_kinds_of_bytes_are_fed(world: World, api: Any) -> None:
    abc = [97, 98, 99]
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc"), abc, iter(abc)):
        reader = fed(world, api, data)  # type: ignore[arg-type]
        reader.feed_eof()
        assert world.run(reader.read()) == b"abc"
    given = bytearray(b"abc")
    reader = fed(world, api, given)
    given[:] = b"xyz"
    assert reader._buffer == b"abc"
    for bad in ("text", 5, [300], None, 0, ""):
        reader = fed(world, api, b"before")
        stock = asyncio.StreamReader(loop=world.loop)
        stock.feed_data(b"before")
        assert outcome(reader.feed_data, bad) == outcome(stock.feed_data, bad)
        assert reader._buffer == b"before"


def test_small_pieces_are_kept_together(world: World, api: Any) -> None:
    text = bytes(range(256)) * 64
    reader = fed(world, api)
    tracemalloc.start()
    for n in range(0, len(text), 2):
        reader.feed_data(text[n : n + 2])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 4 * len(text)
    assert world.run(reader.readexactly(5000)) == text[:5000]
    assert world.run(reader.readuntil(b"\x00\x01\x02")) == text[5000:5123]
    reader.feed_eof()
    assert world.run(reader.read()) == text[5123:]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_separator_in_pieces(world: World, api: Any, cut: int) -> None:
    text = b"aaab" + b"aab" * 3 + b"aaaab"
    big = b"." * 5000  # a chunk of its own
    pieces = [text[n : n + cut] for n in range(0, len(text), cut)]
    for separator in (b"aaaab", b"ab", b"aabaab", b"baaaa"):
        for before in ([], [big]):
            reader = fed(world, api, *before, *pieces)
            whole = b"".join(before) + text
            end = whole.index(separator) + len(separator)
            assert world.run(reader.readuntil(separator)) == whole[:end]
            assert reader._buffer == whole[end:]


def test_refusals(world: World, api: Any) -> None:
    incomplete = asyncio.IncompleteReadError
    overrun = asyncio.LimitOverrunError
    none = type(None)
    for reader, read, expected in (
        (
            fed(world, api, b"some", eof=True),
            lambda r: r.readexactly(9),
            (incomplete, "4 bytes read on a total of 9 expected bytes", b"some", 9, None),
        ),
        (
            fed(world, api, b"some", eof=True),
            lambda r: r.readuntil(b"end"),
            (
                incomplete,
                "4 bytes read on a total of undefined expected bytes",
                b"some",
                None,
                None,
            ),
        ),
        (
            fed(world, api, b"some text", limit=4),
            lambda r: r.readuntil(b"end"),
            (
                overrun,
                "Separator is not found, and chunk exceed the limit",
                None,
                None,
                7,
            ),
        ),
        (
            fed(world, api, b"some text end", limit=4),
            lambda r: r.readuntil(b"end"),
            (
                overrun,
                "Separator is found, but chunk is longer than limit",
                None,
                None,
                10,
            ),
        ),
        (
            fed(world, api),
            lambda r: r.readexactly(-1),
            (ValueError, "readexactly size can not be less than zero", None, None, None),
        ),
        (
            fed(world, api),
            lambda r: r.readuntil(b""),
            (ValueError, "Separator should be at least one-byte string", None, None, None),
        ),
    ):
        assert failure(world, read(reader)) == (*expected, none, none)


@pytest.mark.parametrize(
    ("chunks", "left"),
    [([b"a line that is long\nnext"], b"next"), ([b"no", b" end"], b""), ([b"123456\n"], b"")],
)
def test_a_line_that_is_too_long(world: World, api: Any, chunks: Any, left: bytes) -> None:
    reader = fed(world, api, *chunks, limit=5)
    kind, text, *_, context, _cause = failure(world, reader.readline())
    assert (kind, context) == (ValueError, asyncio.LimitOverrunError)
    assert text.startswith("Separator is ")
    assert reader._buffer == left


def test_lines_to_the_end(world: World, api: Any) -> None:
    async def read() -> list[bytes]:
        return [line async for line in reader]

    reader = fed(world, api, b"one\ntwo\n\nthree", eof=True)
    assert world.run(read()) == [b"one\n", b"two\n", b"\n", b"three"]
    assert reader.at_eof()
    assert world.run(reader.readline()) == b""


def test_only_one_may_wait(world: World, api: Any) -> None:
    reader = fed(world, api)
    first = world.task(reader.readline())
    world.turn()
    for read, name in (
        (reader.read(1), "read"),
        (reader.read(), "read"),
        (reader.readline(), "readuntil"),
        (reader.readexactly(2), "readexactly"),
    ):
        kind, text, *_ = failure(world, read)
        assert kind is RuntimeError
        assert text == (
            f"{name}() called while another coroutine is already waiting for incoming data"
        )
    reader.feed_data(b"line\n")
    assert world.loop.run_until_complete(first) == b"line\n"


def test_a_cancelled_read_leaves_all_where_it_was(world: World, api: Any) -> None:
    reader = fed(world, api, b"part")
    waiting = world.task(reader.readexactly(10))
    world.turn()
    waiting.cancel()
    world.turn(2)
    assert waiting.cancelled()
    assert reader._waiter is None
    reader.feed_data(b"s\n")
    assert world.run(reader.readline()) == b"parts\n"


def test_data_and_a_cancellation_in_one_turn(world: World, api: Any) -> None:
    reader = fed(world, api)
    waiting = world.task(reader.readline())
    world.turn()
    waiting.cancel()
    reader.feed_data(b"line\n")
    world.turn(2)
    assert waiting.cancelled()
    assert reader._buffer == b"line\n"


def test_an_exception_is_raised_each_time(world: World, api: Any) -> None:
    reader = fed(world, api, b"data\n")
    waiting = world.task(reader.readexactly(100))
    world.turn()
    error = ConnectionError("lost")
    reader.set_exception(error)
    assert reader.exception() is error
    for read in (waiting, reader.readline(), reader.read(1), reader.read(), reader.readexactly(1)):
        with pytest.raises(ConnectionError) as caught:
            world.loop.run_until_complete(read)
        assert caught.value is error
    assert reader._buffer == b"data\n"


def test_flow_control(world: World, api: Any, transport: Transport) -> None:
    reader = fed(world, api, limit=10)
    reader.set_transport(transport)
    reader.feed_data(b"x" * 20)
    assert transport.calls == []
    reader.feed_data(b"y")
    assert transport.calls == ["pause_reading"]
    assert reader._paused
    assert world.run(reader.read(10)) == b"x" * 10
    assert reader._paused
    assert world.run(reader.readexactly(1)) == b"x"
    assert transport.calls == ["pause_reading", "resume_reading"]
    # whoever waits needs the transport, however much there is
    reader.feed_data(b"z" * 30)
    waiting = world.task(reader.readexactly(200))
    world.turn()
    assert transport.calls[2:] == ["pause_reading", "resume_reading"]
    waiting.cancel()
    world.turn()


def test_a_transport_that_cannot_be_paused(world: World, api: Any) -> None:
    class Bare(asyncio.Transport):
        asked = 0

        def pause_reading(self) -> None:
            self.asked += 1
            raise NotImplementedError

    reader = fed(world, api, limit=1)
    bare = Bare()
    reader.set_transport(bare)
    reader.feed_data(b"more than two")
    reader.feed_data(b"and more")
    assert bare.asked == 1
    assert reader._transport is None
    assert not reader._paused


def test_construction(world: World, api: Any) -> None:
    async def make() -> Any:
        return api.StreamReader(5)

    reader = world.run(make())
    assert (reader._limit, reader._loop) == (5, world.loop)
    for limit in (0, -1, -0.5, -(1 << 80), None, "1"):
        stock = outcome(asyncio.StreamReader, limit, world.loop)
        assert outcome(api.StreamReader, limit, world.loop) == stock
    assert api.StreamReader(1 << 80, world.loop)._limit == 1 << 80
    world.loop.set_debug(True)
    reader = api.StreamReader(loop=world.loop)
    assert reader._source_traceback[-1].name == "test_construction"
    world.loop.set_debug(False)
    assert api.StreamReader(loop=world.loop)._source_traceback is None


def test_assertions(world: World, api: Any, transport: Transport) -> None:
    reader = fed(world, api, eof=True)
    reader.set_transport(transport)
    with pytest.raises(AssertionError, match=r"^feed_data after feed_eof$"):
        reader.feed_data(b"x")
    with pytest.raises(AssertionError, match=r"^Transport already set$"):
        reader.set_transport(transport)
    with pytest.raises(AssertionError, match=r"^_wait_for_data after EOF$"):
        world.run(reader._wait_for_data("read"))


def test_repr(world: World, api: Any, transport: Transport) -> None:
    reader = fed(world, api, b"12345", limit=2)
    assert repr(reader) == "<StreamReader 5 bytes limit=2>"
    reader.set_transport(transport)
    reader.feed_data(b"6")
    reader.feed_eof()
    reader.set_exception(KeyError("k"))
    assert repr(reader) == (
        "<StreamReader 6 bytes eof limit=2 exception=KeyError('k') transport=<Transport> paused>"
    )
    waiting = fed(world, api)
    task = world.task(waiting.read(1))
    world.turn()
    assert repr(waiting).startswith("<StreamReader waiter=<Future pending")
    task.cancel()
    world.turn()


@pytest.mark.skipif(
    "sorted" not in asyncio.StreamReader.readuntil.__code__.co_names,
    reason="this version's readuntil() takes no tuple",
)
def test_a_tuple_of_separators(world: World, api: Any) -> None:
    reader = fed(world, api, b"ABCD", b"EFG one\ntwo\r")
    assert world.run(reader.readuntil((b"DEF", b"BCDE"))) == b"ABCDE"
    assert world.run(reader.readuntil((b"\r", b"\n"))) == b"FG one\n"
    assert world.run(reader.readuntil((b"nothing", b"\r", b"\n"))) == b"two\r"
    reader = fed(world, api, b"some dataA", limit=3)
    kind, *_, consumed, _context, _cause = failure(world, reader.readuntil((b"A", b"ome dataA")))
    assert (kind, consumed) == (asyncio.LimitOverrunError, 9)
    kind, text, *_ = failure(world, reader.readuntil(()))
    assert (kind, text) == (ValueError, "Separator should contain at least one element")


def test_odd_arguments(world: World, api: Any) -> None:
    class Index:
        def __index__(self) -> int:
            return 2

    def read(reader: Any, name: str, argument: Any) -> Any:
        return outcome(world.run, getattr(reader, name)(argument))

    for name, argument in (
        ("read", True),
        ("read", 1 << 80),
        ("read", None),
        ("read", 1.5),
        ("readexactly", 2.0),
        ("readexactly", True),
        ("readexactly", "1"),
        ("readuntil", bytearray(b"a")),
        ("readuntil", memoryview(b"a")),
        ("readuntil", "a"),
        ("readuntil", 97),
        ("readuntil", [b"a"]),
    ):
        reader = fed(world, api, b"data and data")
        stock = asyncio.StreamReader(loop=world.loop)
        stock.feed_data(b"data and data")
        assert read(reader, name, argument) == read(stock, name, argument), (name, argument)
        assert reader._buffer == stock._buffer

"""Random programs about readers, what feeds them, and the flow control of writers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.property.programs import Failure, Run, by_name, check, describe, plain, weights

pytestmark = [
    pytest.mark.property,
    pytest.mark.timeout(3000),
    # what a cancelled task never came to await
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    # writers that nobody closed, which is no matter here
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
]

TUPLES = "sorted" in asyncio.StreamReader.readuntil.__code__.co_names

# Chunks that end lines, begin separators and do not end them, and are larger than all limits.
CHUNKS = (
    b"a\nb",
    b"",
    b"\n",
    b"--",
    b"-",
    b"x" * 5000,
    b"one\ntwo\nthree",
    b"end--rest",
    bytearray(b"array\n"),
    memoryview(b"view-"),
    b"--\n--",
    b"y" * 40,
)
SEPARATORS: tuple[Any, ...] = (b"\n", b"--", b"a\nb", b"--\n-", bytearray(b"\n"), b"", "text")
if TUPLES:
    SEPARATORS += ((b"\n", b"--"), (b"b", b"a\nb"), (b"--", b"---", b"\n"), (b"-", b""), ())
LIMITS = (1, 3, 16, 4096, 2.5, 1 << 16)


class Transport(asyncio.Transport):
    """Notes what it is asked to do."""

    def __init__(self, run: Run, pausable: bool) -> None:
        super().__init__()
        self.run = run
        self.pausable = pausable
        self.closing = False

    def __repr__(self) -> str:
        return "<Transport>"

    def pause_reading(self) -> None:
        self.run.note("pauses", len(self.run.thing._buffer) if self.run.looks else None)
        if not self.pausable:
            raise NotImplementedError

    def resume_reading(self) -> None:
        self.run.note("resumes", len(self.run.thing._buffer) if self.run.looks else None)

    def write(self, data: Any) -> None:
        self.run.note("writes", bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.run.note("closes")
        self.closing = True


class Reader(Run):
    own = weights(
        readline=4,
        read=3,
        readuntil=4,
        readexactly=3,
        read_all=1,
        iterate=2,
        feed=8,
        feed_eof=1,
        set_exception=1,
        by_hand=1,
    )
    calls = ("feed_now", "eof_now", "error_now", "peek", "shrink", "text")

    def begin(self, setup: int) -> None:
        self.transport = Transport(self, pausable=setup % 8 != 1)
        self.thing = self.make(LIMITS[setup // 4 % len(LIMITS)])
        if setup % 5:
            self.thing.set_transport(self.transport)

    def make(self, limit: Any) -> Any:
        return self.api.StreamReader(limit, self.side.loop)

    def state(self) -> Any:
        thing = self.thing
        return (
            plain(repr(thing)),
            thing.at_eof(),
            describe(thing.exception()),
            bytes(thing._buffer) if self.looks else None,
            (thing._eof, thing._paused, thing._limit, thing._transport is None),
        )

    def feed_now(self, number: int) -> Any:
        return self.thing.feed_data(CHUNKS[number % len(CHUNKS)])

    def eof_now(self, number: int) -> Any:
        return self.thing.feed_eof()

    def error_now(self, number: int) -> Any:
        errors = (
            Failure("the connection"),
            asyncio.IncompleteReadError(b"part", 9),
            asyncio.LimitOverrunError("too long", 2),
            asyncio.LimitOverrunError("too long", 0),
        )
        return self.thing.set_exception(errors[number % 4])

    def peek(self, number: int) -> Any:
        """What programs do to the private buffer."""
        if not self.looks:
            return None
        del self.thing._buffer[:number]
        self.thing._buffer += b"-" * (number // 4)
        return len(self.thing._buffer)

    def shrink(self, number: int) -> Any:
        if not self.looks:
            return None
        self.thing._limit = (1, 3, 16, 4096)[number % 4]
        return self.thing._limit

    def text(self, number: int) -> Any:
        return self.state()

    async def feed(self, label: str, number: int, inside: Any) -> Any:
        return self.feed_now(number)

    async def feed_eof(self, label: str, number: int, inside: Any) -> Any:
        return self.eof_now(number)

    async def set_exception(self, label: str, number: int, inside: Any) -> Any:
        return self.error_now(number)

    async def readline(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.readline()

    async def read(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.read((1, 3, 0, 64, 5000, True, 1 << 70, 2.5)[number % 8])

    async def read_all(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.read(*((), (-1,), (-7,))[number % 3])

    async def readexactly(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.readexactly((1, 4, 0, 40, 5001, -1, 13, True)[number % 8])

    async def readuntil(self, label: str, number: int, inside: Any) -> Any:
        return await self.thing.readuntil(SEPARATORS[number % len(SEPARATORS)])

    async def iterate(self, label: str, number: int, inside: Any) -> Any:
        count = 0
        async for line in self.thing:
            self.note(label, "line", line)
            count += 1
            if count > number % 4:
                break
        return count

    async def by_hand(self, label: str, number: int, inside: Any) -> Any:
        awaitables = (
            self.thing.readline(),
            self.thing.read(2),
            self.thing.readexactly(7),
            self.thing.__anext__(),
            self.thing._wait_for_data("somebody"),
        )
        chosen = awaitables[number % 5]
        for unused in awaitables:
            if unused is not chosen:
                unused.close()
        return (self.drive(chosen, number // 5), self.state())


class SubclassedReader(Reader):
    """One whose overrides are called by what it inherits."""

    def make(self, limit: Any) -> Any:
        run = self

        class Mine(self.api.StreamReader):  # type: ignore[misc,name-defined]
            def feed_data(self, data: Any) -> None:
                run.note("fed", len(data))
                super().feed_data(data)

            async def readuntil(self, separator: Any = b"\n") -> Any:
                run.note("until", separator)
                return await super().readuntil(separator)

            def _maybe_resume_transport(self) -> None:
                run.note("may resume")
                super()._maybe_resume_transport()

        return Mine(limit, self.side.loop)


class PlainSubclass(Reader):
    """One that replaces nothing that matters."""

    def make(self, limit: Any) -> Any:
        kind = type("Plain", (self.api.StreamReader,), {"more": lambda self: None})
        return kind(limit, self.side.loop)


class Flow(Run):
    own = weights(drain=8, write=3, wait_closed=2, pause_writing=4, resume_writing=4, lose=1)
    calls = ("pause_now", "resume_now", "lose_now", "eof_now", "feed_now", "close_now")

    def begin(self, setup: int) -> None:
        loop = self.side.loop
        self.transport = Transport(self, pausable=True)
        self.thing = self.api.StreamReader(loop=loop)
        self.protocol = self.make(loop)
        self.protocol.connection_made(self.transport)
        reader = self.thing if setup % 5 else None
        self.writer = self.api.StreamWriter(self.transport, self.protocol, reader, loop)

    def make(self, loop: Any) -> Any:
        return self.api.StreamReaderProtocol(self.thing, loop=loop)

    def state(self) -> Any:
        protocol = self.protocol
        return (
            plain(repr(self.writer)),
            (protocol._paused, protocol._connection_lost, protocol._over_ssl),
            (protocol._transport is None, protocol._stream_reader is None),
            len(protocol._drain_waiters) if self.looks else None,
            plain(repr(protocol._closed)),
        )

    def rescue(self) -> None:
        if self.protocol._paused:
            self.protocol.resume_writing()
        if not self.protocol._closed.done():
            self.protocol.connection_lost(None)

    def pause_now(self, number: int) -> Any:
        return self.protocol.pause_writing()

    def resume_now(self, number: int) -> Any:
        return self.protocol.resume_writing()

    def lose_now(self, number: int) -> Any:
        return self.protocol.connection_lost(
            (None, Failure("lost"), OSError(5, "lost"))[number % 3]
        )

    def eof_now(self, number: int) -> Any:
        return self.protocol.eof_received()

    def feed_now(self, number: int) -> Any:
        return self.protocol.data_received(b"data")

    def close_now(self, number: int) -> Any:
        return self.writer.close()

    async def drain(self, label: str, number: int, inside: Any) -> Any:
        return await self.writer.drain()

    async def write(self, label: str, number: int, inside: Any) -> Any:
        self.writer.write(b"w%d" % number)
        return await self.writer.drain()

    async def wait_closed(self, label: str, number: int, inside: Any) -> Any:
        waiting = self.writer.wait_closed()
        # not shielded, a cancellation goes to the one future that the others wait for
        return await (self.api.shield(waiting) if number % 2 else waiting)

    async def pause_writing(self, label: str, number: int, inside: Any) -> Any:
        return self.pause_now(number)

    async def resume_writing(self, label: str, number: int, inside: Any) -> Any:
        return self.resume_now(number)

    async def lose(self, label: str, number: int, inside: Any) -> Any:
        return self.lose_now(number)


class SubclassedFlow(Flow):
    def make(self, loop: Any) -> Any:
        run = self

        class Mine(self.api.StreamReaderProtocol):  # type: ignore[misc,name-defined]
            async def _drain_helper(self) -> None:
                run.note("drains")
                await super()._drain_helper()

            def connection_lost(self, exc: Any) -> None:
                super().connection_lost(exc)
                run.note("lost")

        return Mine(self.thing, loop=loop)


@pytest.mark.parametrize(**by_name([Reader, SubclassedReader, PlainSubclass, Flow, SubclassedFlow]))
def test_random_programs_have_the_same_history(
    kind: type[Run], request: pytest.FixtureRequest
) -> None:
    check(kind, request.config.getoption("--impl"))

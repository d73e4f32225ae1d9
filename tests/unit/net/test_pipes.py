"""connect_read_pipe and connect_write_pipe: pipes, sockets and terminals, and who closes them."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import pty
import re
import socket
import tempfile
from typing import Any

import pytest

from .peers import Net, Recorder, attempt, let_go, same_as_stock, turns, until


def pipe() -> tuple[Any, Any]:
    read_end, write_end = os.pipe()
    return os.fdopen(read_end, "rb", 0), os.fdopen(write_end, "wb", 0)


async def reading(loop: Any, file: Any, factory: Any = Recorder) -> tuple[Any, Any]:
    pair: tuple[Any, Any] = await loop.connect_read_pipe(factory, file)
    return pair


async def writing(loop: Any, file: Any, factory: Any = Recorder) -> tuple[Any, Any]:
    pair: tuple[Any, Any] = await loop.connect_write_pipe(factory, file)
    return pair


async def drained(read_end: Any, count: int) -> bytes:
    os.set_blocking(read_end.fileno(), False)
    data = b""
    while len(data) < count:
        data += read_end.read(1 << 20) or b""
        await asyncio.sleep(0)
    return data


def fill(transport: Any) -> int:
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(b"f" * 10_000)
        written += 10_000
    return written


@pytest.mark.mended_in_3_11_7
async def test_what_they_are(net: Net) -> None:
    read_end, write_end = pipe()
    source, first = await reading(net.loop, read_end)
    sink, second = await writing(net.loop, write_end)
    assert isinstance(source, asyncio.ReadTransport)
    assert not isinstance(source, asyncio.WriteTransport)
    assert isinstance(sink, asyncio.WriteTransport)
    for transport, protocol, file in ((source, first, read_end), (sink, second, write_end)):
        assert transport.get_extra_info("pipe") is file
        assert transport.get_extra_info("socket") is None
        assert transport.get_extra_info("nothing", 5) == 5
        assert transport.get_protocol() is protocol
        assert protocol.calls == ["made"]
        assert not os.get_blocking(file.fileno())
        assert not transport.is_closing()
    assert source.is_reading()
    assert sink.can_write_eof() is True
    assert sink.get_write_buffer_limits() == (16384, 65536)
    for transport, protocol in ((source, first), (sink, second)):
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not protocol.lost
    await until(lambda: first.lost and second.lost)
    assert read_end.closed
    assert write_end.closed
    assert first.error is second.error is None


async def test_the_representation(net: Net) -> None:
    def shown(transport: Any, fd: int) -> str:
        return (
            repr(transport)
            .removeprefix(f"<{type(transport).__name__} ")
            .replace(f"fd={fd}", "fd=N")
        )

    read_end, write_end = pipe()
    numbers = read_end.fileno(), write_end.fileno()
    source, first = await reading(net.loop, read_end)
    sink, second = await writing(net.loop, write_end)
    await turns(2)
    assert shown(source, numbers[0]) == "fd=N polling>"
    assert shown(sink, numbers[1]) == "fd=N idle bufsize=0>"
    source.pause_reading()
    assert shown(source, numbers[0]) == "fd=N idle>"
    fill(sink)
    size = sink.get_write_buffer_size()
    assert shown(sink, numbers[1]) == f"fd=N polling bufsize={size}>"
    source.close()
    sink.abort()
    assert shown(source, numbers[0]) == "closing fd=N idle>"
    await until(lambda: first.lost and second.lost)
    assert shown(source, numbers[0]) == "closed fd=N closed>"
    assert shown(sink, numbers[1]) == "closed fd=N closed>"


async def test_reading_to_the_end(net: Net) -> None:
    read_end, write_end = pipe()
    transport, protocol = await reading(net.loop, read_end)
    write_end.write(b"data")
    await until(lambda: protocol.received)
    write_end.write(b"more")
    write_end.close()
    await until(lambda: protocol.lost)
    assert protocol.calls == ["made", "data", "eof", "lost"]
    assert protocol.received == b"datamore"
    assert protocol.error is None
    assert transport.is_closing()
    assert read_end.closed


async def test_eof_received_keeps_nothing_open(net: Net) -> None:
    read_end, write_end = pipe()
    _, protocol = await reading(net.loop, read_end)
    protocol.keep_open = True
    write_end.close()
    await until(lambda: protocol.lost)


@pytest.mark.mended_in_3_11_7
async def test_pause_and_resume(net: Net) -> None:
    read_end, write_end = pipe()
    transport, protocol = await reading(net.loop, read_end)
    transport.pause_reading()
    transport.pause_reading()
    assert not transport.is_reading()
    write_end.write(b"kept")
    await turns(100)
    assert not protocol.received
    transport.resume_reading()
    transport.resume_reading()
    await until(lambda: protocol.received)
    transport.close()
    transport.resume_reading()
    await until(lambda: protocol.lost)
    write_end.close()


async def test_writing(net: Net) -> None:
    read_end, write_end = pipe()
    transport, protocol = await writing(net.loop, write_end)
    transport.write(b"bytes ")
    transport.write(bytearray(b"bytearray "))
    transport.write(memoryview(b"memoryview "))
    transport.write(b"")
    transport.writelines([b"write", b"lines"])
    expected = b"bytes bytearray memoryview writelines"
    assert await drained(read_end, len(expected)) == expected
    sent = fill(transport)
    transport.close()
    assert not protocol.lost
    assert len(await drained(read_end, sent)) == sent
    await until(lambda: protocol.lost)
    assert protocol.error is None
    assert read_end.read(1) == b""
    read_end.close()


@pytest.mark.parametrize("data", ["text", None, 5])
def test_what_cannot_be_written(net: Net, data: Any) -> None:
    async def scenario(loop: Any) -> Any:
        read_end, write_end = pipe()
        transport, protocol = await writing(loop, write_end)
        try:
            transport.write(data)
        except (TypeError, AssertionError) as error:
            return type(error), str(error)
        finally:
            transport.close()
            await until(lambda: protocol.lost)
            read_end.close()

    assert same_as_stock(net, scenario)


@pytest.mark.parametrize("buffered", [False, True])
async def test_write_eof(net: Net, buffered: bool) -> None:
    """It ends the transport, for a pipe has no other half."""
    read_end, write_end = pipe()
    transport, protocol = await writing(net.loop, write_end)
    sent = fill(transport) if buffered else 0
    transport.write_eof()
    transport.write_eof()
    assert transport.is_closing()
    assert len(await drained(read_end, sent)) == sent
    await until(lambda: protocol.lost)
    assert protocol.error is None
    assert write_end.closed
    read_end.close()


@pytest.mark.parametrize("buffered", [False, True])
async def test_the_reader_goes(net: Net, buffered: bool) -> None:
    read_end, write_end = pipe()
    transport, protocol = await writing(net.loop, write_end)
    if buffered:
        fill(transport)
    read_end.close()
    await until(lambda: protocol.lost)
    assert type(protocol.error) is (BrokenPipeError if buffered else type(None))
    assert transport.get_write_buffer_size() == 0


def test_writes_after_the_end_are_dropped(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(loop: Any) -> Any:
        caplog.clear()
        counts = []
        read_end, write_end = pipe()
        transport, protocol = await writing(loop, write_end)
        transport.close()
        for _ in range(8):
            transport.write(b"into the void")
            counts.append(len(caplog.records))
        await until(lambda: protocol.lost)
        assert read_end.read() == b""
        read_end.close()
        return counts, {record.getMessage() for record in caplog.records}

    with caplog.at_level(logging.WARNING, "asyncio"):
        counts, texts = same_as_stock(net, scenario)
    assert counts[0] == 0
    assert counts[-1] > 0
    assert texts == {"pipe closed by peer or os.write(pipe, data) raised exception."}


async def test_switching_protocols(net: Net) -> None:
    read_end, write_end = pipe()
    transport, first = await reading(net.loop, read_end)
    second = Recorder()
    write_end.write(b"first")
    await until(lambda: first.received)
    transport.set_protocol(second)
    assert transport.get_protocol() is second
    write_end.write(b"second")
    write_end.close()
    await until(lambda: second.lost)
    assert first.received == b"first"
    assert second.received == b"second"
    assert second.calls == ["data", "eof", "lost"]
    assert not first.lost
    assert transport.get_protocol() is None


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
def test_a_regular_file_is_refused(net: Net, method: str) -> None:
    async def scenario(loop: Any) -> Any:
        with tempfile.TemporaryFile() as file:
            got = await attempt(getattr(loop, method)(Recorder, file))
            assert not file.closed
        return got

    name, _, text = same_as_stock(net, scenario)
    assert name == "ValueError"
    assert text.startswith("Pipe transport is ")


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
@pytest.mark.parametrize("file", [None, 5, "file"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's __del__
def test_what_is_no_file(net: Net, method: str, file: Any) -> None:
    async def scenario(loop: Any) -> Any:
        return await attempt(getattr(loop, method)(Recorder, file))

    assert same_as_stock(net, scenario)[0] == "AttributeError"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's __del__
def test_a_closed_file(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        read_end, write_end = pipe()
        read_end.close()
        write_end.close()
        return [
            await attempt(loop.connect_read_pipe(Recorder, read_end)),
            await attempt(loop.connect_write_pipe(Recorder, write_end)),
        ]

    assert same_as_stock(net, scenario)[0][0] == "ValueError"


async def test_sockets_as_pipes(net: Net) -> None:
    one, other = socket.socketpair()
    source, first = await reading(net.loop, one)
    sink, second = await writing(net.loop, other)
    sink.write(b"x" * 100_000)
    await until(lambda: len(first.received) == 100_000)
    sink.close()
    await until(lambda: first.lost and second.lost)
    assert one.fileno() == other.fileno() == -1
    assert source.is_closing()


async def test_a_named_pipe(net: Net, tmp_path: Any) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    read_end = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
    write_end = os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb", 0)
    _, first = await reading(net.loop, read_end)
    sink, second = await writing(net.loop, write_end)
    sink.write(b"through a name")
    await until(lambda: first.received == b"through a name")
    sink.close()
    await until(lambda: first.lost and second.lost)


async def test_a_terminal(net: Net) -> None:
    """Its end is EIO, which is not reported, but told to connection_lost."""
    master, slave = pty.openpty()
    master_file = os.fdopen(master, "rb", 0)
    _, protocol = await reading(net.loop, master_file)
    slave_file = os.fdopen(slave, "wb", 0)
    sink, second = await writing(net.loop, slave_file)
    sink.write(b"typed")
    await until(lambda: protocol.received == b"typed")
    sink.close()
    await until(lambda: second.lost)
    await until(lambda: protocol.lost)
    assert isinstance(protocol.error, OSError)
    assert protocol.error.errno == errno.EIO
    assert master_file.closed


async def test_both_ends_of_a_pipe_in_one_protocol_each(net: Net) -> None:
    """A large transfer, the writer held back by flow control."""
    read_end, write_end = pipe()
    _, first = await reading(net.loop, read_end)
    sink, second = await writing(net.loop, write_end)
    data = os.urandom(2_000_000)
    for start in range(0, len(data), 70_000):
        sink.write(data[start : start + 70_000])
        await until(lambda: second.calls[-1] != "pause")
    sink.close()
    await until(lambda: first.lost)
    assert first.received == data


@pytest.mark.parametrize("method", ["data_received", "eof_received", "connection_lost"])
async def test_callbacks_that_fail(net: Net, method: str) -> None:
    """They are reported as any callback; the pipe is closed in the end."""

    def fail(self: Any, *arguments: Any) -> None:
        getattr(Recorder, method)(self, *arguments)
        raise LookupError

    failing: Any = type("Failing", (Recorder,), {method: fail})
    read_end, write_end = pipe()
    await reading(net.loop, read_end, failing)
    write_end.write(b"x")
    await until(lambda: method != "data_received" or net.errors)
    write_end.close()
    await until(lambda: read_end.closed and net.errors)
    (context,) = net.take_errors()
    assert context["message"].startswith("Exception in callback ")
    assert isinstance(context["exception"], LookupError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_callback_leaves_the_run(net: Net, error: type[BaseException]) -> None:
    class Leaving(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise error

    read_end, write_end = pipe()
    transport, protocol = net.run(reading(net.loop, read_end, Leaving))
    write_end.write(b"x")
    with pytest.raises(error):
        net.loop.run_forever()
    assert protocol.received == b"x"
    transport.close()
    net.run(until(lambda: protocol.lost))
    write_end.close()


@pytest.mark.parametrize("end", [0, 1])
def test_left_open(net: Net, end: int) -> None:
    files = pipe()
    connect = (reading, writing)[end]
    transport, protocol = net.run(connect(net.loop, files[end]))
    net.close()
    del protocol.transport
    held = [transport, protocol]
    del transport, protocol
    with pytest.warns(ResourceWarning, match=r"unclosed transport <\w+ ") as caught:
        let_go(held)
    assert re.search(r"fd=\d+", str(caught[0].message))
    assert files[end].closed
    files[1 - end].close()
    net.loop = net.impl.new_loop()


async def test_cancelled_while_connecting(net: Net) -> None:
    for connect, end in ((reading, 0), (writing, 1)):
        files = pipe()
        connecting = asyncio.ensure_future(connect(net.loop, files[end]))
        await turns(1)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        await until(lambda files=files, end=end: files[end].closed)
        files[1 - end].close()

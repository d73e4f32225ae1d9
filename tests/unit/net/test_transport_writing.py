"""Writing to a stream transport: types, order, buffers, flow control, write_eof, after the end."""

from __future__ import annotations

import array
import asyncio
import inspect
import logging
import socket
from typing import Any

import pytest

from .peers import (
    BOTH_KINDS,
    Net,
    Recorder,
    closed,
    connected,
    fill,
    is_native,
    receive,
    reset,
    same_as_stock,
    turns,
    until,
)


@BOTH_KINDS
async def test_what_can_be_written(net: Net, kind: str) -> None:
    class Text(bytes):
        pass

    transport, _, peer = await connected(net.loop, kind=kind)
    for data in (b"bytes ", bytearray(b"bytearray "), memoryview(b"memoryview "), b""):
        transport.write(data)
    transport.write(memoryview(b"part of it.")[:8])
    transport.write(Text(b"subclass"))
    expected = b"bytes bytearray memoryview part of subclass"
    assert await receive(peer, len(expected)) == expected
    await closed(transport, peer)


@pytest.mark.parametrize("data", ["text", None, 5, [b"x"], array.array("b", [1])])
def test_what_cannot(net: Net, data: Any) -> None:
    async def scenario(loop: Any) -> Any:
        transport, _, peer = await connected(loop)
        try:
            transport.write(data)
        except TypeError as error:
            return str(error)
        finally:
            await closed(transport, peer)

    text = same_as_stock(net, scenario)
    assert text.endswith(f"not {type(data).__name__!r}")


@BOTH_KINDS
async def test_writelines(net: Net, kind: str) -> None:
    transport, _, peer = await connected(net.loop, kind=kind)
    transport.writelines([b"a", bytearray(b"b"), memoryview(b"c")])
    transport.writelines([])
    transport.writelines((b"d", b"", b"e"))
    transport.writelines(each for each in (b"f", b"g"))
    transport.write(b"h")
    assert await receive(peer, 8) == b"abcdefgh"
    await closed(transport, peer)


async def test_writelines_of_more_than_the_kernel_takes_at_once(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    parts = [bytes([number % 251]) * (number % 700) for number in range(1, 3000)]
    transport.writelines(parts)
    transport.write(b"the end")
    expected = b"".join(parts) + b"the end"
    assert await receive(peer, len(expected)) == expected
    await closed(transport, peer)


@pytest.mark.parametrize("data", [5, None, [5], ["text"], [b"x", None], "text"])
def test_what_writelines_refuses(net: Net, data: Any) -> None:
    async def scenario(loop: Any) -> Any:
        transport, _, peer = await connected(loop)
        try:
            transport.writelines(data)
        except TypeError as error:
            return type(error)
        finally:
            await closed(transport, peer)

    same_as_stock(net, scenario)


async def test_order_of_writes_of_all_sizes(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    expected = bytearray()
    for number in range(300):
        data = bytes([number % 256]) * (number * 37 % 5000)
        expected += data
        if number % 3:
            transport.write(data)
        else:
            transport.writelines([data[:10], data[10:]])
    assert await receive(peer, len(expected)) == expected
    await closed(transport, peer)


@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
async def test_what_was_written_may_be_changed_afterwards(net: Net, kind: Any) -> None:
    transport, _, peer = await connected(net.loop)
    start = fill(transport)
    mine = kind(b"original" * 1000)
    transport.write(mine)
    # asyncio since 3.12 keeps the caller's own memory, and sends what is in it by then
    if is_native(transport):
        mine[:8] = b"changed!"
    got = await receive(peer, start + 8000)
    assert got[start:] == b"original" * 1000
    await closed(transport, peer)


async def test_default_limits_and_new_ones(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(high=1000)
    assert transport.get_write_buffer_limits() == (250, 1000)
    transport.set_write_buffer_limits(low=1000)
    assert transport.get_write_buffer_limits() == (1000, 4000)
    transport.set_write_buffer_limits(high=10, low=5)
    assert transport.get_write_buffer_limits() == (5, 10)
    transport.set_write_buffer_limits(0)
    assert transport.get_write_buffer_limits() == (0, 0)
    transport.set_write_buffer_limits()
    assert transport.get_write_buffer_limits() == (16384, 65536)
    for high, low in ((1, 2), (-1, None), (5, -1)):
        with pytest.raises(ValueError, match=r"^high \(-?\d+\) must be >= low \(-?\d+\) must"):
            transport.set_write_buffer_limits(high, low)
    await closed(transport, peer)


@BOTH_KINDS
async def test_the_marks_are_exact(net: Net, kind: str) -> None:
    transport, protocol, peer = await connected(net.loop, kind=kind)
    transport.set_write_buffer_limits(high=1 << 30, low=0)
    sent = fill(transport)
    size = transport.get_write_buffer_size()
    transport.set_write_buffer_limits(high=size + 10, low=size - 1)
    transport.write(b"0123456789")
    assert transport.get_write_buffer_size() == size + 10
    assert protocol.calls == ["made"]
    transport.write(b"!")
    assert protocol.calls == ["made", "pause"]
    transport.write(b"more")
    assert protocol.calls == ["made", "pause"]
    await receive(peer, sent + 15)
    await until(lambda: not transport.get_write_buffer_size())
    assert protocol.calls == ["made", "pause", "resume"]
    await closed(transport, peer)


async def test_lower_limits_pause_at_once(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop)
    transport.set_write_buffer_limits(high=1 << 30)
    fill(transport)
    assert protocol.calls == ["made"]
    transport.set_write_buffer_limits(high=0)
    assert protocol.calls == ["made", "pause"]
    transport.set_write_buffer_limits(high=1 << 30)
    assert protocol.calls == ["made", "pause"]
    await closed(transport, peer)


async def test_writing_inside_resume_writing(net: Net) -> None:
    class Again(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            if self.calls.count("resume") < 5:
                fill(self.transport)

    transport, protocol, peer = await connected(net.loop, Again)
    transport.set_write_buffer_limits(high=0)
    fill(transport)
    while protocol.calls.count("resume") < 5:
        try:
            peer.recv(1 << 20)
        except BlockingIOError:
            pass
        await asyncio.sleep(0)
    assert protocol.calls == ["made", *["pause", "resume"] * 5]
    await closed(transport, peer)


async def test_a_slow_reader(net: Net) -> None:
    """With a protocol that obeys, the buffer stays near the marks, and all arrives in order."""
    writable = asyncio.Event()
    writable.set()

    class Obeying(Recorder):
        def pause_writing(self) -> None:
            writable.clear()

        def resume_writing(self) -> None:
            writable.set()

    transport, _, peer = await connected(net.loop, Obeying)
    _, high = transport.get_write_buffer_limits()
    largest = 0

    async def write() -> None:
        nonlocal largest
        for number in range(2000):
            transport.write(bytes([number % 256]) * 1000)
            largest = max(largest, transport.get_write_buffer_size())
            await writable.wait()
        transport.close()

    writing = asyncio.ensure_future(write())
    got = bytearray()
    while True:
        try:
            part = peer.recv(10_000)
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not part:
            break
        got += part
    await writing
    assert got == b"".join(bytes([number % 256]) * 1000 for number in range(2000))
    assert largest <= high + 1000
    peer.close()
    await turns(3)


@BOTH_KINDS
async def test_write_eof(net: Net, kind: str) -> None:
    transport, protocol, peer = await connected(net.loop, kind=kind)
    transport.write(b"last")
    transport.write_eof()
    transport.write_eof()
    assert await receive(peer) == b"last"
    for write, argument in ((transport.write, b"x"), (transport.writelines, [b"x"])):
        with pytest.raises(RuntimeError, match=r"^Cannot call write(lines)?\(\) after write_e"):
            write(argument)
    assert not transport.is_closing()
    peer.send(b"answer")
    await until(lambda: protocol.received == b"answer")
    await closed(transport, peer)


@BOTH_KINDS
async def test_write_eof_waits_for_the_buffer(net: Net, kind: str) -> None:
    transport, _, peer = await connected(net.loop, kind=kind)
    sent = fill(transport)
    transport.write_eof()
    assert transport.get_write_buffer_size()
    assert len(await receive(peer)) == sent
    await closed(transport, peer)


@BOTH_KINDS
async def test_close_waits_for_the_buffer(net: Net, kind: str) -> None:
    transport, protocol, peer = await connected(net.loop, kind=kind)
    sent = fill(transport)
    transport.close()
    assert transport.get_write_buffer_size()
    await turns(20)
    assert not protocol.lost
    assert len(await receive(peer)) == sent
    await until(lambda: protocol.lost)
    assert protocol.error is None
    peer.close()


@BOTH_KINDS
async def test_write_eof_and_close_with_a_full_buffer(net: Net, kind: str) -> None:
    transport, protocol, peer = await connected(net.loop, kind=kind)
    sent = fill(transport)
    transport.write_eof()
    transport.close()
    assert len(await receive(peer)) == sent
    await until(lambda: protocol.lost)
    assert protocol.calls.count("lost") == 1
    peer.close()


async def test_write_eof_after_close_does_nothing(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop)
    transport.close()
    transport.write_eof()
    await until(lambda: protocol.lost)
    transport.write_eof()
    await turns(2)
    assert protocol.calls == ["made", "lost"]
    assert protocol.error is None
    peer.close()


def test_writes_after_close_are_dropped(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """Silently at first, then with asyncio's warning, as often as asyncio gives it."""

    async def scenario(loop: Any) -> Any:
        caplog.clear()
        transport, protocol, peer = await connected(loop)
        transport.close()
        counts = []
        for _ in range(8):
            transport.write(b"into the void")
            counts.append(len(caplog.records))
        await until(lambda: protocol.lost)
        transport.write(b"into the void")
        counts.append(len(caplog.records))
        assert await receive(peer) == b""
        peer.close()
        return counts, {record.getMessage() for record in caplog.records}

    with caplog.at_level(logging.WARNING, "asyncio"):
        counts, texts = same_as_stock(net, scenario)
    assert counts[:4] == [0] * 4
    assert counts[-1] > 0
    assert texts == {"socket.send() raised exception."}


def test_writes_after_a_reset_are_dropped(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        transport, protocol, peer = await connected(net.loop)
        fill(transport)
        reset(peer)
        await until(lambda: protocol.lost)
        assert isinstance(protocol.error, (ConnectionResetError, BrokenPipeError))
        for _ in range(10):
            transport.write(b"into the void")
        assert transport.get_write_buffer_size() == 0

    with caplog.at_level(logging.WARNING, "asyncio"):
        net.run(main())
    assert {record.getMessage() for record in caplog.records} == {"socket.send() raised exception."}


async def test_a_write_that_fails_ends_the_connection(net: Net) -> None:
    """Nothing is raised at the writer: the error comes with connection_lost, and no report."""
    transport, protocol, peer = await connected(net.loop, kind="unix")
    transport.pause_reading()
    peer.close()
    transport.write(b"nobody reads it")
    assert not protocol.lost
    await until(lambda: protocol.lost)
    assert isinstance(protocol.error, BrokenPipeError)


async def test_a_buffered_write_that_fails_ends_the_connection(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop, kind="unix")
    transport.pause_reading()
    fill(transport)
    peer.close()
    await until(lambda: protocol.lost)
    assert isinstance(protocol.error, (BrokenPipeError, ConnectionResetError))
    assert transport.get_write_buffer_size() == 0


async def test_shut_down_under_the_transport(net: Net) -> None:
    transport, protocol, peer = await connected(net.loop)
    transport.pause_reading()
    # a TransportSocket has shutdown, as asyncio's documentation recommends for this
    transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    transport.write(b"x")
    await until(lambda: protocol.lost)
    assert isinstance(protocol.error, BrokenPipeError)
    peer.close()


async def test_the_signatures(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    for name in ("write", "writelines", "set_write_buffer_limits", "get_extra_info"):
        inspect.signature(getattr(transport, name))
    transport.write(data=b"by name")
    transport.writelines(list_of_data=[b"!"])
    assert transport.get_extra_info(name="nothing", default=1) == 1
    transport.set_write_buffer_limits(high=5, low=1)
    transport.set_protocol(protocol=transport.get_protocol())
    assert await receive(peer, 8) == b"by name!"
    await closed(transport, peer)

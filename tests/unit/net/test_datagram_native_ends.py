"""Datagram transports: flow control, what is written too late, closing, and being left open."""

from __future__ import annotations

import gc
import logging
import socket
import warnings
import weakref
from typing import Any

import pytest

from tests.support import VERSION, Implementation, turn
from tests.unit.net.datagrams import (
    HEADER,
    Mailbox,
    close,
    endpoint,
    unix_pair,
)
from tests.unit.net.peers import says_that_it_was_open, settle


def fill(transport: Any) -> int:
    """Send until something has to wait; how many were sent before."""
    count = 0
    while transport.get_write_buffer_size() == 0:
        transport.sendto(b"%04d" % count + b"." * 996)
        count += 1
        assert count < 1000
    return count - 1


def test_flow_control(impl: Implementation, loop: Any) -> None:
    transport, protocol, other = unix_pair(loop)
    transport.set_write_buffer_limits(high=3000, low=1500)
    assert transport.get_write_buffer_limits() == (1500, 3000)
    count = fill(transport) + 1
    assert transport.get_write_buffer_size() == 1000 + HEADER
    assert "write=<polling" in repr(transport)
    mutable = bytearray(b"%04d" % count + b"." * 996)
    transport.sendto(mutable)
    mutable[:] = b""
    transport.sendto(memoryview(b"%04d" % (count + 1) + b"." * 996))
    assert protocol.calls[1:] == (["pause"] if HEADER else [])
    transport.sendto(b"%04d" % (count + 2))
    assert protocol.calls[1:] == ["pause"]
    assert transport.get_write_buffer_size() == 3004 + 4 * HEADER
    assert len(transport._buffer) == 4
    got = []
    for _ in range(200):
        try:
            got.append(int(other.recv(2000)[:4]))
        except BlockingIOError:
            turn(loop)
        if len(got) == count + 3:
            break
    assert got == list(range(count + 3))
    settle(loop)
    if impl.native or VERSION < (3, 13):
        assert transport.get_write_buffer_size() == 0
        assert protocol.calls[1:] == ["pause", "resume"]
        assert "write=<idle, bufsize=0>" in repr(transport)
    close(loop, transport)
    other.close()


def test_marks(loop: Any) -> None:
    transport, _, other = unix_pair(loop)
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(low=100)
    assert transport.get_write_buffer_limits() == (100, 400)
    transport.set_write_buffer_limits(high=2.5e3, low=1)
    assert transport.get_write_buffer_limits() == (1, 2500.0)
    transport.set_write_buffer_limits(high=1 << 80)
    assert transport.get_write_buffer_limits() == (1 << 78, 1 << 80)
    with pytest.raises(ValueError, match=r"^high \(1\) must be >= low \(2\) must be >= 0$"):
        transport.set_write_buffer_limits(high=1, low=2)
    with pytest.raises(TypeError):
        transport.set_write_buffer_limits(high="x")
    close(loop, transport)
    other.close()


def test_pausing_fails(loop: Any) -> None:
    class Failing(Mailbox):
        def pause_writing(self) -> None:
            raise ValueError("pause")

        def resume_writing(self) -> None:
            raise ValueError("resume")

    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    transport, protocol, other = unix_pair(loop, Failing)
    transport.set_write_buffer_limits(high=0)
    fill(transport)
    assert [context["message"] for context in seen] == ["protocol.pause_writing() failed"]
    assert seen[0]["transport"] is transport
    assert seen[0]["protocol"] is protocol
    assert str(seen[0]["exception"]) == "pause"
    close(loop, transport)
    other.close()


def test_abort_forgets_what_waits(loop: Any) -> None:
    transport, protocol, other = unix_pair(loop)
    fill(transport)
    transport.abort()
    transport.abort()
    transport.close()
    assert len(transport._buffer) == 0
    settle(loop)
    assert protocol.calls.count("lost") == 1
    assert protocol.error is None
    other.close()


def test_an_error_while_sending_what_waits(loop: Any) -> None:
    transport, protocol, other = unix_pair(loop)
    fill(transport)
    other.close()
    settle(loop)
    assert [type(error) for error in protocol.errors] == [ConnectionRefusedError]
    transport.sendto(b"x")
    settle(loop)
    assert not transport.is_closing()
    close(loop, transport)


def test_writes_after_the_loss(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    server, _ = endpoint(loop, local_addr=("127.0.0.1", 0))
    transport, _ = endpoint(loop, remote_addr=server.get_extra_info("sockname"))
    transport.abort()
    with caplog.at_level(logging.WARNING, "asyncio"):
        for _ in range(4):
            transport.sendto(b"x")
        assert caplog.messages == []
        transport.sendto(b"x")
        assert caplog.messages == ["socket.send() raised exception."]
    close(loop, server)


@pytest.mark.native  # stock raises AttributeError: its loop is None
def test_native_writes_after_the_loss_are_dropped(loop: Any) -> None:
    transport, _ = endpoint(loop, local_addr=("127.0.0.1", 0))
    transport.abort()
    settle(loop)
    transport.sendto(b"x", ("127.0.0.1", 9))
    transport.pause_reading()
    transport.resume_reading()
    transport.close()
    transport.abort()


@pytest.mark.mended_in_3_11_7
def test_left_open(loop: Any, impl: Implementation) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    sock = transport._sock
    transport.pause_reading()
    protocol.transport = None
    held = [transport]
    del transport
    says_that_it_was_open(loop, held)
    assert sock.fileno() == -1


def test_a_closed_one_is_collected(loop: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    gone = weakref.ref(transport)
    protocol.transport = None
    transport.close()
    settle(loop)
    gc.disable()
    try:
        del transport
        assert gone() is None
    finally:
        gc.enable()


def test_an_open_one_lives(loop: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    address = transport.get_extra_info("sockname")
    weak = weakref.ref(transport)
    protocol.transport = None
    del transport
    gc.collect()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", address)
    settle(loop)
    assert protocol.data == [b"x"]
    transport = weak()
    assert transport is not None
    close(loop, transport)


def test_the_loop_is_closed_first(loop: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    protocol.transport = None
    loop.close()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        transport.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert [w.category for w in caught if "transport" in str(w.message)] == [ResourceWarning]


def test_on_a_closed_loop(loop: Any) -> None:
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            loop._make_datagram_transport(sock, Mailbox())
        gc.collect()
        assert sock.fileno() == -1


def test_connection_lost_raises(loop: Any) -> None:
    class Raising(Mailbox):
        def connection_lost(self, exc: Exception | None) -> None:
            raise ValueError("lost")

    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    transport, _ = endpoint(loop, Raising, local_addr=("127.0.0.1", 0))
    sock = transport._sock
    transport.close()
    settle(loop)
    assert [str(context["exception"]) for context in seen] == ["lost"]
    assert sock.fileno() == -1

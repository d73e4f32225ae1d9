"""Pipe transports: asyncio's rules, each test on the control as well unless it says why not."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import turn
from tests.unit.net.peers import VARIABLE, Recorder, says_that_it_was_open, settle, wait

if TYPE_CHECKING:
    from tests.support import Implementation


class Counted:
    """A pipe that counts how often it is closed."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.closed = 0

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        self.closed += 1
        os.close(self.fd)


def reader(loop: Any, fd: int, factory: Any = Recorder) -> tuple[Any, Any, Counted]:
    pipe = Counted(fd)
    made = loop.run_until_complete(loop.connect_read_pipe(factory, pipe))
    return made[0], made[1], pipe


def writer(loop: Any, fd: int, factory: Any = Recorder) -> tuple[Any, Any, Counted]:
    pipe = Counted(fd)
    made = loop.run_until_complete(loop.connect_write_pipe(factory, pipe))
    return made[0], made[1], pipe


def handler(loop: Any) -> list[Any]:
    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    return seen


def test_reading(loop: Any) -> None:
    r, w = os.pipe()
    transport, protocol, pipe = reader(loop, r)
    name = type(transport).__name__
    assert issubclass(type(transport), asyncio.ReadTransport)
    assert not issubclass(type(transport), asyncio.WriteTransport)
    assert repr(transport) == f"<{name} fd={r} polling>"
    assert transport.get_extra_info("pipe") is pipe
    assert transport.get_extra_info("peername", 1) == 1
    assert transport.get_protocol() is protocol
    assert not os.get_blocking(r)
    os.write(w, b"one")
    settle(loop)
    assert protocol.received == b"one"
    os.write(w, b"two")
    os.close(w)
    wait(loop, lambda: pipe.closed)
    assert protocol.received == b"onetwo"
    assert protocol.calls == ["made", "data", "eof", "lost"]
    assert protocol.error is None
    assert pipe.closed == 1
    assert repr(transport) == f"<{name} closed fd={r} closed>"
    transport.close()
    transport.pause_reading()
    transport.resume_reading()
    settle(loop)
    assert protocol.calls == ["made", "data", "eof", "lost"]


@pytest.mark.mended_in_3_11_7
def test_pausing(loop: Any) -> None:
    class Pausing(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    r, w = os.pipe()
    os.write(w, b"data")
    transport, protocol, pipe = reader(loop, r, Pausing)
    settle(loop)
    assert protocol.received == b""
    assert not transport.is_reading()
    assert "idle" in repr(transport)
    transport.pause_reading()
    transport.resume_reading()
    transport.resume_reading()
    settle(loop)
    assert protocol.received == b"data"
    assert transport.is_reading()
    transport.close()
    assert transport.is_closing()
    assert not transport.is_reading()
    transport.close()
    settle(loop)
    assert protocol.calls == ["made", "data", "lost"]
    assert protocol.error is None
    assert pipe.closed == 1
    os.close(w)


def test_max_size(loop: Any) -> None:
    sizes: list[int] = []

    class Chunks(Recorder):
        def data_received(self, data: bytes) -> None:
            sizes.append(len(data))

    r, w = os.pipe()
    transport, _, _ = reader(loop, r, Chunks)
    assert transport.max_size == 256 * 1024
    transport.max_size = 4
    os.write(w, b"0123456789")
    wait(loop, lambda: len(sizes) == 3)
    assert sizes == [4, 4, 2]
    transport.close()
    settle(loop)
    os.close(w)


def test_a_read_error(loop: Any) -> None:
    # EINVAL: an event counter wants eight bytes at least.
    fd = os.eventfd(1)
    left, right = socket.socketpair()
    seen = handler(loop)
    transport, protocol, pipe = reader(loop, left.detach())
    os.dup2(fd, pipe.fd)
    os.close(fd)
    transport.pause_reading()
    transport.max_size = 4
    transport.resume_reading()
    wait(loop, lambda: pipe.closed)
    assert protocol.calls == ["made", "lost"]
    assert type(protocol.error) is OSError
    (context,) = seen
    assert context["message"] == "Fatal read error on pipe transport"
    assert context["exception"].errno == errno.EINVAL
    assert context["transport"] is transport
    assert context["protocol"] is protocol
    right.close()


def test_data_received_raises(loop: Any) -> None:
    class Raising(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise ValueError(data)

    seen = handler(loop)
    r, w = os.pipe()
    transport, protocol, _ = reader(loop, r, Raising)
    os.write(w, b"one")
    settle(loop)
    os.write(w, b"two")
    settle(loop)
    assert protocol.received == b"onetwo"
    assert [context["exception"].args[0] for context in seen] == [b"one", b"two"]
    name = type(transport).__name__
    assert seen[0]["message"].startswith(f"Exception in callback {name}._read_ready(")
    transport.close()
    settle(loop)
    os.close(w)


@pytest.mark.parametrize("ends", ["pipe", "socketpair", "fifo"])
def test_writing(loop: Any, ends: str) -> None:
    if ends == "pipe":
        r, w = os.pipe()
    elif ends == "fifo":
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "fifo")
            os.mkfifo(path)
            r = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            w = os.open(path, os.O_WRONLY)
            os.set_blocking(r, True)
    else:
        r, w = (end.detach() for end in socket.socketpair())
    transport, protocol, pipe = writer(loop, w)
    name = type(transport).__name__
    assert issubclass(type(transport), asyncio.WriteTransport)
    assert transport.can_write_eof()
    settle(loop)
    assert repr(transport) == f"<{name} fd={w} idle bufsize=0>"
    transport.write(b"")
    transport.write(b"one ")
    transport.write(bytearray(b"two "))
    transport.write(memoryview(b"three ")[:4])
    transport.writelines([b"four ", b"five"])
    assert os.read(r, 99) == b"one two threfour five"
    with pytest.raises(AssertionError, match=r"^'text'$"):
        transport.write("text")
    os.close(r)
    wait(loop, lambda: pipe.closed)
    assert protocol.calls == ["made", "lost"]
    assert protocol.error is None
    assert pipe.closed == 1


def test_flow_control(loop: Any) -> None:
    r, w = os.pipe()
    transport, protocol, pipe = writer(loop, w)
    name = type(transport).__name__
    assert transport.get_write_buffer_limits() == (16384, 65536)
    transport.set_write_buffer_limits(high=1000)
    assert transport.get_write_buffer_limits() == (250, 1000)
    transport.write(bytes(65536))
    assert transport.get_write_buffer_size() == 0
    transport.write(b"a" * 400)
    mutable = bytearray(b"b" * 600)
    transport.write(mutable)
    mutable[:] = b"x" * 600
    assert protocol.calls == ["made"]
    assert transport.get_write_buffer_size() == 1000
    transport.write(memoryview(b"c"))
    assert protocol.calls == ["made", "pause"]
    assert transport.get_write_buffer_size() == 1001
    assert repr(transport) == f"<{name} fd={w} polling bufsize=1001>"
    assert transport._buffer == b"a" * 400 + b"b" * 600 + b"c"
    for _ in range(20):
        transport.write(b"d" * 10)
    assert os.read(r, 65536) == bytes(65536)
    settle(loop)
    assert protocol.calls == ["made", "pause", "resume"]
    assert os.read(r, 65536) == b"a" * 400 + b"b" * 600 + b"c" + b"d" * 200
    assert transport.get_write_buffer_size() == 0
    transport.close()
    settle(loop)
    assert protocol.calls[-1] == "lost"
    assert pipe.closed == 1
    os.close(r)


def test_a_part_is_written(loop: Any) -> None:
    r, w = os.pipe()
    transport, protocol, _ = writer(loop, w)
    data = os.urandom(300_001)
    for kind in (bytes, bytearray, memoryview):
        transport.write(kind(data))
    transport.write_eof()
    transport.write_eof()
    assert transport.is_closing()
    got = b""
    while not protocol.lost or len(got) < 900_003:
        got += os.read(r, 1 << 16)
        turn(loop)
    assert got == data * 3
    assert protocol.calls == ["made", "pause", "resume", "lost"]
    assert protocol.error is None
    os.close(r)


def test_writing_to_nobody(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    seen = handler(loop)
    r, w = os.pipe()
    transport, protocol, pipe = writer(loop, w)
    os.close(r)
    with caplog.at_level(logging.WARNING, "asyncio"):
        for _ in range(5):
            transport.write(b"data")
        assert caplog.messages == []
        transport.write(b"data")
        assert caplog.messages == ["pipe closed by peer or os.write(pipe, data) raised exception."]
    settle(loop)
    assert protocol.calls == ["made", "lost"]
    assert type(protocol.error) is BrokenPipeError
    assert seen == []
    assert pipe.closed == 1


def test_abort(loop: Any, impl: Implementation) -> None:
    r, w = os.pipe()
    transport, protocol, pipe = writer(loop, w)
    transport.write(bytes(100_000))
    transport.abort()
    assert transport.get_write_buffer_size() == 0
    transport.close()
    if impl.native:  # stock would call connection_lost() twice
        transport.abort()
    settle(loop)
    assert protocol.calls == ["made", "lost"]
    assert pipe.closed == 1
    if impl.native:  # stock: AttributeError, its loop is None
        transport.abort()
        transport.write(b"x")
        transport.write_eof()
    os.close(r)


def test_eof_before_anything(loop: Any) -> None:
    class Ending(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.write(b"all")
            transport.write_eof()

    r, w = os.pipe()
    _, protocol, pipe = writer(loop, w, Ending)
    settle(loop)
    assert os.read(r, 99) == b"all"
    assert os.read(r, 99) == b""
    assert protocol.calls == ["made", "lost"]
    assert protocol.error is None
    assert pipe.closed == 1
    os.close(r)


def test_a_write_error(loop: Any) -> None:
    seen = handler(loop)
    r, w = os.pipe()
    transport, protocol, pipe = writer(loop, w)
    transport.write(memoryview(b"abcdef")[::2])  # os.write() takes no view with gaps
    settle(loop)
    (context,) = seen
    assert context["message"] == "Fatal write error on pipe transport"
    assert type(context["exception"]) is BufferError
    assert context["transport"] is transport
    assert protocol.calls == ["made", "lost"]
    assert type(protocol.error) is BufferError
    assert pipe.closed == 1
    os.close(r)


@pytest.mark.parametrize("kind", ["read", "write"])
def test_left_open(loop: Any, kind: str) -> None:
    r, w = os.pipe()
    transport, protocol, pipe = reader(loop, r) if kind == "read" else writer(loop, w)
    if kind == "read":
        transport.pause_reading()
    else:
        settle(loop)
        loop._remove_reader(w)
    protocol.transport = None
    held = [transport]
    del transport
    says_that_it_was_open(loop, held)
    assert pipe.closed == 1
    os.close(w if kind == "read" else r)


def test_context(loop: Any) -> None:
    async def make(fd: int) -> Any:
        VARIABLE.set("mine")
        return await loop.connect_read_pipe(Recorder, Counted(fd))

    r, w = os.pipe()
    _, protocol = loop.run_until_complete(make(r))
    os.write(w, b"x")
    settle(loop)
    assert protocol.contexts == ["mine", "mine"]
    os.close(w)
    wait(loop, lambda: protocol.lost)
    assert protocol.contexts == ["mine"] * 4


def test_an_empty_context(loop: Any) -> None:
    class Setting(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            VARIABLE.set(data.decode())

    r, w = os.pipe()
    _, protocol, _ = reader(loop, r, Setting)
    for data in (b"1", b"2"):
        os.write(w, data)
        settle(loop)
    assert VARIABLE.get() == "unset"
    os.close(w)
    wait(loop, lambda: protocol.lost)
    assert protocol.contexts == ["unset", "unset", "1", "2", "2"]


def test_connection_lost_raises(loop: Any) -> None:
    class Raising(Recorder):
        def connection_lost(self, exc: Exception | None) -> None:
            raise ValueError("lost")

    seen = handler(loop)
    r, w = os.pipe()
    transport, _, pipe = writer(loop, w, Raising)
    transport.close()
    settle(loop)
    assert [str(context["exception"]) for context in seen] == ["lost"]
    assert pipe.closed == 1
    os.close(r)


def test_debug_log(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_debug(True)
    r, w = os.pipe()
    with caplog.at_level(logging.DEBUG, "asyncio"):
        transport, protocol, _ = reader(loop, r)
        name = type(transport).__name__
        transport.pause_reading()
        transport.resume_reading()
        os.close(w)
        wait(loop, lambda: protocol.lost)
    for text in (
        f"<{name} fd={r} idle> pauses reading",
        f"<{name} fd={r} polling> resumes reading",
        f"<{name} fd={r} polling> was closed by peer",
    ):
        assert text in caplog.text


def test_subprocess(loop: Any, impl: Implementation) -> None:
    program = (
        "import sys; data = sys.stdin.read(); print(len(data)); print(data[:3], file=sys.stderr)"
    )

    async def run() -> Any:
        process: Any = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=-1, stdout=-1, stderr=-1
        )
        out = await process.communicate(b"x" * 500_000)
        return out, process.returncode, process._transport.get_pipe_transport(1)

    if sys.version_info < (3, 12) and not impl.native:
        asyncio.get_child_watcher().attach_loop(loop)
    (out, err), code, pipe = loop.run_until_complete(run())
    assert (out.strip(), err.strip(), code) == (b"500000", b"xxx", 0)
    assert pipe.is_closing()


def test_the_fd_is_reused_at_once(loop: Any) -> None:
    r, w = os.pipe()
    transport, protocol, pipe = reader(loop, r)
    transport.close()
    turn(loop, 2)
    assert pipe.closed == 1
    again, other = os.pipe()
    assert r in (again, other)
    second, later, _ = reader(loop, again)
    os.write(other, b"new")
    settle(loop)
    assert later.received == b"new"
    assert protocol.received == b""
    second.close()
    settle(loop)
    os.close(other)
    os.close(w)

"""What the networking tests share: protocols that note their calls, peers, counts of descriptors.

A peer is a plain non-blocking socket, so that one side of a test is under its full control. Nothing
here waits for a fixed time: `until` turns the loop until a condition holds, and a test that hangs
is ended by the deadline of `Net.run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import os
import socket
import ssl
import struct
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import STOCK, Driven, Implementation, turn, unix_pair, without_reports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

DEADLINE = 60.0
CERTIFICATE = Path(__file__).with_name("certificate.pem")


def descriptors() -> dict[int, str]:
    """The open descriptors of this process and what they are."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # the one of listdir itself
            pass
    return found


class Net(Driven):
    """A loop of one implementation, whose runs have a deadline."""

    def __init__(self, impl: Implementation) -> None:
        super().__init__(impl)
        self.impl = impl

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(DEADLINE):
                return await coro

        return self.loop.run_until_complete(limited())

    def close(self) -> None:
        if not self.loop.is_closed():
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()


@functools.cache
def warm_up(impl: Implementation) -> None:
    # A process opens a few descriptors once, for signals for example: they are no leak of a test.
    loop = impl.new_loop()
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()


@contextlib.contextmanager
def clean_net(impl: Implementation) -> Iterator[Net]:
    """A Net, and at its end no unexpected report and no descriptor more."""
    for each in (STOCK, impl):  # a test may compare with stock
        warm_up(each)
    before = descriptors()
    with without_reports(Net(impl)) as made:
        yield made
    left = {number: what for number, what in descriptors().items() if number not in before}
    assert not left, f"descriptors left open: {left}"


Said = tuple[str, ...]


def said(error: BaseException) -> Said:
    """An exception in a form that can be compared: type, errno and text, a group's parts too."""
    parts = getattr(error, "exceptions", ())
    number = getattr(error, "errno", None)
    return (type(error).__name__, str(number), str(error), *(str(said(each)) for each in parts))


async def attempt(awaitable: Awaitable[Any]) -> Any:
    """The value, or the exception in a comparable form."""
    try:
        return await awaitable
    except Exception as error:
        return said(error)


def same_as_stock(net: Net, scenario: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """Runs a scenario on a stock loop and on this one: it must come to the same; returns that."""
    with without_reports(Net(STOCK)) as control:
        expected = control.run(scenario(control.loop))
    got = net.run(scenario(net.loop))
    assert got == expected, f"{got!r}, and stock: {expected!r}"
    return got


def is_native(transport: Any) -> bool:
    """Whether a transport is ours, and not asyncio's code on our loop."""
    return type(transport).__module__.partition(".")[0] == "bucle"


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


class Noting(asyncio.BaseProtocol):
    """Notes its calls, pieces of data in a row as one, and what the variable was in each."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.contexts: list[str] = []
        self.transport: Any = None
        self.error: BaseException | None = None

    def note(self, name: str) -> None:
        if name != "data" or self.calls[-1:] != ["data"]:
            self.calls.append(name)
        self.contexts.append(VARIABLE.get())

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self.note("lost")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    @property
    def lost(self) -> bool:
        return "lost" in self.calls


class Recorder(Noting, asyncio.Protocol):
    """Keeps what was received."""

    def __init__(self) -> None:
        super().__init__()
        self.received = bytearray()
        self.keep_open = False

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.received += data
        self.note("data")

    def eof_received(self) -> bool:
        self.note("eof")
        return self.keep_open


class BufferedRecorder(Recorder, asyncio.BufferedProtocol):
    """The same, reading into a buffer of its own."""

    def __init__(self, size: int = 65536) -> None:
        super().__init__()
        self.buffer = bytearray(size)
        self.hints: list[int] = []

    def get_buffer(self, sizehint: int) -> Any:
        self.hints.append(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.buffer[:nbytes]))


class Factory:
    """A protocol factory that keeps what it made."""

    def __init__(self, make: Callable[[], Recorder] = Recorder) -> None:
        self.make = make
        self.made: list[Recorder] = []

    def __call__(self) -> Recorder:
        self.made.append(self.make())
        return self.made[-1]


async def until(condition: Callable[[], Any]) -> None:
    """Lets the loop run until the condition holds."""
    while not condition():
        await asyncio.sleep(0.001)


def wait(loop: Any, condition: Callable[[], Any]) -> None:
    """Runs a loop until the condition holds."""
    loop.run_until_complete(asyncio.wait_for(until(condition), DEADLINE))


def settle(loop: Any) -> None:
    """Turns enough for what is there to be read, told and closed."""
    turn(loop, 10)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over loopback, both non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    one.setblocking(False)
    other.setblocking(False)
    return one, other


PAIRS = {"tcp": tcp_pair, "unix": unix_pair}
BOTH_KINDS = pytest.mark.parametrize("kind", PAIRS)


async def connected(
    loop: Any, factory: Callable[[], Any] = Recorder, kind: str = "tcp"
) -> tuple[Any, Any, socket.socket]:
    """A transport, its protocol, and the socket at the other end."""
    mine, peer = PAIRS[kind]()
    transport, protocol = await loop.create_connection(factory, sock=mine)
    return transport, protocol, peer


async def closed(transport: Any, peer: socket.socket | None = None) -> None:
    """Ends a connection of a test, and waits until its descriptor is closed."""
    sock = transport.get_extra_info("socket")
    transport.abort()
    if peer is not None:
        peer.close()
    await until(lambda: sock.fileno() == -1)


def let_go(held: list[Any]) -> None:
    """Drops what a list holds, and collects."""
    held.clear()
    gc.collect()


def says_that_it_was_open(loop: Any, transport: list[Any]) -> None:
    """Takes the only transport of a list, and looks at what it says when it is let go."""
    text = f"unclosed transport {transport[0]!r}"
    gone = weakref.ref(transport[0])

    def drop() -> None:
        transport.clear()
        turn(loop)
        gc.collect()

    with pytest.warns(ResourceWarning) as caught:
        drop()
    texts = [str(warning.message) for warning in caught]
    caught.clear()  # a warning knows the transport
    assert texts == [text], texts
    assert gone() is None


async def cancelled_after(count: int, making: Coroutine[Any, Any, Any]) -> Any:
    """What was made all the same, though it was cancelled after so many turns; or None."""
    task = asyncio.ensure_future(making)
    await turns(count)
    task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        return None


async def receive(peer: socket.socket, count: int | None = None) -> bytes:
    """So many bytes from a peer, or all to the end."""
    data = bytearray()
    while count is None or len(data) < count:
        try:
            part = peer.recv(1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0)
            continue
        if not part:
            break
        data += part
    return bytes(data)


async def send(peer: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[peer.send(view) :]
        except BlockingIOError:
            await asyncio.sleep(0)


def fill(transport: Any) -> int:
    """Writes until the kernel takes no more; returns what has been written."""
    chunk = b"f" * 65536
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(chunk)
        written += len(chunk)
    return written


def reset(sock: socket.socket) -> None:
    """Closes a TCP socket so that its peer gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Unreachable:
    """A listening socket that takes no more connections: whoever connects waits for long."""

    def __init__(self) -> None:
        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(0)
        self.address = self.listening.getsockname()
        self.clients: list[socket.socket] = []
        waiting = 0
        while waiting < 2:
            client = socket.socket()
            client.settimeout(0.05)
            self.clients.append(client)
            try:
                client.connect(self.address)
            except TimeoutError:
                waiting += 1

    def close(self) -> None:
        for sock in (self.listening, *self.clients):
            sock.close()

    def __enter__(self) -> Unreachable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refusing(family: socket.AddressFamily = socket.AF_INET) -> tuple[socket.socket, int]:
    """A bound socket that does not listen, and its port: a connection to it is refused."""
    sock = socket.socket(family)
    sock.bind(("", 0))
    return sock, sock.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def each_of(keywords: list[dict[str, Any]]) -> pytest.MarkDecorator:
    """A test for each call, which is named after its keywords."""
    ids = [",".join(each) or "nothing" for each in keywords]
    return pytest.mark.parametrize("keywords", keywords, ids=ids)


def deaf() -> socket.socket:
    """A UDP socket whose port refuses what comes: it is connected to somebody else."""
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.connect(("127.0.0.1", 9))
    return sock


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> ssl.SSLContext:
    """Trusts the certificate of the tests, which is for localhost, and no other."""
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    return context

"""Datagram transports: asyncio's rules, each test on the control as well unless it says why not.

What is native below asyncio's names is looked at too: bursts that come in one system call, packets
that may not be delivered yet, sockets whose own methods have to be called.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import weakref
from asyncio.trsock import TransportSocket
from typing import Any

import pytest

from tests.support import VERSION, Implementation, turn
from tests.unit.net.datagrams import (
    HEADER,
    Echo,
    Mailbox,
    close,
    endpoint,
    named_pair,
    unix_pair,
)
from tests.unit.net.peers import IPV6, VARIABLE, deaf, settle, wait


@pytest.mark.parametrize(
    ("family", "host"),
    [(socket.AF_INET, "127.0.0.1"), pytest.param(socket.AF_INET6, "::1", marks=IPV6)],
)
def test_echo(loop: Any, family: int, host: str) -> None:
    server, echo = endpoint(loop, Echo, local_addr=(host, 0), family=family)
    address = server.get_extra_info("sockname")
    connected, near = endpoint(loop, remote_addr=address[:2], family=family)
    free, far = endpoint(loop, local_addr=(host, 0), family=family)
    for number in range(50):
        connected.sendto(b"%d" % number)
        free.sendto(b"%d" % number, address)
    wait(loop, lambda: len(near.received) == len(far.received) == 50)
    expected = [(b"<%d" % number, address) for number in range(50)]
    assert near.received == expected
    assert far.received == expected
    assert {peer for _, peer in echo.received} == {
        connected.get_extra_info("sockname"),
        free.get_extra_info("sockname"),
    }
    assert connected.get_extra_info("peername") == address
    assert server.get_extra_info("peername") is None
    close(loop, server, connected, free)


@pytest.mark.mended_in_3_11_7
def test_what_it_is(impl: Implementation, loop: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    fd = transport.get_extra_info("socket").fileno()
    assert issubclass(type(transport), asyncio.Transport)
    assert issubclass(type(transport), asyncio.DatagramTransport) or VERSION < (3, 12)
    assert not impl.native or issubclass(type(transport), asyncio.DatagramTransport)
    name = type(transport).__name__
    assert repr(transport) == f"<{name} fd={fd} read=polling write=<idle, bufsize=0>>"
    assert type(transport.get_extra_info("socket")) is TransportSocket
    assert transport.get_extra_info("socket").gettimeout() == 0
    assert transport.get_extra_info("nothing") is None
    assert transport.get_extra_info("nothing", 7) == 7
    assert transport.get_protocol() is protocol
    assert protocol.transport is transport
    assert protocol.calls == ["made"]
    assert transport.is_reading()
    assert not transport.is_closing()
    transport.attribute = 1
    same: Any = weakref.ref(transport)()
    assert same == transport
    with pytest.raises(RuntimeError, match="is used by transport"):
        loop.add_reader(fd, print)
    if VERSION >= (3, 12):
        with pytest.raises(RuntimeError, match="is used by transport"):
            loop._make_datagram_transport(transport._sock, protocol)
    transport.close()
    assert transport.is_closing()
    assert repr(transport) == f"<{name} closing fd={fd} read=idle write=<idle, bufsize=0>>"
    settle(loop)
    assert repr(transport) == f"<{name} closed fd={fd}>"
    assert protocol.calls == ["made", "lost"]
    assert transport.get_extra_info("socket").fileno() == -1


@IPV6
def test_addresses_are_the_socket_modules(loop: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("::", 0), family=socket.AF_INET6)
    port = transport.get_extra_info("sockname")[1]
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1", 0))
        for flow in (0, 5):
            sock.sendto(b"x", ("::1", port, flow, 0))
        settle(loop)
        assert protocol.received == [(b"x", sock.getsockname())] * 2
        transport.sendto(b"y", ("::1", sock.getsockname()[1]))
        sock.settimeout(2)
        assert sock.recv(9) == b"y"
    close(loop, transport)


def test_hundreds_of_peers(loop: Any) -> None:
    transport, protocol = endpoint(loop, Echo, local_addr=("127.0.0.1", 0))
    address = transport.get_extra_info("sockname")
    peers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(150)]
    questions = list(enumerate(peers)) * 2
    for start in range(0, 300, 30):  # no more at once than the kernel keeps
        for number, peer in questions[start : start + 30]:
            peer.sendto(b"%d" % number, address)
            peer.setblocking(False)
        wait(loop, lambda end=start + 30: len(protocol.received) == end)
    for number, peer in enumerate(peers):
        for _ in range(2):
            assert peer.recvfrom(99) == (b"<%d" % number, address)
        peer.close()
    assert len(protocol.received) == 300
    assert len({addr for _, addr in protocol.received}) == 150
    close(loop, transport)


def test_unix_paths(loop: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "thé")
        transport, protocol = endpoint(loop, local_addr=ours, family=socket.AF_UNIX)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"nobody", ours)
            settle(loop)
            sock.bind(theirs)
            sock.sendto(b"path", ours)
            sock.settimeout(2)
            transport.sendto(b"back", theirs)
            transport.sendto(b"bytes", os.fsencode(theirs))
            settle(loop)
            assert protocol.received == [(b"nobody", None), (b"path", theirs)]
            assert sock.recvfrom(9) == (b"back", ours)
            assert sock.recvfrom(9) == (b"bytes", ours)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            name = b"\0bucle-%d-\xff" % os.getpid()
            sock.bind(name)
            sock.settimeout(2)
            sock.sendto(b"abstract", ours)
            transport.sendto(b"back", name)
            settle(loop)
            assert protocol.received[-1] == (b"abstract", name)
            assert sock.recv(9) == b"back"
        transport.sendto(b"gone", theirs + "r")
        assert [type(error) for error in protocol.errors] == [FileNotFoundError]
        close(loop, transport)


def test_refused_arguments(loop: Any) -> None:
    server, _ = endpoint(loop, local_addr=("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    transport, _ = endpoint(loop, remote_addr=address)
    with pytest.raises(
        ValueError, match=r"^Invalid address: must be None or \('127.0.0.1', \d+\)$"
    ):
        transport.sendto(b"x", ("127.0.0.1", 1))
    transport.sendto(b"x", address)
    transport.sendto(b"x", (address[0], address[1]))
    with pytest.raises(TypeError, match=r"^data argument must be a bytes-like object, not 'str'$"):
        transport.sendto("text")
    with pytest.raises(TypeError, match="argument"):
        transport.sendto()
    close(loop, server, transport)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, type("Bytes", (bytes,), {})])
def test_kinds_of_data(loop: Any, kind: Any) -> None:
    transport, _, other = unix_pair(loop)
    transport.sendto(kind(b"data"))
    assert other.recv(9) == b"data"
    if kind is memoryview:
        transport.sendto(memoryview(b"abcd")[::2].tobytes())
        assert other.recv(9) == b"ac"
    close(loop, transport)
    other.close()


def test_bad_address_ends_the_transport(loop: Any) -> None:
    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    transport.sendto(b"x")
    settle(loop)
    (context,) = seen
    assert context["message"] == "Fatal write error on datagram transport"
    assert type(context["exception"]) is TypeError
    assert context["transport"] is transport
    assert context["protocol"] is protocol
    assert protocol.calls.count("lost") == 1
    assert protocol.error is context["exception"]


def test_resolving_is_the_sockets(loop: Any) -> None:
    transport, protocol = endpoint(loop, local_addr=("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        transport.sendto(b"named", ("localhost", sock.getsockname()[1]))
        assert sock.recv(9) == b"named"
    transport.sendto(b"x", ("no such host", 1))
    assert [type(error) for error in protocol.errors] == [socket.gaierror]
    assert not transport.is_closing()
    close(loop, transport)


def test_refused_by_the_peer(loop: Any) -> None:
    with deaf() as peer:
        transport, protocol = endpoint(loop, remote_addr=peer.getsockname())
        transport.sendto(b"x")
        settle(loop)
        assert [type(error) for error in protocol.errors] == [ConnectionRefusedError]
        transport.sendto(b"x" * 70000)
        assert type(protocol.errors[-1]) is OSError
        assert not transport.is_closing()
        close(loop, transport)


@pytest.mark.mended_in_3_11_7
def test_paused_in_a_burst(loop: Any) -> None:
    class Pausing(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if len(self.received) % 3 == 0:
                self.transport.pause_reading()

    transport, protocol, other = unix_pair(loop, Pausing)
    for number in range(8):
        other.send(b"%d" % number)
    settle(loop)
    assert protocol.data == [b"0", b"1", b"2"]
    assert not transport.is_reading()
    transport.pause_reading()
    transport.resume_reading()
    assert transport.is_reading()
    assert len(protocol.received) == 3
    settle(loop)
    assert len(protocol.received) == 6
    transport.resume_reading()
    transport.resume_reading()
    settle(loop)
    assert protocol.data == [b"%d" % number for number in range(8)]
    close(loop, transport)
    other.close()


def test_the_protocol_raises_in_a_burst(impl: Implementation, loop: Any) -> None:
    class Raising(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data in (b"1", b"3", b"4"):
                raise ValueError(data)

    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    transport, protocol, other = unix_pair(loop, Raising)
    for number in range(6):
        other.send(b"%d" % number)
    settle(loop)
    assert protocol.data == [b"%d" % number for number in range(6)]
    assert [context["exception"].args for context in seen] == [(b"1",), (b"3",), (b"4",)]
    kind = type(transport).__name__
    for context in seen:
        assert context["message"].startswith(f"Exception in callback {kind}._read_ready(")
    close(loop, transport)
    other.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_a_burst(loop: Any, error: type[BaseException]) -> None:
    class Exiting(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            if data == b"1":
                raise error

    transport, protocol, other = unix_pair(loop, Exiting)
    for number in range(5):
        other.send(b"%d" % number)
    with pytest.raises(error):
        settle(loop)
    assert protocol.data == [b"0", b"1"]
    settle(loop)
    assert protocol.data == [b"%d" % number for number in range(5)]
    close(loop, transport)
    other.close()


@pytest.mark.parametrize("end", ["close", "abort"])
def test_closed_in_a_burst(loop: Any, end: str) -> None:
    class Closing(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            getattr(self.transport, end)()

    transport, protocol, other = unix_pair(loop, Closing)
    for number in range(5):
        other.send(b"%d" % number)
    settle(loop)
    assert protocol.data == [b"0"]
    assert protocol.calls.count("lost") == 1
    assert protocol.error is None
    assert transport.is_closing()
    other.close()


def test_another_protocol_in_a_burst(impl: Implementation, loop: Any) -> None:
    second = Mailbox()

    class Leaving(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.transport.set_protocol(second)

    transport, protocol, other = unix_pair(loop, Leaving)
    for number in range(3):
        other.send(b"%d" % number)
    settle(loop)
    assert protocol.data == [b"0"]
    assert second.data == [b"1", b"2"]
    assert transport.get_protocol() is second
    transport.close()
    settle(loop)
    assert second.calls.count("lost") == 1
    assert second.error is None
    other.close()


def test_context(loop: Any) -> None:
    async def make() -> Any:
        VARIABLE.set("mine")
        left, right = named_pair()
        made = await loop.create_datagram_endpoint(Mailbox, sock=left)
        right.send(b"x")
        right.close()
        return made

    transport, protocol = loop.run_until_complete(make())
    settle(loop)
    assert protocol.contexts == ["mine", "mine"]
    close(loop, transport)


@pytest.mark.native  # stock copies a context for each callback
def test_native_context_is_one(loop: Any) -> None:
    class Setting(Mailbox):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            VARIABLE.set("made")

    transport, protocol, other = unix_pair(loop, Setting)
    other.send(b"x")
    settle(loop)
    assert VARIABLE.get() == "unset"
    transport.close()
    settle(loop)
    assert protocol.contexts == ["unset", "made", "made"]
    other.close()


def test_a_socket_with_methods_of_its_own(loop: Any) -> None:
    class Odd(socket.socket):
        def recvfrom(self, *args: Any) -> Any:
            data, address = super().recvfrom(*args)
            return b"odd " + data, address

        def sendto(self, data: Any, *rest: Any) -> int:
            if data == b"later":
                raise BlockingIOError
            return super().sendto(b"odd " + data, *rest)

    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    sock = Odd(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    transport, protocol = endpoint(loop, sock=sock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(2)
        other.sendto(b"in", sock.getsockname())
        transport.sendto(b"out", other.getsockname())
        settle(loop)
        assert protocol.received == [(b"odd in", other.getsockname())]
        assert other.recv(99) == b"odd out"
        transport.sendto(b"later", other.getsockname())
        assert transport.get_write_buffer_size() == 5 + HEADER
        turn(loop)
        transport.abort()
        settle(loop)
        assert protocol.calls.count("lost") == 1
        assert protocol.error is None
    assert seen == []


def test_large_datagrams(loop: Any) -> None:
    left, right = named_pair()
    for sock in (left, right):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sock.setblocking(False)
    transport, protocol = endpoint(loop, sock=left)
    size = 150_000
    right.send(bytes(size))
    right.send(b"small")
    settle(loop)
    assert [len(data) for data in protocol.data] == [size, 5]
    transport.sendto(bytes(size))
    assert len(right.recv(1 << 20)) == size
    transport.max_size = 100
    right.send(bytes(size))
    settle(loop)
    assert len(protocol.data[-1]) == 100
    close(loop, transport)
    right.close()


def test_error_received_raises(loop: Any) -> None:
    class Raising(Mailbox):
        def error_received(self, exc: Exception) -> None:
            raise ValueError("refused")

    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    with deaf() as peer:
        transport, _ = endpoint(loop, Raising, remote_addr=peer.getsockname())
        transport.sendto(b"x")
        settle(loop)
        assert [str(context["exception"]) for context in seen] == ["refused"]
        with pytest.raises(ValueError, match="refused"):
            transport.sendto(b"x" * 70000)
        close(loop, transport)

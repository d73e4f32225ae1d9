"""create_datagram_endpoint: UDP and Unix, broadcast, empty and large datagrams, bursts, errors.

That the kernel is out of buffers cannot be had by asking: a seccomp filter answers ENOBUFS for it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import socket
from typing import Any

import pytest

from tests.support import check_script

from .datagrams import Mailbox
from .peers import (
    IPV6,
    Net,
    attempt,
    cancelled_after,
    each_of,
    is_native,
    let_go,
    same_as_stock,
    turns,
    until,
)


async def endpoint(loop: Any, *arguments: Any, **keywords: Any) -> tuple[Any, Mailbox]:
    transport, protocol = await loop.create_datagram_endpoint(Mailbox, *arguments, **keywords)
    return transport, protocol


async def local(loop: Any, **keywords: Any) -> tuple[Any, Mailbox, Any]:
    transport, protocol = await endpoint(loop, local_addr=("127.0.0.1", 0), **keywords)
    return transport, protocol, transport.get_extra_info("sockname")


async def end(*transports: Any) -> None:
    for transport in transports:
        transport.abort()
    await until(lambda: all(each.get_extra_info("socket").fileno() == -1 for each in transports))


@pytest.mark.parametrize("connect", [False, True])
async def test_to_and_fro(net: Net, connect: bool) -> None:
    one, first, name = await local(net.loop)
    if connect:
        other, second = await endpoint(net.loop, remote_addr=name)
        assert other.get_extra_info("peername") == name
        other.sendto(b"bytes")
        other.sendto(bytearray(b"bytearray"), None)
        other.sendto(memoryview(b"memoryview"), name)
    else:
        other, second, _ = await local(net.loop)
        for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")):
            other.sendto(data, name)
    await until(lambda: len(first.received) == 3)
    source = other.get_extra_info("sockname")
    if connect:
        source = ("127.0.0.1", source[1])
    assert first.received == [(data, source) for data in (b"bytes", b"bytearray", b"memoryview")]
    assert all(type(data) is bytes for data in first.data)
    one.sendto(b"answer", source)
    await until(lambda: second.received)
    assert second.received == [(b"answer", name)]
    await end(one, other)


@IPV6
async def test_over_ipv6(net: Net) -> None:
    one, first = await endpoint(net.loop, local_addr=("::1", 0))
    name = one.get_extra_info("sockname")
    other, _ = await endpoint(net.loop, family=socket.AF_INET6)
    other.sendto(b"x", name)
    other.sendto(b"y", name[:2])
    await until(lambda: len(first.received) == 2)
    assert first.received[0][1][0] == "::1"
    assert len(first.received[0][1]) == 4
    await end(one, other)


@pytest.mark.parametrize("data", ["text", None, 5, ["x"]])
def test_what_cannot_be_sent(net: Net, data: Any) -> None:
    async def scenario(loop: Any) -> Any:
        transport, _, name = await local(loop)
        try:
            transport.sendto(data, name)
        except TypeError as error:
            return str(error)
        finally:
            await end(transport)

    assert same_as_stock(net, scenario).endswith(f"not {type(data).__name__!r}")


@pytest.mark.parametrize("connect", [False, True])
def test_empty_datagrams(net: Net, connect: bool) -> None:
    """They are received; whether they are sent depends on the version."""

    async def scenario(loop: Any) -> Any:
        one, first, name = await local(loop)
        other, _ = await endpoint(
            loop,
            **{"remote_addr" if connect else "local_addr": name if connect else ("127.0.0.1", 0)},
        )
        other.sendto(b"", None if connect else name)
        other.sendto(b"marker", None if connect else name)
        await until(lambda: b"marker" in first.data)
        with socket.socket(type=socket.SOCK_DGRAM) as plain:
            plain.sendto(b"", name)
        count = len(first.received)
        await until(lambda: len(first.received) > count)
        got = first.data
        await end(one, other)
        return got

    got = same_as_stock(net, scenario)
    assert got[-2:] == [b"marker", b""]


async def test_the_largest_datagram_and_a_larger_one(net: Net) -> None:
    one, first, name = await local(net.loop)
    other, second, _ = await local(net.loop)
    largest = os.urandom(65507)
    other.sendto(largest, name)
    other.sendto(largest + b"x", name)
    assert [error.errno for error in second.errors] == [errno.EMSGSIZE]
    other.sendto(b"after", name)
    await until(lambda: b"after" in first.data)
    assert first.data == [largest, b"after"]
    await end(one, other)


async def test_a_burst(net: Net) -> None:
    """More than one turn reads at once; UDP itself loses none that fits the receive buffer."""
    one, first, name = await local(net.loop)
    other, _, _ = await local(net.loop)
    for number in range(150):
        other.sendto(b"%d" % number, name)
    await until(lambda: len(first.received) == 150)
    assert first.data == [b"%d" % number for number in range(150)]
    await end(one, other)


@pytest.mark.parametrize("connect", [False, True])
async def test_a_burst_that_the_kernel_cannot_hold(net: Net, tmp_path: Any, connect: bool) -> None:
    """A Unix endpoint pushes back: the transport keeps the rest, in order, and loses none."""
    path = str(tmp_path / "one")
    one, first = await endpoint(net.loop, path, family=socket.AF_UNIX)
    if connect:
        other, second = await endpoint(net.loop, remote_addr=path, family=socket.AF_UNIX)
    else:
        other, second = await endpoint(net.loop, family=socket.AF_UNIX)
    other.set_write_buffer_limits(high=1000)
    count = 3000
    for number in range(count):
        other.sendto(b"%d" % number, None if connect else path)
    assert second.calls == ["made", "pause"]
    assert other.get_write_buffer_size() > 1000
    await until(lambda: len(first.received) == count)
    assert first.data == [b"%d" % number for number in range(count)]
    if is_native(other):  # asyncio up to 3.13.0 miscounts the headers, and never resumes
        assert second.calls == ["made", "pause", "resume"]
    await end(one, other)


async def test_what_is_kept_is_a_copy(net: Net, tmp_path: Any) -> None:
    path = str(tmp_path / "one")
    one, first = await endpoint(net.loop, path, family=socket.AF_UNIX)
    other, _ = await endpoint(net.loop, family=socket.AF_UNIX)
    while not other.get_write_buffer_size():
        other.sendto(b"fill", path)
    mine = bytearray(b"original")
    other.sendto(mine, path)
    mine[:] = b"changed!"
    await until(lambda: first.data[-1:] == [b"original"])
    await end(one, other)


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_the_end_with_datagrams_left(net: Net, tmp_path: Any, how: str) -> None:
    path = str(tmp_path / "one")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.setblocking(False)
        transport, protocol = await endpoint(net.loop, family=socket.AF_UNIX)
        sent = 0
        while not transport.get_write_buffer_size():
            transport.sendto(b"%d" % sent, path)
            sent += 1
        getattr(transport, how)()
        assert transport.is_closing()
        if how == "abort" and is_native(transport):  # asyncio forgets to count
            assert transport.get_write_buffer_size() == 0
        got = []
        while how == "close" and len(got) < sent:
            try:
                got.append(receiver.recv(100))
            except BlockingIOError:
                await asyncio.sleep(0)
        await until(lambda: "lost" in protocol.calls)
        assert got == [b"%d" % number for number in range(len(got))]


async def test_unix_endpoints(net: Net, tmp_path: Any) -> None:
    paths = [str(tmp_path / name) for name in ("one", "other")]
    one, first = await endpoint(net.loop, local_addr=paths[0], family=socket.AF_UNIX)
    other, second = await endpoint(
        net.loop, local_addr=paths[1], remote_addr=paths[0], family=socket.AF_UNIX
    )
    assert one.get_extra_info("sockname") == paths[0]
    assert other.get_extra_info("peername") == paths[0]
    other.sendto(b"question")
    await until(lambda: first.received)
    assert first.received == [(b"question", paths[1])]
    one.sendto(b"answer", paths[1])
    await until(lambda: second.received)
    assert second.received == [(b"answer", paths[0])]
    await end(one, other)
    assert all(os.path.exists(path) for path in paths)
    again, _ = await endpoint(net.loop, local_addr=paths[0], family=socket.AF_UNIX)
    await end(again)


async def test_an_abstract_unix_endpoint(net: Net) -> None:
    name = f"\0bucle-{os.getpid()}-datagram"
    one, first = await endpoint(net.loop, local_addr=name, family=socket.AF_UNIX)
    assert one.get_extra_info("sockname") == name.encode()
    other, _ = await endpoint(net.loop, remote_addr=name, family=socket.AF_UNIX)
    other.sendto(b"x")
    await until(lambda: first.received)
    assert first.received[0][1] is None  # the sender has no name
    await end(one, other)


async def test_a_socketpair(net: Net) -> None:
    mine, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    transport, protocol = await endpoint(net.loop, sock=mine)
    peer.send(b"x")
    await until(lambda: protocol.received)
    assert protocol.received == [(b"x", None)]
    await end(transport)
    peer.close()


REFUSED: list[dict[str, Any]] = [
    {},
    {"sock": "stream"},
    {"sock": "datagram", "local_addr": ("127.0.0.1", 0)},
    {"sock": "datagram", "reuse_port": True, "family": socket.AF_INET, "flags": 1, "proto": 1},
    {"sock": "datagram", "allow_broadcast": True},
    {"local_addr": "127.0.0.1"},
    {"local_addr": ("127.0.0.1",)},
    {"local_addr": ("127.0.0.1", 0, 0)},
    {"remote_addr": 5},
    {"local_addr": ("127.0.0.1", "no-such-service")},
    {"local_addr": ("127.0.0.1", 70000)},
    {"local_addr": ("203.0.113.1", 0)},
    {"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 1)},
    {"local_addr": ("127.0.0.1", 0), "family": socket.AF_UNIX},
    {"local_addr": b"path", "family": socket.AF_UNIX},
    {"local_addr": "/no/such/folder/socket", "family": socket.AF_UNIX},
    {"remote_addr": "/no/such/folder/socket", "family": socket.AF_UNIX},
    {"family": 12345},
    {"reuse_address": True, "local_addr": ("127.0.0.1", 0)},
]


@each_of(REFUSED)
def test_what_is_refused(net: Net, keywords: dict[str, Any]) -> None:
    socks = {"stream": socket.socket(), "datagram": socket.socket(type=socket.SOCK_DGRAM)}
    given = {key: socks[value] if key == "sock" else value for key, value in keywords.items()}

    async def scenario(loop: Any) -> Any:
        try:
            making = loop.create_datagram_endpoint(Mailbox, **given)
        except TypeError as error:
            return str(error).rpartition(".")[2]
        return await attempt(making)

    assert type(same_as_stock(net, scenario)[0]) is str
    for sock in socks.values():
        assert sock.fileno() != -1
        sock.close()


async def test_a_port_in_use(net: Net) -> None:
    one, _, name = await local(net.loop)
    with pytest.raises(OSError, match="ddress already in use"):
        await endpoint(net.loop, local_addr=name)
    await end(one)
    first, _, name = await local(net.loop, reuse_port=True)
    second, _ = await endpoint(net.loop, local_addr=name, reuse_port=True)
    await end(first, second)


async def test_broadcast(net: Net) -> None:
    receiving, received = await endpoint(net.loop, local_addr=("0.0.0.0", 0))
    target = ("127.255.255.255", receiving.get_extra_info("sockname")[1])
    plain, refused, _ = await local(net.loop)
    plain.sendto(b"not allowed", target)
    assert [type(error) for error in refused.errors] == [PermissionError]
    allowed, _, _ = await local(net.loop, allow_broadcast=True)
    sock = allowed.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
    allowed.sendto(b"to all", target)
    await until(lambda: received.received)
    # with a remote address, too, such an endpoint is not connected, but sends to it
    fixed, _ = await endpoint(net.loop, remote_addr=target, allow_broadcast=True)
    assert fixed.get_extra_info("peername") is None
    fixed.sendto(b"to all again")
    with pytest.raises(ValueError, match="Invalid address"):
        fixed.sendto(b"x", ("127.0.0.1", 9))
    await until(lambda: len(received.received) == 2)
    assert received.data == [b"to all", b"to all again"]
    await end(receiving, plain, allowed, fixed)


async def test_nobody_listens(net: Net) -> None:
    """The refusal comes back to error_received, and the endpoint lives on."""
    one, _, name = await local(net.loop)
    await end(one)
    other, second = await endpoint(net.loop, remote_addr=name)
    other.sendto(b"x")
    await until(lambda: second.errors)
    assert type(second.errors[0]) is ConnectionRefusedError
    assert not other.is_closing()
    again, third = await endpoint(net.loop, local_addr=name)
    other.sendto(b"y")
    other.sendto(b"z")
    await until(lambda: third.received)
    await end(other, again)


async def test_callbacks_that_fail(net: Net) -> None:
    """They are reported as any callback, and the endpoint lives on."""

    class Failing(Mailbox):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            raise LookupError

    transport, protocol = await net.loop.create_datagram_endpoint(
        Failing, local_addr=("127.0.0.1", 0)
    )
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        for _ in range(3):
            peer.sendto(b"x", transport.get_extra_info("sockname"))
    await until(lambda: len(protocol.received) == 3)
    await turns(2)
    contexts = net.take_errors()
    assert [type(each["exception"]) for each in contexts] == [LookupError] * 3
    assert all(each["message"].startswith("Exception in callback ") for each in contexts)
    assert not transport.is_closing()
    await end(transport)


def test_left_open(net: Net) -> None:
    async def main() -> Any:
        return (await local(net.loop))[0]

    transport = net.run(main())
    sock = transport.get_extra_info("socket")
    net.close()
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match="unclosed transport <"):
        let_go(held)
    assert sock.fileno() == -1
    net.loop = net.impl.new_loop()


async def test_cancelled_after_so_many_turns(net: Net) -> None:
    for after in range(6):
        if made := await cancelled_after(after, local(net.loop)):
            await end(made[0])
    await turns(3)


# The filter answers every send on descriptor 500 with ENOBUFS, whatever call is used for it.
NO_BUFFERS = """
import asyncio, ctypes, errno, os, socket, struct, sys
numbers = {"x86_64": (44, 46, 307), "aarch64": (206, 211, 269)}[os.uname().machine]
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
def op(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)
filter = [op(LOAD, 0, 0, 0)]
for position, number in enumerate(numbers):
    filter.append(op(EQUAL, 2 - position + 1, 0, number))
filter += [op(RETURN, 0, 0, 0x7FFF0000), op(LOAD, 0, 0, 16), op(EQUAL, 0, 1, 500)]
filter += [op(RETURN, 0, 0, 0x00050000 | errno.ENOBUFS), op(RETURN, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(filter))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(filter), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
number = ctypes.c_ulong
libc.prctl.argtypes = [ctypes.c_int, number, ctypes.c_void_p, number, number]
if libc.prctl(38, 1, None, 0, 0) or libc.prctl(22, 2, ctypes.addressof(program), 0, 0):
    print("no filter")
    sys.exit()

class Mailbox(asyncio.DatagramProtocol):
    def __init__(self):
        self.received, self.errors = [], []
    def datagram_received(self, data, addr):
        self.received.append(data)
    def error_received(self, exc):
        self.errors.append(exc.errno)

async def main():
    loop = asyncio.get_running_loop()
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    os.dup2(sock.fileno(), 500)
    sock.close()
    starved, first = await loop.create_datagram_endpoint(Mailbox, sock=socket.socket(fileno=500))
    other, second = await loop.create_datagram_endpoint(Mailbox, local_addr=("127.0.0.1", 0))
    for _ in range(5):
        starved.sendto(b"lost", other.get_extra_info("sockname"))
        await asyncio.sleep(0)
    assert first.errors == [errno.ENOBUFS] * 5, first.errors
    assert not starved.is_closing()
    assert starved.get_write_buffer_size() == 0
    other.sendto(b"received", starved.get_extra_info("sockname"))
    while not first.received:
        await asyncio.sleep(0.001)
    assert second.received == []
    starved.close()
    other.close()
    await asyncio.sleep(0)
    print("ok")

loop = impl.new_loop()
loop.run_until_complete(main())
loop.close()
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="numbers of calls")
def test_no_buffers(net: Net) -> None:
    out = check_script(NO_BUFFERS, impl=net.impl.name)
    if out == "no filter\n":
        pytest.skip("seccomp is not to be had here")
    assert out == "ok\n"

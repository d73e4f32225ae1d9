"""create_connection and connect_accepted_socket: every keyword, every refusal, every text.

What a version does not have yet, it must refuse as the stock loop of that version does.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import unix_pair

from .peers import (
    IPV6,
    Net,
    Recorder,
    Unreachable,
    attempt,
    cancelled_after,
    closed,
    each_of,
    receive,
    refusing,
    same_as_stock,
    tcp_pair,
    turns,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_ALL_ERRORS = (
    "all_errors" in inspect.signature(asyncio.SelectorEventLoop.create_connection).parameters
)
LOOKS = "_ensure_fd_no_transport" in inspect.getsource(
    asyncio.SelectorEventLoop._make_socket_transport  # type: ignore[attr-defined]
)
Address = tuple[str, int]


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def dead() -> Iterator[int]:
    """A port that refuses connections on every IPv4 address of this machine."""
    sock, port = refusing()
    yield port
    sock.close()


def resolving_to(loop: Any, *addresses: Address) -> Any:
    """Makes a loop find these addresses for every name; for the time of a test."""

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [
            (
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (host, port, 0, 0) if ":" in host else (host, port),
            )
            for host, port in addresses
        ]

    loop.getaddrinfo = getaddrinfo


async def test_a_connection(net: Net, listening: socket.socket) -> None:
    made: list[Recorder] = []

    def factory(*arguments: Any) -> Recorder:
        assert arguments == ()
        made.append(Recorder())
        return made[-1]

    pair = await net.loop.create_connection(factory, *listening.getsockname())
    assert type(pair) is tuple
    transport, protocol = pair
    assert made == [protocol]
    assert protocol.calls == ["made"]
    assert protocol.transport is transport
    accepted, name = listening.accept()
    assert transport.get_extra_info("sockname") == name
    assert transport.get_extra_info("peername") == listening.getsockname()
    transport.write(b"x")
    accepted.setblocking(False)
    assert await receive(accepted, 1) == b"x"
    await closed(transport, accepted)


@pytest.mark.parametrize("host", ["127.0.0.1", b"127.0.0.1", "localhost", "127.1"])
@pytest.mark.parametrize("as_text", [False, True])
async def test_forms_of_host_and_port(
    net: Net, listening: socket.socket, host: Any, as_text: bool
) -> None:
    port = listening.getsockname()[1]
    transport, _ = await net.loop.create_connection(
        Recorder, host, str(port) if as_text else port, family=socket.AF_INET
    )
    await closed(transport)


@IPV6
async def test_over_ipv6(net: Net) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        name = listening.getsockname()
        transport, _ = await net.loop.create_connection(Recorder, *name[:2])
        assert transport.get_extra_info("peername") == name
        await closed(transport)


REFUSED: list[dict[str, Any]] = [
    {},
    {"host": "127.0.0.1", "port": 1, "sock": "stream"},
    {"port": 1, "sock": "stream"},
    {"sock": "datagram"},
    {"host": "h", "port": 1, "server_hostname": "h"},
    {"sock": "stream", "server_hostname": ""},
    {"sock": "stream", "ssl": True},
    {"host": "", "port": 1, "ssl": True},
    {"host": "h", "port": 1, "ssl_handshake_timeout": 1},
    {"host": "h", "port": 1, "ssl_shutdown_timeout": 1},
    {"sock": "ssl"},
    {"host": "127.0.0.1", "port": 70000},
    {"host": "127.0.0.1", "port": -1},
    {"host": "127.0.0.1", "port": "no-such-service"},
    {"host": 5, "port": 1},
    {"host": "127.0.0.1", "port": 1, "family": socket.AF_INET6},
    {"host": "127.0.0.1", "port": 1, "nonsense": 1},
    {"host": "127.0.0.1", "port": 1, "local_addr": ("127.0.0.1",)},
    {
        "host": "127.0.0.1",
        "port": 1,
        "local_addr": ("no.such.name.invalid", 0),
        "flags": socket.AI_NUMERICHOST,
    },
]


@each_of(REFUSED)
def test_what_is_refused(net: Net, keywords: dict[str, Any]) -> None:
    context = ssl.create_default_context()
    plain = socket.socket()
    socks = {
        "stream": socket.socket(),
        "datagram": socket.socket(type=socket.SOCK_DGRAM),
        "ssl": context.wrap_socket(plain, server_hostname="localhost"),
    }
    given = {
        key: socks.get(value, value) if key == "sock" else value for key, value in keywords.items()
    }

    async def scenario(loop: Any) -> Any:
        try:
            connecting = loop.create_connection(Recorder, **given)
        except TypeError as error:
            return str(error).rpartition(".")[2]
        return await attempt(connecting)

    assert same_as_stock(net, scenario)
    for sock in (*socks.values(), plain):
        assert sock.fileno() != -1 or sock is plain
        sock.close()


def test_a_refused_connection(net: Net, dead: int) -> None:
    async def scenario(loop: Any) -> Any:
        return await attempt(loop.create_connection(Recorder, "127.0.0.1", dead))

    name, _, text = same_as_stock(net, scenario)
    assert name == "ConnectionRefusedError"
    assert text.endswith(f"Connect call failed ('127.0.0.1', {dead})")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("delay", [None, 0.5])
def test_several_refusals(net: Net, dead: int, count: int, delay: float | None) -> None:
    async def scenario(loop: Any) -> Any:
        resolving_to(loop, *[(f"127.0.0.{number + 1}", dead) for number in range(count)])
        connecting = loop.create_connection(Recorder, "name", dead, happy_eyeballs_delay=delay)
        got = await attempt(connecting)
        del loop.getaddrinfo
        return got

    name, _, text = same_as_stock(net, scenario)
    assert name == ("ConnectionRefusedError" if count == 1 else "OSError")
    assert [text.count(f"127.0.0.{number + 1}") for number in range(count)] == [1] * count


def test_the_same_refusal_several_times_is_one(net: Net, dead: int) -> None:
    async def scenario(loop: Any) -> Any:
        resolving_to(loop, *[("127.0.0.1", dead)] * 3)
        got = await attempt(loop.create_connection(Recorder, "name", dead))
        del loop.getaddrinfo
        return got

    assert same_as_stock(net, scenario)[0] == "ConnectionRefusedError"


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("delay", [None, 0.5])
def test_all_errors(net: Net, dead: int, count: int, delay: float | None) -> None:
    async def scenario(loop: Any) -> Any:
        resolving_to(loop, *[(f"127.0.0.{number + 1}", dead) for number in range(count)])
        try:
            connecting = loop.create_connection(
                Recorder, "name", dead, all_errors=True, happy_eyeballs_delay=delay
            )
            got = await attempt(connecting)
        except TypeError as error:
            got = str(error).rpartition(".")[2]
        del loop.getaddrinfo
        return got

    got = same_as_stock(net, scenario)
    if HAS_ALL_ERRORS:
        assert got[0] == "ExceptionGroup"
        assert got[2].startswith("create_connection failed")
        assert len(got) == 3 + count


@IPV6
@pytest.mark.parametrize("interleave", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("delay", [None, 0.5])
def test_interleaving(net: Net, interleave: int | None, delay: float | None) -> None:
    """The order of the attempts, as the text of the failure tells it."""
    sock, port = refusing(socket.AF_INET6)  # of IPv4, too: it is bound to every address
    addresses = [("127.0.0.1", port), ("127.0.0.2", port), ("127.0.0.3", port), ("::1", port)]

    async def scenario(loop: Any) -> Any:
        resolving_to(loop, *addresses)
        connecting = loop.create_connection(
            Recorder, "name", port, interleave=interleave, happy_eyeballs_delay=delay
        )
        got = await attempt(connecting)
        del loop.getaddrinfo
        return got

    text = same_as_stock(net, scenario)[2]
    place = text.count("127.0.0.", 0, text.index("::1"))
    # happy eyeballs interleave by themselves, unless told otherwise
    assert place == {None: 3 if delay is None else 1, 0: 3, 1: 1, 2: 2, 3: 3}[interleave]
    sock.close()


async def test_the_next_address_is_tried(net: Net, dead: int, listening: socket.socket) -> None:
    resolving_to(net.loop, ("127.0.0.1", dead), ("127.0.0.2", dead), listening.getsockname())
    transport, _ = await net.loop.create_connection(Recorder, "name", 1)
    assert transport.get_extra_info("peername") == listening.getsockname()
    await closed(transport)
    del net.loop.getaddrinfo


async def test_happy_eyeballs(net: Net, listening: socket.socket) -> None:
    """The first address hangs; the second is tried meanwhile, and the first leaves nothing."""
    with Unreachable() as hanging:
        resolving_to(net.loop, hanging.address, listening.getsockname())
        transport, protocol = await net.loop.create_connection(
            Recorder, "name", 1, happy_eyeballs_delay=0.01
        )
        assert transport.get_extra_info("peername") == listening.getsockname()
        assert protocol.calls == ["made"]
        await closed(transport)
        await turns(5)
        del net.loop.getaddrinfo


async def test_happy_eyeballs_cancelled(net: Net) -> None:
    with Unreachable() as first, Unreachable() as second:
        resolving_to(net.loop, first.address, second.address)
        connecting = asyncio.ensure_future(
            net.loop.create_connection(Recorder, "name", 1, happy_eyeballs_delay=0.01)
        )
        await asyncio.wait([connecting], timeout=0.05)
        assert not connecting.done()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await turns(5)
        del net.loop.getaddrinfo


def test_no_address(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        resolving_to(loop)
        got = await attempt(loop.create_connection(Recorder, "name", 1))
        del loop.getaddrinfo
        return got

    assert same_as_stock(net, scenario) == ("OSError", "None", "getaddrinfo() returned empty list")


async def test_a_local_address(net: Net, listening: socket.socket) -> None:
    free = socket.socket()
    free.bind(("127.0.0.1", 0))
    name = free.getsockname()
    free.close()
    transport, _ = await net.loop.create_connection(
        Recorder, *listening.getsockname(), local_addr=name
    )
    assert transport.get_extra_info("sockname") == name
    await closed(transport)


def test_a_local_address_in_use(net: Net, listening: socket.socket) -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))

    async def scenario(loop: Any) -> Any:
        return await attempt(
            loop.create_connection(
                Recorder, *listening.getsockname(), local_addr=taken.getsockname()
            )
        )

    _, _, text = same_as_stock(net, scenario)
    assert f"error while attempting to bind on address {taken.getsockname()!r}: " in text
    taken.close()


@IPV6
def test_a_local_address_of_the_other_family(net: Net, listening: socket.socket) -> None:
    async def scenario(loop: Any) -> Any:
        return await attempt(
            loop.create_connection(Recorder, *listening.getsockname(), local_addr=("::1", 0))
        )

    name, _, text = same_as_stock(net, scenario)
    assert name == "OSError"
    assert "no matching local address" in text


@pytest.mark.parametrize("make", [tcp_pair, unix_pair])
async def test_a_given_socket(net: Net, make: Any) -> None:
    sock, peer = make()
    sock.setblocking(True)
    number = sock.fileno()
    transport, protocol = await net.loop.create_connection(Recorder, sock=sock)
    assert transport.get_extra_info("socket").fileno() == number
    assert sock.gettimeout() == 0
    peer.send(b"x")
    await until(lambda: protocol.received)
    await closed(transport, peer)
    assert sock.fileno() == -1


async def test_a_factory_that_fails(net: Net) -> None:
    sock, peer = tcp_pair()

    def factory() -> Recorder:
        raise LookupError("no protocol")

    with pytest.raises(LookupError, match="no protocol"):
        await net.loop.create_connection(factory, sock=sock)
    sock.close()
    peer.close()


@pytest.mark.skipif(not LOOKS, reason="this version does not look")
async def test_a_descriptor_that_a_transport_has(net: Net) -> None:
    """A second transport on one descriptor is refused, by the versions that look."""
    sock, peer = tcp_pair()
    transport, _ = await net.loop.create_connection(Recorder, sock=sock)
    number = sock.fileno()
    spare = os.dup(number)
    copy = socket.socket(fileno=number)
    with pytest.raises(RuntimeError, match=r"^File descriptor .* is used by transport <"):
        await net.loop.create_connection(Recorder, sock=copy)
    if copy.detach() == -1:  # closed for the failure, by the versions that do that
        os.dup2(spare, number)
    os.close(spare)
    await closed(transport, peer)


@pytest.mark.parametrize("after", range(8))
async def test_cancelled_after_so_many_turns(
    net: Net, listening: socket.socket, after: int
) -> None:
    """It is connected or cancelled; either way nothing stays but what was returned."""
    for host in ("127.0.0.1", "localhost"):
        connecting = net.loop.create_connection(Recorder, host, listening.getsockname()[1])
        if made := await cancelled_after(after, connecting):
            await closed(made[0])
    await turns(5)


async def test_cancelled_while_it_hangs(net: Net) -> None:
    with Unreachable() as hanging:
        connecting = asyncio.ensure_future(net.loop.create_connection(Recorder, *hanging.address))
        await turns(5)
        assert not connecting.done()
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting


async def test_timed_out(net: Net) -> None:
    with Unreachable() as hanging:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await net.loop.create_connection(Recorder, *hanging.address)


@pytest.mark.parametrize("make", [tcp_pair, unix_pair])
async def test_an_accepted_socket(net: Net, make: Any) -> None:
    sock, peer = make()
    transport, protocol = await net.loop.connect_accepted_socket(Recorder, sock)
    assert protocol.calls == ["made"]
    peer.send(b"x")
    await until(lambda: protocol.received)
    transport.write(b"y")
    assert await receive(peer, 1) == b"y"
    await closed(transport, peer)


@pytest.mark.parametrize(
    "keywords",
    [{"ssl_handshake_timeout": 1}, {"ssl_shutdown_timeout": 1}, {"type": socket.SOCK_DGRAM}],
)
def test_what_is_refused_of_an_accepted_one(net: Net, keywords: dict[str, Any]) -> None:
    given = dict(keywords)
    sock = socket.socket(type=given.pop("type", socket.SOCK_STREAM))

    async def scenario(loop: Any) -> Any:
        return await attempt(loop.connect_accepted_socket(Recorder, sock, **given))

    assert same_as_stock(net, scenario)[0] == "ValueError"
    sock.close()


async def test_many_at_once(net: Net, listening: socket.socket) -> None:
    listening.listen(200)
    pairs = await asyncio.gather(
        *(net.loop.create_connection(Recorder, *listening.getsockname()) for _ in range(100))
    )
    names = {transport.get_extra_info("sockname") for transport, _ in pairs}
    assert len(names) == 100
    for transport, _ in pairs:
        await closed(transport)

"""getaddrinfo and getnameinfo: literals as socket.getaddrinfo has them, names by way of it."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from .peers import Net, Recorder, closed, turns

if TYPE_CHECKING:
    from collections.abc import Callable

NUMERIC = socket.AI_NUMERICHOST
HOSTS: list[Any] = [
    "127.0.0.1",
    b"127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "::1",
    b"::1",
    "::",
    "::ffff:1.2.3.4",
    "2001:DB8:0:0:0:0:0:1",
    "fe80::1",
    "fe80::1%lo",
    "fe80::1%1",
    "fe80::1%99",
    "ff02::1%lo",
    None,
]
# What a resolver might be asked for without AI_NUMERICHOST: never without it.
ODD_HOSTS: list[Any] = [
    "1.2.3",
    "127.1",
    "0x7f.1",
    "017700000001",
    "2130706433",
    "1.2.3.4.5",
    "256.1.1.1",
    " 127.0.0.1",
    "127.0.0.1 ",
    "127.0.0.1\n",
    "127.0.0.01",
    "\N{FULLWIDTH DIGIT ONE}27.0.0.1",
    "1\N{IDEOGRAPHIC FULL STOP}2.3.4",
    ":",
    ":::",
    "1::2::3",
    "::1%",
    "::1%nothing",
    "fe80::1%lo%lo",
    "127.0.0.1%lo",
    "[::1]",
    "::127.0.0.256",
    "12345::",
    "",
    b"",
    "nul\0inside",
    b"nul\0inside",
    b"\xff",
    "\ud800",
    "x" * 300,
    "localhost",
    bytearray(b"127.0.0.1"),
    5,
    ("127.0.0.1",),
]
PORTS: list[Any] = [80, 0, None, "80", b"80", "http", "", b"", 65535, "0", "080"]
ODD_PORTS: list[Any] = [
    *(65536, -1, 1 << 31, 1 << 63, 1 << 70, True, False, 80.5, "80x", " 80", "-1", "65536"),
    *(
        b"\xff",
        "\ud800",
        "nul\0",
        "no-such-service",
        (80,),
        "+80",
        "8_0",
        "\N{ARABIC-INDIC DIGIT ONE}",
    ),
]
FAMILIES = [0, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 2, 12345, -1]
TYPES = [0, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, 1, 99]
PROTOS = [0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, 6, 41, 255, 999]
FLAGS = [
    *(0, socket.AI_PASSIVE, NUMERIC, socket.AI_NUMERICSERV, NUMERIC | socket.AI_NUMERICSERV),
    *(NUMERIC | socket.AI_CANONNAME, NUMERIC | socket.AI_V4MAPPED, socket.AI_ADDRCONFIG),
    *(NUMERIC | socket.AI_V4MAPPED | socket.AI_ALL, 1 << 20),
]

Question = tuple[Any, Any, Any, Any, Any, Any]


def kind(value: Any) -> Any:
    """A result with the types of its parts, since an enum member equals its number."""
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, [kind(each) for each in value])
    return (type(value).__name__, value)


def said(error: BaseException) -> Any:
    return (type(error).__name__, error.args, str(error))


def plain(question: Question) -> Any:
    try:
        return kind(socket.getaddrinfo(*question))
    except Exception as error:
        return said(error)


async def looped(loop: Any, question: Question) -> Any:
    host, port, family, type_, proto, flags = question
    try:
        return kind(
            await loop.getaddrinfo(host, port, family=family, type=type_, proto=proto, flags=flags)
        )
    except Exception as error:
        return said(error)


def check(net: Net, questions: list[Question]) -> None:
    async def main() -> None:
        for question in questions:
            assert await looped(net.loop, question) == plain(question), question

    net.run(main())


def test_every_host_with_every_flag(net: Net) -> None:
    check(
        net,
        [
            (host, 80, family, socket.SOCK_STREAM, 0, flags | NUMERIC)
            for host in (*HOSTS, *ODD_HOSTS)
            for family in (0, socket.AF_INET, socket.AF_INET6)
            for flags in FLAGS
        ],
    )


def test_every_port_with_every_type(net: Net) -> None:
    check(
        net,
        [
            (host, port, 0, type_, 0, flags)
            for host in ("127.0.0.1", "::1", None)
            for port in (*PORTS, *ODD_PORTS)
            for type_ in TYPES
            for flags in (0, socket.AI_NUMERICSERV)
        ],
    )


def test_every_family_type_and_protocol(net: Net) -> None:
    check(
        net,
        [
            (host, 80, family, type_, proto, 0)
            for host in ("127.0.0.1", "fe80::1%lo")
            for family in FAMILIES
            for type_ in TYPES
            for proto in PROTOS
        ],
    )


@pytest.mark.parametrize("seed", range(3))
def test_combinations_by_chance(net: Net, seed: int) -> None:
    numbers = random.Random(seed)
    check(
        net,
        [
            (
                numbers.choice(HOSTS if numbers.random() < 0.6 else ODD_HOSTS),
                numbers.choice(PORTS if numbers.random() < 0.6 else ODD_PORTS),
                numbers.choice(FAMILIES),
                numbers.choice(TYPES),
                numbers.choice(PROTOS),
                numbers.choice(FLAGS) | NUMERIC,
            )
            for _ in range(400)
        ],
    )


@pytest.mark.parametrize("name", ["family", "type", "proto", "flags"])
@pytest.mark.parametrize("value", [None, "0", 1.5, 1 << 40, -(1 << 70), 99, object])
async def test_numbers_that_are_none(net: Net, name: str, value: Any) -> None:
    given = {"family": 0, "type": 0, "proto": 0, "flags": 0} | {name: value}
    question = ("127.0.0.1", 80, *given.values())
    assert await looped(net.loop, question) == plain(question)


async def test_members_of_enums(net: Net) -> None:
    ((family, type_, proto, name, address),) = await net.loop.getaddrinfo("127.0.0.1", 80, type=1)
    assert family is socket.AF_INET
    assert type_ is socket.SOCK_STREAM
    assert (proto, name, address) == (6, "", ("127.0.0.1", 80))


async def test_an_answer_is_the_callers_own(net: Net) -> None:
    first = await net.loop.getaddrinfo("127.0.0.1", 80)
    first.clear()
    assert await net.loop.getaddrinfo("127.0.0.1", 80) == socket.getaddrinfo("127.0.0.1", 80)


async def test_the_zone_of_an_ipv6_address_is_kept(net: Net) -> None:
    index = socket.if_nametoindex("lo")
    for zone in ("lo", str(index)):
        for address in await net.loop.getaddrinfo(f"fe80::1%{zone}", 80):
            assert address[4][3] == index
            assert address[4][0].startswith("fe80::1")


class Resolver:
    """Stands in for socket.getaddrinfo, and notes its questions and threads."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, *arguments: Any) -> Any:
        self.asked.append(arguments)
        self.threads.add(threading.current_thread())
        return self.answer()


ANSWER = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]


@pytest.mark.parametrize(
    "host", ["name.invalid", b"name.invalid", "localhost", "n\u00e4me.invalid"]
)
async def test_names_are_asked_of_the_current_resolver(
    net: Net, monkeypatch: pytest.MonkeyPatch, host: Any
) -> None:
    """Also of one that a test or a plug-in has put in its place; in a thread of the executor."""
    resolver = Resolver(lambda: ANSWER)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    assert await net.loop.getaddrinfo(host, "http") is ANSWER
    got = await net.loop.getaddrinfo(
        host, 80, family=socket.AF_INET, type=socket.SOCK_STREAM, proto=6, flags=1
    )
    assert got is ANSWER
    assert resolver.asked == [
        (host, "http", 0, 0, 0, 0),
        (host, 80, socket.AF_INET, socket.SOCK_STREAM, 6, 1),
    ]
    assert threading.main_thread() not in resolver.threads


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "no"), LookupError("odd"), UnicodeError("x")]
)
async def test_errors_of_the_resolver(
    net: Net, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", Resolver(fail))
    for asking in (
        net.loop.getaddrinfo("name.invalid", 80),
        net.loop.create_connection(Recorder, "name.invalid", 80),
        net.loop.create_server(Recorder, "name.invalid", 80),
        net.loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=("name.invalid", 80)
        ),
    ):
        with pytest.raises(type(error)) as caught:
            await asking
        assert caught.value is error


async def test_connections_by_name_ask_the_current_resolver(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        name = listening.getsockname()
        resolver = Resolver(lambda: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", name)])
        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        transport, _ = await net.loop.create_connection(Recorder, "name.invalid", 80)
        await closed(transport)
        assert resolver.asked == [("name.invalid", 80, 0, socket.SOCK_STREAM, 0, 0)]


async def test_connections_by_address_ask_nobody(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise AssertionError

    monkeypatch.setattr(socket, "getaddrinfo", Resolver(fail))
    server = await net.loop.create_server(Recorder, "127.0.0.1", 0)
    name = server.sockets[0].getsockname()
    transport, _ = await net.loop.create_connection(Recorder, *name)
    await closed(transport)
    server.close()
    await turns(10)
    await server.wait_closed()


async def test_the_default_executor_is_used(net: Net) -> None:
    class Counting(ThreadPoolExecutor):
        count = 0

        def submit(self, *arguments: Any, **keywords: Any) -> Any:
            Counting.count += 1
            return super().submit(*arguments, **keywords)

    net.loop.set_default_executor(Counting(1))
    await net.loop.getaddrinfo("localhost", 80)
    await net.loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)
    assert Counting.count == 2


async def test_a_cancelled_question(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def wait() -> Any:
        go.wait(60)
        return ANSWER

    monkeypatch.setattr(socket, "getaddrinfo", Resolver(wait))
    for asking in (
        net.loop.getaddrinfo("name.invalid", 80),
        net.loop.create_connection(Recorder, "name.invalid", 80),
    ):
        task = asyncio.ensure_future(asking)
        await turns(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()


def test_debug_mode_logs_names(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        net.loop.set_debug(True)
        assert await net.loop.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        net.run(main())
    texts = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("Get address info localhost:80, type=") for text in texts)
    assert any(text.startswith("Getting address info localhost:80, type=") for text in texts)


@pytest.mark.parametrize(
    ("address", "flags"),
    [
        (("127.0.0.1", 80), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1", 80), socket.NI_NUMERICHOST),
        (("127.0.0.1", 53), socket.NI_NUMERICHOST | socket.NI_DGRAM),
        (("::1", 80, 0, 0), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV),
        (("127.0.0.1",), 0),
        (("127.0.0.1", 70000), socket.NI_NUMERICHOST),
        (("127.0.0.1", "80"), 0),
        ("127.0.0.1", 0),
        (None, 0),
        (("127.0.0.1", 80), None),
    ],
)
def test_getnameinfo(net: Net, address: Any, flags: Any) -> None:
    try:
        expected: Any = socket.getnameinfo(address, flags)
    except Exception as error:
        expected = said(error)

    async def main() -> Any:
        try:
            return await net.loop.getnameinfo(address, flags)
        except Exception as error:
            return said(error)

    assert net.run(main()) == expected

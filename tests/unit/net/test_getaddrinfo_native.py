"""getaddrinfo of literals: what socket.getaddrinfo answers, without the executor.

The function that the socket module has at the time of the call decides: replaced, it is asked.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import socket
import sys
from typing import Any

import pytest

import bucle
from tests.support import check_script

HOSTS = (
    "127.0.0.1",
    "0.0.0.0",
    "255.255.255.255",
    b"10.0.0.1",
    "::1",
    "::",
    b"::1",
    "0:0:0:0:0:0:0:1",
    "2001:DB8::00ff",
    "::ffff:1.2.3.4",
    "fe80::1%lo",
    "fe80::1%1",
    b"fe80::1%lo",
    "ff02::1%lo",
    "::1%7",
)
PORTS = (None, 0, 80, 65535, "0", "80", "443")
FAMILIES = (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6)
KINDS = (
    (0, 0),
    (socket.SOCK_STREAM, 0),
    (socket.SOCK_DGRAM, 0),
    (socket.SOCK_RAW, 0),
    (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    (socket.SOCK_STREAM, socket.IPPROTO_UDP),
    (0, socket.IPPROTO_TCP),
    (socket.SOCK_SEQPACKET, 0),
)
FLAGS = (
    0,
    socket.AI_PASSIVE,
    socket.AI_NUMERICHOST,
    socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    socket.AI_CANONNAME,
    socket.AI_V4MAPPED,
)
# What is no literal, or no number of a port, or an error.
ODD = (
    ("127.0.0.1", "http"),
    ("127.0.0.1", ""),
    ("127.0.0.1", "080"),
    ("127.0.0.1", b"80"),
    ("127.0.0.1", True),
    ("127.0.0.1", -1),
    ("127.0.0.1", 65536),
    ("127.0.0.1", "65536"),
    ("127.0.0.1", 1.5),
    ("127.0.0.1", "\u0663"),
    ("127.0.0.1\0", 80),
    ("127.1", 80),
    ("1", 80),
    ("0x7f.1", 80),
    ("010.0.0.1", 80),
    ("1.2.3.4.", 80),
    ("\u0661.0.0.1", 80),
    ("", 80),
    (None, 80),
    (7, 80),
    ("::1::", 80),
    (":" * 400, 80),
    ("1" * 400, 80),
    ("fe80::1%no-such-device", 80),
    ("fe80::1%", 80),
    ("%lo", 80),
    (bytearray(b"127.0.0.1"), 80),
)


def ask(call: Any, *args: Any, **options: Any) -> Any:
    try:
        return call(*args, **options)
    except BaseException as error:
        return type(error), error.args


async def ask_loop(loop: Any, *args: Any, **options: Any) -> Any:
    try:
        return await loop.getaddrinfo(*args, **options)
    except Exception as error:
        return type(error), error.args


def shape(answer: Any) -> Any:
    """An answer with the types of all that is in it."""
    if isinstance(answer, list):
        return [
            [(type(item), item) for item in entry[:4]] + [[(type(i), i) for i in entry[4]]]
            for entry in answer
        ]
    return answer


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_a_literal_is_answered_as_by_the_socket_module(loop: Any, host: Any) -> None:
    async def main() -> None:
        for port, family, (kind, proto), flags in itertools.product(PORTS, FAMILIES, KINDS, FLAGS):
            expected = ask(socket.getaddrinfo, host, port, family, kind, proto, flags)
            if isinstance(expected, tuple) and port != 80:
                continue  # errors come from the executor, which takes its time
            given = await ask_loop(
                loop, host, port, family=family, type=kind, proto=proto, flags=flags
            )
            assert shape(given) == shape(expected), (port, family, kind, proto, flags)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize(("host", "port"), ODD, ids=repr)
def test_what_is_not_plain_is_left_to_the_socket_module(loop: Any, host: Any, port: Any) -> None:
    expected = ask(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    given = loop.run_until_complete(ask_loop(loop, host, port, type=socket.SOCK_STREAM))
    assert shape(given) == shape(expected)


@pytest.mark.native
def test_the_executor_is_not_made_for_a_literal(loop: Any) -> None:
    for host in ("127.0.0.1", "::1", "fe80::1%lo", "127.0.0.1"):
        loop.run_until_complete(loop.getaddrinfo(host, 80, flags=socket.AI_CANONNAME))
        loop.run_until_complete(loop.getaddrinfo(host, "80"))
    assert loop._default_executor is None
    loop.run_until_complete(loop.getaddrinfo("localhost", 80))
    assert loop._default_executor is not None
    loop.run_until_complete(loop.shutdown_default_executor())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_replaced_function_is_asked(loop: Any, host: str, monkeypatch: Any) -> None:
    asked: list[Any] = []

    def getaddrinfo(*args: Any) -> Any:
        asked.append(args)
        return ["mine"]

    async def main() -> Any:
        before = await loop.getaddrinfo(host, 80)
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        replaced = await loop.getaddrinfo(host, 80)
        monkeypatch.undo()
        return before, replaced, await loop.getaddrinfo(host, 80)

    before, replaced, after = loop.run_until_complete(main())
    assert replaced == ["mine"]
    assert asked == [(host, 80, 0, 0, 0, 0)]
    assert before == after == socket.getaddrinfo(host, 80)


def test_one_replaced_before_the_import_is_asked() -> None:
    said = check_script(
        """
        import asyncio, socket
        socket.getaddrinfo = lambda *args: ["mine", *args[:2]]
        loop = impl.new_loop()
        print(loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80)))
        loop.close()
        """
    )
    assert said == "['mine', '127.0.0.1', 80]\n"


def test_it_is_a_coroutine_function(loop: Any) -> None:
    assert inspect.iscoroutinefunction(loop.getaddrinfo)
    coroutine = loop.getaddrinfo("127.0.0.1", 80)
    assert asyncio.iscoroutine(coroutine)
    coroutine.close()
    text = "(host, port, *, family=0, type=0, proto=0, flags=0)"
    assert str(inspect.signature(loop.getaddrinfo)) == text
    with pytest.raises(TypeError, match="takes 3 positional arguments but 4 were given"):
        loop.getaddrinfo("127.0.0.1", 80, socket.AF_INET)


def test_debug_mode_tells_of_it(loop: Any, caplog: Any) -> None:
    loop.set_debug(True)
    with caplog.at_level("DEBUG", logger="asyncio"):
        loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80))
    assert any("Get address info 127.0.0.1:80" in record.message for record in caplog.records)


def test_a_closed_loop_does_not_answer(loop: Any) -> None:
    loop.close()
    coroutine = loop.getaddrinfo("127.0.0.1", 80)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        coroutine.send(None)


def test_audit_hooks_hear_of_each_question() -> None:
    script = """
        import socket, sys
        loop = impl.new_loop()
        heard = []
        def hook(event, args):
            if event == "socket.getaddrinfo":
                heard.append(args)
                if args[1] == 666:
                    raise PermissionError("no such port here")
        sys.addaudithook(hook)
        async def main():
            try:
                await loop.getaddrinfo("127.0.0.1", 666)
            except PermissionError as error:
                print(error)
            for port in (80, 81, 82):
                await loop.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
            try:
                await loop.getaddrinfo("127.0.0.1", 666, type=socket.SOCK_STREAM)
            except PermissionError as error:
                print(error)
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
        print([tuple(map(int, args[1:])) for args in heard])
        loop.close()
        """
    said = [check_script(script, impl=impl) for impl in ("stock", "bucle")]
    assert said[0] == said[1] != ""


def test_a_subclass_may_have_its_own() -> None:
    class Loop(bucle.Loop):
        async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
            found = await super().getaddrinfo(host, port, **options)
            return [found[0]]

    loop = Loop()
    try:
        assert len(loop.run_until_complete(loop.getaddrinfo("127.0.0.1", 80))) == 1
    finally:
        loop.close()


@pytest.mark.native
def test_nothing_is_left_behind(loop: Any) -> None:
    host, port = "198.51.100.77", 60001

    async def main() -> None:
        for _ in range(200):
            await loop.getaddrinfo(host, port)
            await loop.getaddrinfo(host, port, flags=socket.AI_CANONNAME)

    loop.run_until_complete(main())
    before = sys.getrefcount(host), sys.getrefcount(port)
    loop.run_until_complete(main())
    assert (sys.getrefcount(host), sys.getrefcount(port)) == before

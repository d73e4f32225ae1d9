"""bucle.create_subprocess_exec and _shell: asyncio's, with native readers and writers."""

from __future__ import annotations

import asyncio
import inspect
import os
from typing import Any

import pytest

import bucle
from tests.unit.net.peers import Net, closed, connected, receive

from .children import PIPE, STDOUT, execute, python

NAMES = pytest.mark.parametrize("name", ["create_subprocess_exec", "create_subprocess_shell"])


async def test_their_streams_are_native(net: Net) -> None:
    """On any loop."""
    process = await bucle.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert type(process.stdin) is bucle.StreamWriter
    assert type(process.stdout) is type(process.stderr) is bucle.StreamReader
    process.stdin.write(b"a line\nand more")
    await process.stdin.drain()
    assert await process.stdout.readline() == b"a line\n"
    assert await process.communicate(b".") == (b"and more.", b"")
    assert process.returncode == 0


async def test_a_shell_and_a_limit(net: Net) -> None:
    process = await bucle.create_subprocess_shell(
        "echo 0123456789; exit 7", stdout=PIPE, stderr=STDOUT, limit=4
    )
    with pytest.raises(ValueError, match="longer than limit"):
        await process.stdout.readline()
    assert await process.wait() == 7


@NAMES
def test_they_look_like_asyncios(name: str) -> None:
    own, stock = getattr(bucle, name), getattr(asyncio, name)
    assert inspect.signature(own) == inspect.signature(stock)
    assert inspect.iscoroutinefunction(own)
    assert own.__doc__ == stock.__doc__
    assert own.__name__ == name


async def test_text_is_refused_as_asyncio_does(net: Net) -> None:
    arguments: dict[str, Any] = {"universal_newlines": True}
    with pytest.raises(ValueError, match="universal_newlines must be False"):
        await bucle.create_subprocess_exec("true", **arguments)


async def test_what_was_written_goes_out_before_what_a_child_writes(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    descriptor = transport.get_extra_info("socket").fileno()
    os.set_inheritable(descriptor, True)
    transport.write(b"parent, ")
    process = await execute(
        *python(f"import os; os.write({descriptor}, b'child')"), close_fds=False
    )
    assert await receive(peer, 13) == b"parent, child"
    assert await process.wait() == 0
    await closed(transport, peer)

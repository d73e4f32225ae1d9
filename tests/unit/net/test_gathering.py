"""What a turn wrote goes out in one system call at its end, and before anybody could tell.

Who can tell: the socket that the transport shows, a forked process, the end of a run.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from .peers import Net, closed, connected, is_native, receive

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_shutdown_of_the_shown_socket_comes_after_what_was_written(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    shown = transport.get_extra_info("socket")
    transport.write(b"last words")
    shown.shutdown(socket.SHUT_WR)
    assert await receive(peer, 10) == b"last words"
    assert await net.loop.sock_recv(peer, 1) == b""
    await closed(transport, peer)


async def test_writes_to_the_descriptor_keep_their_place(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    shown = transport.get_extra_info("socket")
    transport.write(b"1")
    os.write(shown.fileno(), b"2")
    transport.write(b"3")
    with shown.dup() as other:
        other.send(b"4")
    transport.write(b"5")
    assert await receive(peer, 5) == b"12345"
    await closed(transport, peer)


async def test_an_option_of_the_shown_socket_holds_from_its_place_on(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    transport.write(b"before")
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert peer.recv(6, socket.MSG_DONTWAIT) == b"before"
    await closed(transport, peer)


async def test_the_shown_socket_in_a_callback_of_the_protocol(net: Net) -> None:
    """There the transport's own context is entered already."""

    class Answers(asyncio.Protocol):
        transport: Any

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(b"answer")
            self.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)

    transport, _, peer = await connected(net.loop, Answers)
    peer.send(b"ask")
    assert await receive(peer, 6) == b"answer"
    assert await net.loop.sock_recv(peer, 1) == b""
    await closed(transport, peer)


async def test_without_a_high_mark_each_write_goes_out_at_once(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    transport.set_write_buffer_limits(high=0)
    for data in (b"first", b"second"):
        transport.write(data)
        assert peer.recv(6, socket.MSG_DONTWAIT) == data
    await closed(transport, peer)


def in_a_child(work: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


ENDS: dict[str, Callable[[Any], object]] = {
    "abort": lambda transport: transport.abort(),
    "close": lambda transport: transport.close(),
    "asks for the size": lambda transport: transport.get_write_buffer_size(),
    "writes as well": lambda transport: transport.get_extra_info("socket").fileno(),
    "nothing": lambda transport: None,
}


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("end", ENDS)
async def test_a_fork_sends_nothing_twice(net: Net, end: str) -> None:
    transport, _, peer = await connected(net.loop)
    transport.write(b"A")
    in_a_child(lambda: ENDS[end](transport))
    transport.write(b"B")
    assert await receive(peer, 2) == b"AB"
    await closed(transport, peer)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_what_was_written_goes_out_before_what_a_child_writes(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    descriptor = transport.get_extra_info("socket").fileno()
    transport.write(b"parent, ")
    in_a_child(lambda: os.write(descriptor, b"child"))
    assert await receive(peer, 13) == b"parent, child"
    await closed(transport, peer)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_fork_in_another_thread_sends_nothing_twice(net: Net) -> None:
    """It cannot send for the loop, so its child forgets what the loop has gathered."""
    transport, _, peer = await connected(net.loop)
    go, forked = asyncio.Event(), []

    def fork() -> None:
        in_a_child(transport.abort)
        forked.append(True)
        net.loop.call_soon_threadsafe(go.set)

    transport.write(b"A")
    task = net.loop.run_in_executor(None, fork)
    while not forked:  # what was written is not sent meanwhile: the turn goes on
        gc.collect(0)
    await go.wait()
    await task
    transport.write(b"B")
    assert await receive(peer, 2) == b"AB"
    await closed(transport, peer)


class Interrupts(asyncio.Protocol):
    def pause_writing(self) -> None:
        raise KeyboardInterrupt


def test_an_interrupt_at_the_end_of_a_run_leaves_it(net: Net) -> None:
    transport, _, peer = net.run(connected(net.loop, Interrupts, "unix"))
    transport.set_write_buffer_limits(100_000)

    def write_and_stop() -> None:
        net.loop.stop()
        transport.write(b"x" * 4_000_000)

    net.loop.call_soon(write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        net.loop.run_forever()
    net.run(closed(transport, peer))


@pytest.mark.native
def test_writing_when_connection_and_loop_are_gone(net: Net) -> None:
    """The one by hand, the other by itself."""

    async def lose() -> tuple[Any, Any]:
        transport, _, peer = await connected(asyncio.get_running_loop())
        transport._call_connection_lost(None)
        return transport, peer

    loop = net.impl.new_loop()
    transport, peer = loop.run_until_complete(lose())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert is_native(transport)
    assert gone() is None
    transport.write(b"nobody reads this")
    assert peer.recv(1) == b""
    peer.close()

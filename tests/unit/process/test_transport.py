"""SubprocessTransport and SubprocessProtocol: asyncio's methods, and the order of its calls."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
from typing import Any

import pytest

from tests.support import turn
from tests.unit.net.peers import Net, attempt, is_native, let_go, same_as_stock, turns, until

from .children import PIPE, Witness, children, execute, is_zombie, python, sleeping

ORDER = ["made", "data", "end of 1", "end of 2", "end of 0", "exited", "lost"]


async def start(loop: Any, *command: str, **keywords: Any) -> tuple[Any, Any]:
    pair: tuple[Any, Any] = await loop.subprocess_exec(Witness, *command, **keywords)
    return pair


async def test_what_it_is(net: Net) -> None:
    transport, witness = await start(net.loop, "cat")
    assert isinstance(transport, asyncio.SubprocessTransport)
    assert isinstance(transport, asyncio.BaseTransport)
    assert transport.get_pid() in children()
    assert transport.get_returncode() is None
    assert transport.get_protocol() is witness
    assert not transport.is_closing()
    process = transport.get_extra_info("subprocess")
    assert type(process) is subprocess.Popen
    assert process.pid == transport.get_pid()
    assert process.args == ("cat",)
    assert transport.get_extra_info("nothing", 5) == 5
    kinds = (asyncio.WriteTransport, asyncio.ReadTransport, asyncio.ReadTransport)
    for fd, kind in enumerate(kinds):
        pipe = transport.get_pipe_transport(fd)
        assert isinstance(pipe, kind)
        assert is_native(pipe) == net.impl.native
    assert transport.get_pipe_transport(3) is None
    assert witness.calls == ["made"]
    transport.get_pipe_transport(0).write(b"data")
    await until(lambda: witness.data)
    transport.get_pipe_transport(0).close()
    await until(lambda: witness.lost)
    assert transport.get_returncode() == 0
    assert transport.get_pid() == process.pid
    assert process.returncode == 0
    assert witness.data == {1: b"data"}
    assert witness.ends == {0: None, 1: None, 2: None}
    assert sorted(witness.calls) == sorted(ORDER)
    assert witness.calls[-1] == "lost"
    transport.close()
    assert transport.is_closing()


async def test_pipes_only_where_they_are_asked_for(net: Net) -> None:
    for wanted in range(8):
        where = [PIPE if wanted & 1 << fd else subprocess.DEVNULL for fd in range(3)]
        transport, witness = await start(
            net.loop, "true", stdin=where[0], stdout=where[1], stderr=where[2]
        )
        for fd, what in enumerate(where):
            assert (transport.get_pipe_transport(fd) is None) == (what != PIPE)
        await until(lambda each=witness: each.lost)
        transport.close()


def test_the_representation(net: Net) -> None:
    async def scenario(loop: Any) -> list[str]:
        shown = []
        transport, witness = await start(loop, "cat", stdin=PIPE, stdout=None, stderr=None)

        def show() -> None:
            text = repr(transport).partition(" stdin=")
            pid = f"pid={transport.get_pid()}"
            shown.extend((text[0].replace(pid, "pid=N"), text[1]))

        show()
        transport.get_pipe_transport(0).close()
        await until(lambda: witness.lost)
        show()
        transport.close()
        show()
        return shown

    same_as_stock(net, scenario)


def test_the_protocol_can_be_changed(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        transport, first = await start(loop, "cat")
        second = Witness()
        transport.set_protocol(second)
        transport.get_pipe_transport(0).write(b"data")
        await until(lambda: second.data)
        transport.get_pipe_transport(0).close()
        await until(lambda: second.lost)
        transport.close()
        return transport.get_protocol(), first.calls, second.calls[0], second.calls[-1]

    same_as_stock(net, scenario)


@pytest.mark.parametrize("how", ["send_signal", "terminate", "kill"])
def test_signals(net: Net, how: str) -> None:
    async def scenario(loop: Any) -> Any:
        transport, witness = await start(loop, "cat")
        arguments = (signal.SIGUSR1,) if how == "send_signal" else ()
        assert getattr(transport, how)(*arguments) is None
        await until(lambda: witness.lost)
        code = transport.get_returncode()

        async def again() -> Any:
            return getattr(transport, how)(*arguments)

        said = await attempt(again())
        transport.close()
        return code, said, await attempt(again())

    assert same_as_stock(net, scenario)[0] < 0


@pytest.mark.native
@pytest.mark.parametrize("how", ["terminate", "kill", "poll"])
async def test_a_child_that_has_just_died(net: Net, how: str) -> None:
    """The loop does not know yet, and `Popen` reaps it: nothing is raised, the status is not lost.

    asyncio's thread is mostly faster, or its status is lost.
    """
    process = await execute("sh", "-c", "read line; exit 3", stdin=PIPE)
    os.write(process.stdin.transport.get_extra_info("pipe").fileno(), b"\n")
    while not is_zombie(process.pid):
        os.sched_yield()
    if how == "poll":
        assert process._transport.get_extra_info("subprocess").poll() == 3
    else:
        getattr(process, how)()
    assert await process.wait() == 3


def test_close_kills(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        transport, witness = await start(loop, "cat")
        transport.close()
        transport.close()
        assert transport.is_closing()
        await until(lambda: witness.lost)
        return transport.get_returncode(), sorted(witness.calls)

    assert same_as_stock(net, scenario)[0] == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_one_that_is_dropped_runs_on(net: Net) -> None:
    """The loop keeps what it watches, as asyncio does: nobody has to hold a transport."""
    transport, witness = await start(net.loop, *python("print(input())"))
    stdin = transport.get_pipe_transport(0)
    del transport
    gc.collect()
    witness.transport = None
    stdin.write(b"still there\n")
    await until(lambda: witness.lost)
    assert witness.data == {1: b"still there\n"}


@pytest.mark.native
def test_an_open_one_is_reported_at_the_end(net: Net) -> None:
    """A warning and a kill; asyncio leaves an open pidfd as well, and a dead child."""
    loop = net.loop
    net.run(turns(1))

    async def begin() -> Any:
        return await loop.subprocess_exec(
            asyncio.SubprocessProtocol, "sleep", "1000", stdin=None, stdout=None, stderr=None
        )

    transport, _ = net.run(begin())
    pid = transport.get_pid()
    process = transport.get_extra_info("subprocess")
    loop.close()
    held = [transport]
    del transport
    with pytest.warns(ResourceWarning, match=f"unclosed transport.*pid={pid}"):
        let_go(held)
    process.wait()
    assert process.returncode == -signal.SIGKILL


async def test_debug_mode(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    net.loop.set_debug(True)
    with caplog.at_level("DEBUG", logger="asyncio"):
        process = await execute("sh", "-c", "exit 5")
        assert await process.wait() == 5
        process = await sleeping()
        process._transport.close()
        await process.wait()
    text = caplog.text
    assert "process 'sh' created: pid" in text
    assert "exited with return code 5" in text
    assert "Close running child process: kill" in text


def test_two_loops_have_children_of_their_own(net: Net) -> None:
    other = net.impl.new_loop()
    first = net.run(execute("cat", stdin=PIPE))
    second = other.run_until_complete(execute("sh", "-c", "exit 2"))
    assert other.run_until_complete(second.wait()) == 2
    first.stdin.close()
    assert net.run(first.wait()) == 0
    turn(other)
    other.close()

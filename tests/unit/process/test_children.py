"""Children as they come: they close their pipes, flood, ignore signals, stop, die and leave others.

And what is cancelled meanwhile. At the end of each test no child and no descriptor is left.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.net.peers import Net, said, same_as_stock, turns, until

from .children import (
    EARLY_PROTOCOL,
    PIPE,
    STDOUT,
    children,
    execute,
    python,
    shell,
    sleeping,
)

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1 << 20


async def cancelled(awaitable: Any, after: Callable[[], bool] | int = 5) -> None:
    """Starts to wait for it, cancels that, and sees the cancellation through."""
    task = asyncio.ensure_future(awaitable)
    await (turns(after) if isinstance(after, int) else until(after))
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_communicate(net: Net) -> None:
    process = await execute("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    data = bytes(range(256)) * 4096
    assert await process.communicate(data) == (data, b"")
    assert process.returncode == 0
    process = await execute("cat", stdin=PIPE, stdout=PIPE)
    assert await process.communicate(b"") == (b"", None)
    process = await shell("echo no pipes", stdout=asyncio.subprocess.DEVNULL)
    assert await process.communicate() == (None, None)
    process = await shell("cat; echo e >&2; exit 9", stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    assert await process.communicate(b"o") == (b"oe\n", None)
    assert process.returncode == 9


async def test_streams_to_and_fro(net: Net) -> None:
    process = await execute("cat", stdin=PIPE, stdout=PIPE)
    for number in range(100):
        process.stdin.write(b"%d\n" % number)
        await process.stdin.drain()
        assert await process.stdout.readline() == b"%d\n" % number
    process.stdin.close()
    await process.stdin.wait_closed()
    assert await process.stdout.read() == b""
    assert await process.wait() == 0


async def test_many_wait_for_one(net: Net) -> None:
    process = await sleeping()
    waiting = [asyncio.ensure_future(process.wait()) for _ in range(5)]
    await turns(3)
    process.terminate()
    assert await asyncio.gather(*waiting) == [-signal.SIGTERM] * 5
    assert await process.wait() == -signal.SIGTERM


async def test_it_closes_its_pipes_early(net: Net) -> None:
    process = await shell(
        "exec >&- 2>&- <&-; exec sleep 1000", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert await process.stdout.read() == b""
    assert await process.stderr.read() == b""
    await until(lambda: process.stdin.transport.is_closing())
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_it_does_not_read_what_it_is_given(net: Net) -> None:
    """communicate() takes a broken pipe for the end; a drain() shows it."""
    process = await shell("exec <&-; echo done", stdin=PIPE, stdout=PIPE)
    assert await process.communicate(b"x" * MEGABYTE) == (b"done\n", None)
    assert process.returncode == 0
    process = await shell("exec <&-; echo closed; exec sleep 1000", stdin=PIPE, stdout=PIPE)
    assert await process.stdout.readline() == b"closed\n"
    process.stdin.write(b"x" * MEGABYTE)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        while True:
            await process.stdin.drain()
            await asyncio.sleep(0)
            process.stdin.write(b"x" * MEGABYTE)
    process.kill()
    await process.wait()


async def test_it_floods_stderr(net: Net) -> None:
    """Whoever reads only one pipe must not stop the other: communicate() reads both."""
    size = 2 * MEGABYTE
    process = await shell(
        f"head -c {size} /dev/zero >&2; echo after", stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, error = await process.communicate(b"x" * 1000)
    assert out == b"after\n"
    assert error == bytes(size)


@pytest.mark.mended_in_3_11_7
async def test_a_flood_that_nobody_reads_is_held_back(net: Net) -> None:
    process = await execute("cat", "/dev/zero", stdout=PIPE)
    pipe = process._transport.get_pipe_transport(1)
    await until(lambda: not pipe.is_reading())
    assert len(process.stdout._buffer) < MEGABYTE
    process.kill()
    assert set(await process.stdout.read()) == {0}
    assert await process.wait() == -signal.SIGKILL


async def test_a_limit(net: Net) -> None:
    process = await shell("head -c 1000 /dev/zero; echo", stdout=PIPE, limit=100)
    with pytest.raises(ValueError, match="chunk"):
        await process.stdout.readline()
    await process.communicate()


async def test_it_ignores_sigterm(net: Net) -> None:
    process = await execute(
        "sh",
        "-c",
        "trap 'echo no' TERM; echo ready; while :; do read x; done",
        stdin=PIPE,
        stdout=PIPE,
    )
    assert await process.stdout.readline() == b"ready\n"
    for _ in range(3):
        process.terminate()
        process.stdin.write(b"go on\n")
        assert await process.stdout.readline() == b"no\n"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.01)
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_it_is_stopped_and_continued(net: Net) -> None:
    """Neither is an end: the watcher must not take it for one."""
    process = await sleeping()

    def state() -> str:
        return children()[process.pid][-1]

    for _ in range(3):
        process.send_signal(signal.SIGSTOP)
        await until(lambda: state() == "T")
        await turns(5)
        assert process.returncode is None
        process.send_signal(signal.SIGCONT)
        await until(lambda: state() != "T")
        await turns(5)
        assert process.returncode is None
    process.send_signal(signal.SIGSTOP)
    process.kill()
    assert await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGRTMIN]
)
async def test_it_dies_by_a_signal(net: Net, number: int) -> None:
    process = await shell(f"ulimit -c 0; kill -{int(number)} $$", stdout=PIPE)
    assert await process.communicate() == (b"", None)
    assert process.returncode == -number


@pytest.mark.parametrize("code", [0, 1, 127, 128, 255])
async def test_exit_codes(net: Net, code: int) -> None:
    assert await (await shell(f"exit {code}")).wait() == code


async def test_it_leaves_a_child_behind_without_our_pipes(net: Net) -> None:
    """The daemon's way: fork, setsid, fork. Only the first is ours, and that has ended."""
    process = await execute(
        *python(
            "import os\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        null = os.open('/dev/null', os.O_RDWR)\n"
            "        print(os.getpid(), flush=True)\n"
            "        [os.dup2(null, fd) for fd in range(3)]\n"
            "        os.execvp('sleep', ['sleep', '1000'])\n"
            "    os._exit(0)\n"
            "os.wait()\n"
        ),
        stdout=PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert process.pid not in children()
    os.kill(int(out), signal.SIGKILL)


async def test_a_grandchild_holds_the_pipes(net: Net) -> None:
    """The end of the child is known at once; end of file comes with the last who can write."""
    source = "sleep 1000 & echo $!; exit 4"
    process = await shell(source, stdout=PIPE)
    grandchild = int(await process.stdout.readline())
    await until(lambda: process.returncode is not None)
    assert process.returncode == 4
    assert process.pid not in children()
    reading = asyncio.ensure_future(process.communicate())
    await turns(5)
    assert not reading.done()
    os.kill(grandchild, signal.SIGKILL)
    assert await reading == (b"", None)


async def test_wait_is_cancelled(net: Net) -> None:
    process = await sleeping()
    await cancelled(process.wait())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await process.wait()
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_communicate_is_cancelled(net: Net) -> None:
    process = await execute("sleep", "1000", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    await cancelled(process.communicate())
    assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def test_communicate_is_cancelled_while_it_writes(net: Net) -> None:
    process = await execute("sleep", "1000", stdin=PIPE, stdout=PIPE)
    transport = process.stdin.transport
    await cancelled(process.communicate(b"x" * MEGABYTE), transport.get_write_buffer_size)
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    await until(lambda: not transport.get_write_buffer_size())


async def test_communicate_is_cancelled_and_tried_again(net: Net) -> None:
    """What was read before is in the reader no more, as with asyncio; what comes later is."""
    process = await execute("cat", stdin=PIPE, stdout=PIPE)
    await cancelled(process.stdout.read())
    process.stdin.write(b"later")
    assert await process.communicate(b"") == (b"later", None)


@pytest.mark.parametrize("first", ["kill", "cancel"])
async def test_kill_9_while_communicate_is_cancelled(net: Net, first: str) -> None:
    """In the same turn, in either order: the child is reaped, and the pipes are closed."""
    source = (
        "import os, time\n"
        "while data := os.read(0, 65536):\n"
        "    os.write(1, data)\n"
        "time.sleep(1000)\n"
    )
    for turns_before in range(6):
        process = await execute(*python(source), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        # more than a pipe holds, less than what stops a reader that nobody reads from
        task = asyncio.ensure_future(process.communicate(b"x" * 100_000))
        await turns(turns_before)
        if first == "kill":
            os.kill(process.pid, signal.SIGKILL)
        task.cancel()
        if first == "cancel":
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await process.wait() == -signal.SIGKILL
        assert process.pid not in children()
        # from 3.14 on wait() does not wait for the pipes
        await until(lambda transport=process._transport: transport._proc is None)


@EARLY_PROTOCOL
async def test_a_child_that_fails_at_once_while_it_is_written_to(net: Net) -> None:
    for _ in range(20):
        process = await execute("false", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert await process.communicate(b"x" * 100_000) == (b"", b"")
        assert process.returncode == 1


def test_writing_after_the_end(net: Net) -> None:
    async def scenario(loop: Any) -> Any:
        process = await execute("true", stdin=PIPE)
        await process.wait()
        await until(lambda: process._protocol._connection_lost)
        process.stdin.write(b"too late")
        try:
            await process.stdin.drain()
        except ConnectionError as error:
            return said(error)
        finally:
            process.stdin.close()
        return None

    same_as_stock(net, scenario)


async def test_subprocess_of_a_subclass_of_the_loop(net: Net) -> None:
    """What asyncio calls by name on the loop is called here."""
    names: list[str] = []

    class Loop(type(net.loop)):  # type: ignore[misc]
        async def connect_read_pipe(self, *arguments: Any) -> Any:
            names.append("read")
            return await super().connect_read_pipe(*arguments)

        async def connect_write_pipe(self, *arguments: Any) -> Any:
            names.append("write")
            return await super().connect_write_pipe(*arguments)

        async def _make_subprocess_transport(self, *arguments: Any, **keywords: Any) -> Any:
            names.append("transport")
            return await super()._make_subprocess_transport(*arguments, **keywords)

    def work() -> bytes:
        loop = Loop()
        try:
            process = loop.run_until_complete(execute("cat", stdin=PIPE, stdout=PIPE))
            out, _ = loop.run_until_complete(process.communicate(b"data"))
        finally:
            loop.close()
        data: bytes = out
        return data

    assert await asyncio.to_thread(work) == b"data"
    assert names == ["transport", "write", "read"]

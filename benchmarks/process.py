"""Workloads of subprocesses: how soon one is started and awaited, and what its pipes carry.

CPU time is that of the parent, helper threads included; what a child takes is its own. In the rows
of pipes the child runs before the watch does: it waits at its full or empty pipe, so that neither
its start nor the interpreter's is measured. The children are coreutils', which read and write large
blocks and have nothing else to do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks.workload import Bench, Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PROCESS = Subject(seconds=0.5)

PIPE = asyncio.subprocess.PIPE
MEBIBYTE = 1 << 20
BLOCK = b"b" * (64 << 10)
LINE = b"l" * 63 + b"\n"


async def start(*command: str, **streams: int) -> Any:
    """Start a child; its streams are there, whatever the types say."""
    return await asyncio.create_subprocess_exec(*command, **streams)  # type: ignore[arg-type]


def with_child(
    bench: Bench, main: Callable[[Any], Awaitable[None]], *command: str, **streams: int
) -> None:
    """Time what is done with a child that runs, which is killed if it has not ended then."""
    child = bench.loop.run_until_complete(start(*command, **streams))

    async def timed() -> None:
        await main(child)

    async def end() -> None:
        if child.returncode is None:
            child.kill()
        # what is left in the pipes: up to some version wait() waits for their end, too
        await child.communicate(None)

    with bench.watch:
        bench.loop.run_until_complete(timed())
    bench.loop.run_until_complete(end())


@PROCESS.workload("spawn and wait", size=20)
def spawn(bench: Bench) -> None:
    """Start a program that ends at once, and wait for it, one after the other."""

    async def main() -> None:
        for _ in range(bench.size):
            await (await start("/bin/true")).wait()

    with bench.watch:
        bench.loop.run_until_complete(main())


@PROCESS.workload("spawn with three pipes, communicate", size=20)
def spawn_pipes(bench: Bench) -> None:
    """Send a kilobyte to a program and read what it answers."""
    message = b"m" * 1024

    async def main() -> None:
        for _ in range(bench.size):
            child = await start("/bin/cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
            await child.communicate(message)

    with bench.watch:
        bench.loop.run_until_complete(main())


@PROCESS.workload("spawn 50 at once", size=50)
def spawn_many(bench: Bench) -> None:
    """Start fifty programs that end at once, and wait for all."""

    async def one() -> None:
        await (await start("/bin/true")).wait()

    async def main() -> None:
        await asyncio.gather(*[one() for _ in range(bench.size)])

    with bench.watch:
        bench.loop.run_until_complete(main())


@PROCESS.workload("child's stdout, a MiB by read()", size=32)
def stdout_stream(bench: Bench) -> None:
    """Read what a child sends as fast as it can; an operation is a MiB."""

    async def main(child: Any) -> None:
        while await child.stdout.read(65536):
            pass

    with_child(bench, main, "head", "-c", str(bench.size * MEBIBYTE), "/dev/zero", stdout=PIPE)


@PROCESS.workload("child's stdout, a MiB by a protocol", size=32)
def stdout_protocol(bench: Bench) -> None:
    """Be given what a child sends; an operation is a MiB."""
    loop = bench.loop
    received = 0
    done = loop.create_future()

    class Receiver(asyncio.SubprocessProtocol):
        def pipe_data_received(self, _fd: int, data: bytes) -> None:
            nonlocal received
            received += len(data)

        def connection_lost(self, _error: Exception | None) -> None:
            done.set_result(None)

    async def main() -> None:
        transport, _ = await loop.subprocess_exec(
            Receiver,
            *("head", "-c", str(bench.size * MEBIBYTE), "/dev/zero"),
            stdin=None,
            stderr=None,
        )
        await done
        transport.close()

    with bench.watch:
        loop.run_until_complete(main())
    if received != bench.size * MEBIBYTE:
        raise RuntimeError(f"{received} bytes came")


@PROCESS.workload("child's stdout, a line by readline()", size=10_000)
def stdout_lines(bench: Bench) -> None:
    """Read lines of 64 bytes, of which a child sends many at a time; an operation is a line."""

    async def main(child: Any) -> None:
        for _ in range(bench.size):
            await child.stdout.readline()

    with_child(bench, main, "yes", LINE.decode().strip(), stdout=PIPE)


@PROCESS.workload("child's stdin, a MiB by write() and drain()", size=16)
def stdin_stream(bench: Bench) -> None:
    """Write blocks of 64 KiB until the child has taken all and ended; an operation is a MiB."""

    async def main(child: Any) -> None:
        for _ in range(bench.size * MEBIBYTE // len(BLOCK)):
            child.stdin.write(BLOCK)
            await child.stdin.drain()
        child.stdin.close()
        await child.wait()

    with_child(bench, main, "sh", "-c", "exec cat > /dev/null", stdin=PIPE)


@PROCESS.workload("a line to a child and back", size=1_000)
def line_ping_pong(bench: Bench) -> None:
    """Send a line to a program and read its answer, one after the other."""

    async def main(child: Any) -> None:
        for _ in range(bench.size):
            child.stdin.write(LINE)
            await child.stdout.readline()

    with_child(bench, main, "cat", stdin=PIPE, stdout=PIPE)

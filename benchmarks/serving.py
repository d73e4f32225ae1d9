"""A server in the sampling process, and its load in a process of its own.

The server runs in the loop under test, on all processors but the last, which is the load's. A
thread starts the load and waits for its answer, and so takes nothing from the server. The load
measures: operations by the wall clock, and what they took of the CPU clock of the server's process.
Where the contender is a program, it serves instead of the loop, under the same load.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.programs import program
from benchmarks.workload import Bench, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
# Where the environment has it, a connection comes and goes before the load; see compare.MALLOC.
USED = "BUCLE_USED_SERVER"
WARM_UP = 0.2
WINDOWS = 10
PATIENCE = 30.0
SETTLING = 100


class Serving(NamedTuple):
    """A server that can be reached, and how it is closed."""

    port: int
    close: Callable[[], Awaitable[object]]


class Answer(NamedTuple):
    """What the load found of one operation, and how idle it was."""

    wall: float
    cpu: float
    idle: float


Serve = Callable[[], Awaitable[Serving]]
Drive = Callable[[int, int], Answer]  # of the server's port and its process


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator is to do; `limit` is the mode in which libuv serves the same.

    `operations` is how many operations an exchange is (or a byte of what is drained).
    """

    mode: str = "exchange"
    connections: int = 50
    request: int = 1024
    response: int = 1024
    operations: float = 1.0
    limit: str | None = "stream"

    def words(self) -> list[str]:
        """Return the words of the command line that say so."""
        sizes = [f"request={self.request}", f"response={self.response}"]
        return [self.mode, f"connections={self.connections}", *sizes]


@contextmanager
def many_files(number: int) -> Iterator[None]:
    """Raise the limit of open files for a while, by as much as is needed."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    files, most = before
    wanted = number + 1000
    if files != resource.RLIM_INFINITY and files < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        except ValueError:
            raise UnavailableError(f"no process may open {wanted} files here") from None
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def bound_socket() -> tuple[socket.socket, int]:
    """Return a TCP socket on a free port of the loopback interface, and that port.

    Some loops take the descriptor out of a socket that they are given. The protocol has to be
    named: asyncio sets TCP_NODELAY only where it is, and accepted sockets have it from this one.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.bind((HOST, 0))
    return made, made.getsockname()[1]


async def settle() -> None:
    """Let the tasks that served end by themselves, and cancel those that do not."""
    mine = asyncio.current_task()
    for _ in range(SETTLING):
        others = [task for task in asyncio.all_tasks() if task is not mine]
        if not others:
            return
        await asyncio.sleep(0.01)
    for task in others:
        task.cancel()
    await asyncio.wait(others)


def _in_thread(bench: Bench, serving: Serving, drive: Drive) -> asyncio.Future[Answer]:
    """Run what drives the load in a thread on the load's processor."""
    loop = bench.loop
    ended: asyncio.Future[Answer] = loop.create_future()

    def run() -> None:
        if bench.load_cpus:
            os.sched_setaffinity(0, bench.load_cpus)  # of this thread, and what it starts
        try:
            answer = drive(serving.port, os.getpid())
        except Exception as error:  # whatever it is, it belongs to who waits
            loop.call_soon_threadsafe(ended.set_exception, error)
        else:
            loop.call_soon_threadsafe(ended.set_result, answer)

    threading.Thread(target=run).start()
    return ended


async def _serve(bench: Bench, serve: Serve, drive: Drive) -> Answer:
    serving = await serve()
    try:
        return await _in_thread(bench, serving, drive)
    finally:
        await serving.close()
        await settle()


@contextmanager
def _limit(bench: Bench, words: list[str]) -> Iterator[tuple[int, int]]:
    """Run the program that serves instead of the loop; yield its port and process."""
    assert bench.program is not None
    command = [str(bench.program), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        try:
            yield int(run.stdout.readline()), run.pid
        finally:
            run.stdin.close()  # ends it


def serve_and_drive(bench: Bench, serve: Serve, drive: Drive, limit: list[str] | None) -> None:
    """Leave in the bench what driving a server gave; `limit` are the words for the program."""
    if bench.program is None:
        answer = bench.loop.run_until_complete(_serve(bench, serve, drive))
    elif limit is None:
        raise UnavailableError("no such server in C")
    else:
        with _limit(bench, limit) as (port, process):
            answer = bench.loop.run_until_complete(
                _in_thread(bench, Serving(port, settle), lambda port, _: drive(port, process))
            )
    bench.watch.wall, bench.watch.cpu, bench.idle = answer


def under_load(bench: Bench, load: Load, serve: Serve) -> None:
    """Serve under a load of the load generator."""
    window = bench.seconds / WINDOWS
    times = [f"warm={min(WARM_UP, bench.seconds)}", f"windows={WINDOWS}", f"window={window}"]
    command = [str(program("load")), *load.words(), *times]

    def drive(port: int, process: int) -> Answer:
        if USED in os.environ and load.mode != "datagram":
            socket.create_connection((HOST, port)).close()
            time.sleep(0.02)
        done = subprocess.run(
            [*command, f"port={port}", f"pid={process}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"load: {done.stderr.strip() or done.returncode}")
        found: dict[str, Any] = json.loads(done.stdout)
        return Answer(
            found["wall"] / load.operations, found["cpu"] / load.operations, found["idle"]
        )

    sizes = load.words()[2:]
    serve_and_drive(bench, serve, drive, None if load.limit is None else [load.limit, *sizes])


def resident(process: int) -> int:
    """Return the bytes of a process that are in memory."""
    with open(f"/proc/{process}/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def under_idle_connections(bench: Bench, few: int, many: int, serve: Serve) -> None:
    """Weigh a connection that was used once: by what a server grows from `few` to `many`."""
    command = [str(program("load")), "hold"]

    def drive(port: int, process: int) -> Answer:
        weights = []
        with subprocess.Popen(
            [*command, f"port={port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as run:
            assert run.stdin is not None
            assert run.stdout is not None
            for number in (few, many):
                run.stdin.write(f"{number}\n")
                run.stdin.flush()
                if run.stdout.readline() != f"{number}\n":
                    raise RuntimeError(f"load: no {number} connections")
                weights.append(resident(process))
            run.stdin.close()
        return Answer((weights[1] - weights[0]) / (many - few), 0.0, 1.0)

    with many_files(many):
        serve_and_drive(bench, serve, drive, ["stream"])

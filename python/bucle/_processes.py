"""How a loop starts its subprocesses and learns of their end.

A child is started by `subprocess.Popen` and all else is asyncio's own transport. Its end shows at a
pidfd, which the loop watches like any descriptor: no thread and no SIGCHLD, whichever thread runs
the loop. Where no pidfd is to be had, a thread waits. A watcher that a program chose, where the
version has such a choice, is used as asyncio uses it.
Invariant: a child is reaped under the lock of its `Popen`, so that nobody signals or waits for a
number that may be a stranger's by now; and it is reaped though its loop ended before it did.
"""

from __future__ import annotations

import os
import sys
import threading
from asyncio import unix_events
from asyncio.log import logger
from typing import TYPE_CHECKING, Any

from . import _compat
from ._core import send_gathered

if TYPE_CHECKING:
    import asyncio
    import subprocess
    from collections.abc import Coroutine

_Stock: Any = vars(unix_events)["_UnixSelectorEventLoop"]
_StockTransport: Any = vars(unix_events)["_UnixSubprocessTransport"]

# So many descriptors are left free for what comes (pipes take eight while a child starts): where
# the limit is low, threads wait for some of a thousand children, and the next can be started.
_SPARE_DESCRIPTORS = 64


class _UnixSubprocessTransport(_StockTransport):  # type: ignore[misc]
    """asyncio's, which ends well though its start was cancelled or its loop is closed.

    asyncio itself does since 3.14: before, whoever cancels the start together with the task that
    connects the pipes waits for ever, and after the loop only children without pipes are killed.
    """

    _pipes: dict[int, Any]
    _exit_waiters: Any
    _abandoned = False

    def _connect_pipes(self, waiter: Any) -> Coroutine[Any, Any, None]:
        # A task of its own: one that is cancelled before its first step runs no code of ours.
        connecting = self._loop.create_task(super()._connect_pipes(waiter))
        connecting.add_done_callback(self._connected)
        return _nothing()

    def _connected(self, connecting: asyncio.Task[None]) -> None:
        if self._pending_calls is not None:
            self._abandon()

    def _abandon(self) -> None:
        """Close the pipes, of which nobody has heard: the protocol will not be called."""
        self._abandoned = True
        for end in self._pipes.values():
            if end is not None:
                end.pipe.close()
        for file in (self._proc.stdin, self._proc.stdout, self._proc.stderr):
            if file is not None:
                file.close()
        self._try_finish()

    def _try_finish(self) -> None:
        if not self._abandoned:
            super()._try_finish()
        elif self._returncode is not None:
            waiters, self._exit_waiters = self._exit_waiters or (), []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(self._returncode)

    def _process_exited(self, returncode: int) -> None:
        # Once, though an interrupt cut the first call short and the loop tells again.
        if self._returncode is None:
            super()._process_exited(returncode)

    def close(self) -> None:
        pipes = self._pipes
        if self._loop is not None and self._loop.is_closed():
            self._pipes = {}  # they would ask the loop to call somebody
        super().close()
        self._pipes = pipes


async def _nothing() -> None:
    """Be the coroutine that asyncio's constructor makes a task of."""


class _Child:
    """A child that a loop waits for: what it watches, and what it drops when it is closed.

    The pidfd is watched until the transport has been told: an interrupt in between, Ctrl-C say,
    only makes the loop try again.
    """

    __slots__ = ("_loop", "_pidfd", "_process", "_transport")

    def __init__(self, loop: Any, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._process: subprocess.Popen[bytes] = transport._proc
        self._pidfd = _open_pidfd(self._process.pid)
        if self._pidfd >= 0:
            loop._add_reader(self._pidfd, self._ended)
            return
        try:
            _start_thread(self._wait_in_thread, self._process.pid)
        except RuntimeError:  # there are too many; nobody would wait for it
            transport.close()
            self._process.wait()
            raise

    def _wait_in_thread(self) -> None:
        pid = self._process.pid
        try:
            # It is reaped in the loop's thread, in one step with telling the transport.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        try:
            self._loop.call_soon_threadsafe(self._ended)
        except RuntimeError:
            self._process.wait()
            logger.warning("Loop %r that handles pid %r is closed", self._loop, pid)

    def _ended(self) -> None:
        process = self._process
        transport = self._transport
        if transport is not None:
            code = _reap(process)
            self._loop._child_watcher_callback(process.pid, code, transport)
            self._transport = None
        if self._pidfd >= 0:
            self._loop._remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def __del__(self) -> None:
        if self._pidfd < 0:
            return
        os.close(self._pidfd)
        if self._transport is None or self._process.poll() is not None:
            return
        if not sys.is_finalizing():
            _start_thread(self._process.wait, self._process.pid)


def _start_thread(target: Any, pid: int) -> None:
    threading.Thread(target=target, name=f"asyncio-waitpid-{pid}", daemon=True).start()


def _open_pidfd(pid: int) -> int:
    """Open a pidfd; -1 where there are none, where they are refused, and where they run short."""
    try:
        pidfd = os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1
    if pidfd >= _SPARE_DESCRIPTORS and pidfd >= _most_descriptors() - _SPARE_DESCRIPTORS:
        os.close(pidfd)
        return -1
    return pidfd


def _most_descriptors() -> float:
    import resource  # a shared library, which most programs do without

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return float("inf") if limit == resource.RLIM_INFINITY else limit


def _reap(process: Any) -> Any:
    """Take the exit status of a child that has ended, unless a `poll()` of the program did."""
    with process._waitpid_lock:
        if process.returncode is None:
            try:
                status = os.waitpid(process.pid, 0)[1]
            except ChildProcessError:
                process.returncode = 255
                logger.warning(
                    "child process pid %d exit status already read:  will report returncode 255",
                    process.pid,
                )
            else:
                process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode


async def _make_subprocess_transport(
    self: Any,
    protocol: asyncio.SubprocessProtocol,
    args: Any,
    shell: bool,
    stdin: Any,
    stdout: Any,
    stderr: Any,
    bufsize: int,
    extra: Any = None,
    **kwargs: Any,
) -> asyncio.SubprocessTransport:
    send_gathered()  # the child may write to what it inherits
    streams = (stdin, stdout, stderr, bufsize)
    if _compat.program_watches_children():
        stock: Any = _Stock._make_subprocess_transport
        made: asyncio.SubprocessTransport
        made = await stock(self, protocol, args, shell, *streams, extra=extra, **kwargs)
        return made
    waiter = self.create_future()
    transport = _UnixSubprocessTransport(
        self, protocol, args, shell, *streams, waiter=waiter, extra=extra, **kwargs
    )
    _Child(self, transport)
    try:
        await waiter
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        transport.close()
        await transport._wait()
        raise
    return transport


METHODS = {"_make_subprocess_transport": _make_subprocess_transport}

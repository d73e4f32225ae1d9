"""How the end of a child is seen: by pidfd, without a thread, in any thread's loop.

By a thread where pidfds are missing, refused or short; by the program's own watcher where it has
set one; after the loop, though nobody is left to be told; and in spite of what interrupts it.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from bucle import _processes
from tests.support import check_script, run_script, turn
from tests.unit.net.peers import DEADLINE, Net, descriptors, let_go, turns, until

from .children import PIPE, Witness, children, execute, shell, sleeping, waiting_threads

if TYPE_CHECKING:
    from collections.abc import Callable

native = pytest.mark.native
WATCHERS = hasattr(asyncio, "set_child_watcher")


def pidfds() -> int:
    return sum("pidfd" in what for what in descriptors().values())


def gone(pid: int) -> None:
    """Waits in this thread until a child has been reaped by another."""
    for thread in waiting_threads():
        thread.join(DEADLINE)
    assert pid not in children()


@native
async def test_a_pidfd_and_no_thread(net: Net) -> None:
    """On 3.11 as well, where asyncio has a thread for each child."""
    before = pidfds()
    threads = threading.active_count()
    processes = [await sleeping() for _ in range(5)]
    assert pidfds() == before + 5
    assert threading.active_count() == threads
    for process in processes:
        process.kill()
        assert await process.wait() == -signal.SIGKILL
    assert pidfds() == before


async def test_in_a_loop_of_another_thread(net: Net) -> None:
    def work() -> tuple[int, bytes]:
        async def main() -> tuple[int, bytes]:
            process = await shell("cat; exit 3", stdin=PIPE, stdout=PIPE)
            out, _ = await process.communicate(b"data")
            return process.returncode, out

        loop = net.impl.new_loop()
        try:
            answer: tuple[int, bytes] = loop.run_until_complete(main())
            return answer
        finally:
            loop.close()

    assert await asyncio.gather(*[asyncio.to_thread(work) for _ in range(3)]) == [(3, b"data")] * 3


def refuse(*arguments: Any) -> int:
    raise PermissionError(errno.EPERM, "refused")


def without_pidfds(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "missing":
        monkeypatch.delattr(os, "pidfd_open")
    elif how == "refused":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    else:
        monkeypatch.setattr(_processes, "_most_descriptors", lambda: 0)
        monkeypatch.setattr(_processes, "_SPARE_DESCRIPTORS", 0)


WITHOUT = pytest.mark.parametrize("how", ["missing", "refused", "short"])


@native
@WITHOUT
async def test_a_thread_where_there_is_no_pidfd(
    net: Net, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    without_pidfds(monkeypatch, how)
    process = await sleeping()
    assert [thread.name for thread in waiting_threads()] == [f"asyncio-waitpid-{process.pid}"]
    assert all(thread.daemon for thread in waiting_threads())
    assert not pidfds()
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGCONT)
    process.terminate()
    assert await process.wait() == -signal.SIGTERM
    process = await shell("cat; exit 3", stdin=PIPE, stdout=PIPE)
    assert await process.communicate(b"data") == (b"data", None)
    assert process.returncode == 3


@native
@WITHOUT
def test_a_thread_outlives_its_loop(
    net: Net, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    without_pidfds(monkeypatch, how)
    process = net.run(execute("sleep", "1000"))
    net.loop.close()
    process.kill()
    gone(process.pid)
    assert f"that handles pid {process.pid} is closed" in caplog.text
    process._transport.close()


@native
async def test_no_thread_either(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the thread, and no child that nobody waits for."""

    def refuse_to_start(*arguments: Any, **keywords: Any) -> Any:
        raise RuntimeError("can't start new thread")

    without_pidfds(monkeypatch, "missing")
    monkeypatch.setattr(threading, "Thread", refuse_to_start)
    before = children()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        await execute("sleep", "1000", stdout=PIPE)
    await turns(5)
    assert children() == before


# --- the loop ends before its child ---------------------------------------------------------------


@native
@pytest.mark.parametrize("end", ["closed", "dropped"])
@pytest.mark.parametrize("pipes", [False, True])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_child_outlives_its_loop(net: Net, end: str, pipes: bool) -> None:
    """It becomes no zombie: up to 3.11 a thread sees to that in asyncio, then nobody does."""
    loop: Any = net.impl.new_loop()
    standard = {"stdin": PIPE, "stdout": PIPE} if pipes else {}
    process = loop.run_until_complete(execute("sleep", "1000", **standard))
    pid = process.pid
    if end == "closed":
        loop.close()
        assert children()[pid].startswith("sleep")
        process._transport.close()
    else:
        process = loop = None
        gc.collect()
    gone(pid)
    assert not pidfds()


@native
def test_a_child_that_had_ended_before_its_loop_was_closed(net: Net) -> None:
    process = net.run(execute("cat", stdin=PIPE))
    os.close(os.dup(0))
    popen = process._transport.get_extra_info("subprocess")
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    net.loop.close()
    assert not waiting_threads()
    assert process.pid not in children()
    assert popen.returncode == -signal.SIGKILL
    held = [process]
    del process
    with pytest.warns(ResourceWarning):
        let_go(held)


SCRIPTS = {
    "run ends": """
        async def main():
            return await asyncio.create_subprocess_exec("sleep", "1000", stdin=-1, stdout=-1)
        process = library.run(main())
    """,
    "run ends, nobody has it": """
        async def main():
            global process
            made = await asyncio.create_subprocess_exec("sleep", "1000", stdout=-1)
            process = made._transport.get_extra_info("subprocess")
        library.run(main())
    """,
    "tasks are cancelled": """
        async def main():
            async def child():
                global process
                process = await asyncio.create_subprocess_exec("sleep", "1000", stdin=-1)
                try:
                    await process.wait()
                except asyncio.CancelledError:
                    process.kill()
                    await process.wait()
            task = asyncio.ensure_future(child())
            while "process" not in globals():
                await asyncio.sleep(0.001)
        library.run(main())
    """,
    "an error": """
        async def main():
            global process
            process = await asyncio.create_subprocess_exec("sleep", "1000", stdout=-1)
            process.kill()
            await process.wait()
            raise LookupError
        try:
            library.run(main())
        except LookupError:
            pass
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_at_the_end_of_a_program(name: str) -> None:
    """It ends at once and well; what it leaves running is killed, at the latest here."""
    source = f"""
import asyncio, sys, warnings
warnings.simplefilter("ignore")
import bucle as library
{textwrap.dedent(SCRIPTS[name])}
print(process.pid)
"""
    pid = int(check_script(source))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# --- watchers that a program has set, up to 3.13 --------------------------------------------------

WATCHED = """
import asyncio, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)

class Watcher(asyncio.AbstractChildWatcher):
    active = True
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def __enter__(self):
        print("enter")
        return self
    def __exit__(self, *_):
        print("exit")
    def attach_loop(self, loop):
        self.inner.attach_loop(loop)
    def is_active(self):
        return self.active
    def close(self):
        self.inner.close()
    def remove_child_handler(self, pid):
        return self.inner.remove_child_handler(pid)
    def add_child_handler(self, pid, callback, *arguments):
        print("add", callback.__name__)
        self.inner.add_child_handler(pid, callback, *arguments)

async def main():
    process = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    print(await process.wait())

def attempt(loop):
    try:
        loop.run_until_complete(main())
    except Exception as error:
        print(type(error).__name__, error)
"""
SET = {
    "a watcher of its own": """
asyncio.set_child_watcher(Watcher(asyncio.ThreadedChildWatcher()))
attempt(impl.new_loop())
""",
    "an inactive one": """
Watcher.active = False
asyncio.set_child_watcher(Watcher(asyncio.ThreadedChildWatcher()))
attempt(impl.new_loop())
""",
    "one that is not attached": """
asyncio.set_child_watcher(asyncio.SafeChildWatcher())
attempt(impl.new_loop())
""",
    "one that is attached": """
asyncio.set_child_watcher(asyncio.SafeChildWatcher())
loop = impl.new_loop()
asyncio.get_child_watcher().attach_loop(loop)
attempt(loop)
asyncio.get_child_watcher().close()
""",
    "a policy's": """
class Policy(asyncio.DefaultEventLoopPolicy):
    def get_child_watcher(self):
        print("asked")
        return Watcher(asyncio.ThreadedChildWatcher())
asyncio.set_event_loop_policy(Policy())
attempt(impl.new_loop())
""",
    "a policy's that raises": """
class Policy(asyncio.DefaultEventLoopPolicy):
    def get_child_watcher(self):
        raise LookupError("none today")
asyncio.set_event_loop_policy(Policy())
attempt(impl.new_loop())
""",
    "none": """
asyncio.get_child_watcher()
asyncio.set_child_watcher(None)
attempt(impl.new_loop())
""",
}


@pytest.mark.skipif(not WATCHERS, reason="watchers are gone")
@pytest.mark.parametrize("name", SET)
def test_a_watcher_that_was_set_is_used_as_by_asyncio(name: str) -> None:
    ours = run_script(WATCHED + SET[name])
    stock = run_script(WATCHED + SET[name], impl="stock")
    assert (ours.returncode, ours.stdout) == (stock.returncode, stock.stdout)
    assert ours.stderr.count("Error") == stock.stderr.count("Error"), ours.stderr
    assert ours.stdout


@pytest.mark.skipif(not WATCHERS, reason="watchers are gone")
def test_a_policy_without_watchers_is_no_hindrance() -> None:
    """asyncio raises NotImplementedError: programs met that with the policies of other loops."""
    out = check_script(
        WATCHED
        + """
class Policy(asyncio.AbstractEventLoopPolicy):
    def get_event_loop(self):
        raise RuntimeError
    def set_event_loop(self, loop):
        pass
asyncio.set_event_loop_policy(Policy())
attempt(impl.new_loop())
""",
    )
    assert out == "3\n"


@pytest.mark.skipif(not WATCHERS, reason="watchers are gone")
@native
def test_the_policys_own_watcher_is_not_made(net: Net) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # and no deprecation is shown
        process = net.run(execute("true"))
        net.run(process.wait())
    policy: Any = asyncio.get_event_loop_policy()
    assert policy._watcher is None or not getattr(policy._watcher, "_threads", None)


# --- who else waits for the child -----------------------------------------------------------------


@native
async def test_somebody_else_reaps_it(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    process = await sleeping()
    process.kill()
    os.waitpid(process.pid, 0)
    assert await process.wait() == 255
    assert f"child process pid {process.pid} exit status already read" in caplog.text


@native
def test_nobody_may_reap(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """With SIGCHLD ignored the kernel forgets a child at once: no status, but no error."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        for _ in range(3):
            process = net.run(shell("exit 3", stdout=PIPE))
            assert net.run(process.wait()) == 255
    finally:
        signal.signal(signal.SIGCHLD, before)


async def test_popen_beside_the_loop(net: Net) -> None:
    """A child of the program's own is not ours to reap."""
    mine = subprocess.Popen(["sh", "-c", "exit 3"])
    for _ in range(5):
        assert await (await shell("exit 4")).wait() == 4
    assert mine.wait() == 3


@pytest.mark.native
async def test_a_thread_polls_all_the_time(net: Net) -> None:
    """Whoever is first, the status is right, for all who ask."""
    for code in range(20):
        process = await execute("sh", "-c", f"exit {code}")
        popen = process._transport.get_extra_info("subprocess")
        thread = asyncio.to_thread(popen.wait)
        assert await asyncio.gather(thread, process.wait()) == [code, code]


# --- what is interrupted --------------------------------------------------------------------------

POINTS = range(8)


@native
@pytest.mark.parametrize("which", ["start", "all tasks"])
@pytest.mark.parametrize("point", POINTS)
async def test_a_start_is_cancelled(net: Net, which: str, point: int) -> None:
    """asyncio.run() cancels all tasks, also the one that connects the pipes: asyncio hung then."""
    before = children()
    task = asyncio.ensure_future(execute("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE))
    await turns(point)
    others = asyncio.all_tasks() - {asyncio.current_task()} if which == "all tasks" else {task}
    me: Any = asyncio.current_task()
    for other in others:
        if "limited" not in repr(other):
            other.cancel()
    assert me.cancelling() == 0
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: children() == before)
    await turns(5)


@pytest.mark.parametrize("point", POINTS)
async def test_a_start_is_cancelled_alone(net: Net, point: int) -> None:
    before = children()
    task = asyncio.ensure_future(execute("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE))
    await turns(point)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: children() == before)


@native
async def test_the_pipes_cannot_be_connected(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised, what was connected is closed, the child is killed and reaped."""

    async def fail(*arguments: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    await (await execute("true", stdout=PIPE)).communicate()  # the loop opens its own ones
    before = children(), descriptors()
    witness = Witness()
    net.loop.connect_read_pipe = fail
    with pytest.raises(OSError, match="Too many open files"):
        await net.loop.subprocess_exec(lambda: witness, "cat")
    del net.loop.connect_read_pipe
    await turns(5)
    assert (children(), descriptors()) == before
    assert witness.calls == []


class Interrupt(KeyboardInterrupt):
    pass


@native
@pytest.mark.parametrize("where", ["waitpid", "close", "callback"])
def test_an_interrupt_while_the_end_is_seen(
    net: Net, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """As Ctrl-C does without a runner: it leaves the run, and the next one goes on from there."""
    process = net.run(shell("read line; exit 3", stdin=PIPE))
    calls: list[Any] = []

    def once(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls.append(arguments)
            if len(calls) == 1:
                raise Interrupt
            return original(*arguments)

        return call

    if where == "callback":
        net.loop._child_watcher_callback = once(net.loop._child_watcher_callback)
    else:
        monkeypatch.setattr(_processes.os, where, once(getattr(os, where)))
    waiting = net.loop.create_task(process.wait())
    process.stdin.write(b"\n")
    with pytest.raises(Interrupt):
        net.loop.run_until_complete(waiting)
    assert net.loop.run_until_complete(waiting) == 3
    monkeypatch.undo()
    turn(net.loop, 3)
    assert len(calls) >= 2
    assert not pidfds()


@native
async def test_a_module_that_is_not_needed(net: Net) -> None:
    """`resource` is a library of its own, asked for where descriptors have high numbers."""
    done = run_script(
        """
        import asyncio, sys
        async def main():
            await (await asyncio.create_subprocess_exec("true")).wait()
        impl.new_loop().run_until_complete(main())
        print("resource" in sys.modules)
        """
    )
    assert done.stdout == "False\n", done.stderr
    assert sys.modules

"""Signals of the loop beside its children: all that can be caught, SIGCHLD above all.

The checks, texts and ways of delivery have their tests in tests/unit/package/test_signals.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import check_script

if TYPE_CHECKING:
    from tests.support import Implementation

PRELUDE = """
import asyncio, os, signal, sys, threading
async def shell(command):
    return await asyncio.create_subprocess_shell(command)
async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)
def run(main):
    with asyncio.Runner(loop_factory=impl.new_loop) as runner:
        return runner.run(main())
"""


def test_every_signal_that_can_be_caught(impl: Implementation) -> None:
    out = check_script(
        PRELUDE
        + """
never = {signal.SIGKILL, signal.SIGSTOP}
async def main():
    loop = asyncio.get_running_loop()
    for number in sorted(signal.valid_signals() - never):
        before = signal.getsignal(number)
        got = []
        loop.add_signal_handler(number, got.append, number)
        os.kill(os.getpid(), number)
        await until(lambda: got)
        assert got == [number], (number, got)
        assert loop.remove_signal_handler(number)
        assert not loop.remove_signal_handler(number)
        after = signal.getsignal(number)
        expected = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        assert after is expected, (number, before, after)
    for number in never:
        try:
            loop.add_signal_handler(number, print)
        except RuntimeError as error:
            print(error)
run(main)
""",
        impl=impl.name,
    )
    assert sorted(out.splitlines()) == ["sig 19 cannot be caught", "sig 9 cannot be caught"]


def test_sigchld_tells_of_every_kind_of_child(impl: Implementation) -> None:
    """The loop's own, the program's own, and those that stop."""
    out = check_script(
        PRELUDE
        + """
import subprocess
seen = 0
def note():
    global seen
    seen += 1
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, note)
    before = seen
    process = await shell("kill -STOP $$; exit 3")
    await until(lambda: seen > before)
    assert process.returncode is None
    before = seen
    process.send_signal(signal.SIGCONT)
    assert await process.wait() == 3
    await until(lambda: seen > before)
    before = seen
    mine = subprocess.Popen(["sh", "-c", "exit 4"])
    await until(lambda: seen > before)
    assert mine.wait() == 4
    statuses = await asyncio.gather(*[(await shell(f"exit {n}")).wait() for n in range(10)])
    assert statuses == list(range(10)), statuses
    print(loop.remove_signal_handler(signal.SIGCHLD))
run(main)
print("done")
""",
        impl=impl.name,
    )
    assert out == "True\ndone\n"


def test_sigchld_of_children_of_a_thread(impl: Implementation) -> None:
    """The handler is the main thread's loop's, the child another loop's: both hear of the end."""
    out = check_script(
        PRELUDE
        + """
async def main():
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGCHLD, ended.set)
    async def child():
        return await (await shell("exit 5")).wait()
    print(await asyncio.to_thread(run, child))
    await ended.wait()
run(main)
print("done")
""",
        impl=impl.name,
    )
    assert out == "5\ndone\n"


def test_a_handler_that_reaps_everything(impl: Implementation) -> None:
    """What daemons do; asyncio has nothing better than 255 then, and neither have we."""
    out = check_script(
        PRELUDE
        + """
import logging
logging.disable()
reaped = []
def reap(*_):
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        reaped.append(os.waitstatus_to_exitcode(status))
async def main():
    signal.signal(signal.SIGCHLD, reap)
    process = await asyncio.create_subprocess_shell("read line; exit 6", stdin=-1)
    process.stdin.write(b"\\n")
    code = await process.wait()
    assert (code, reaped) in ((255, [6]), (6, [])), (code, reaped)
run(main)
print("done")
""",
        impl=impl.name,
    )
    assert out == "done\n"


def test_signals_and_children_at_once(impl: Implementation) -> None:
    """Hundreds of signals while children come and go: none of either is lost."""
    out = check_script(
        PRELUDE
        + """
got = 0
def count():
    global got
    got += 1
async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, count)
    sent = 0
    async def one(n):
        nonlocal sent
        process = await shell(f"kill -USR1 {os.getpid()}; exit {n}")
        sent += 1
        assert await process.wait() == n
    for _ in range(5):
        await asyncio.gather(*[one(n) for n in range(20)])
    before = got
    os.kill(os.getpid(), signal.SIGUSR1)
    await until(lambda: got > before)
    assert 5 < got <= sent + 1, (got, sent)
run(main)
print("done")
""",
        impl=impl.name,
    )
    assert out == "done\n"


def test_a_child_has_default_handlers(impl: Implementation) -> None:
    """Whatever handlers its parent's loop has."""
    out = check_script(
        PRELUDE
        + """
async def main():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        loop.add_signal_handler(number, print, "parent")
        process = await asyncio.create_subprocess_exec("sleep", "1000")
        process.send_signal(number)
        print(await process.wait() == -number)
run(main)
""",
        impl=impl.name,
    )
    assert out == "True\n" * 3

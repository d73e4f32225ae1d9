"""Signal handlers: asyncio's checks and texts, and delivery that no stopped loop loses.

In subprocesses, since handlers and the wake-up descriptor belong to the whole process.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from tests.support import check_script, outcome

PRELUDE = """
import asyncio, gc, os, signal, sys, threading, time
def kill(signum=signal.SIGUSR1):
    os.kill(os.getpid(), signum)
def turns(loop, count=3):
    for _ in range(count):
        loop.run_until_complete(asyncio.sleep(0))
def attempt(call, *arguments):
    try:
        print("returned", call(*arguments))
    except BaseException as error:
        print(type(error).__name__, error)
def wakeup_fd():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd
"""

BOTH = {
    "delivers with arguments": """
loop = impl.new_loop()
async def main():
    got = []
    loop.add_signal_handler(signal.SIGUSR1, got.append, 1)
    loop.add_signal_handler(signal.SIGUSR2, lambda *a: got.append(a), 2, 3)
    kill()
    kill(signal.SIGUSR2)
    while len(got) < 2:
        await asyncio.sleep(0.001)
    print(sorted(got, key=str))
loop.run_until_complete(main())
loop.close()
""",
    "wakes a sleeping loop": """
loop = impl.new_loop()
loop.add_signal_handler(signal.SIGALRM, loop.stop)
signal.setitimer(signal.ITIMER_REAL, 0.05)
loop.call_later(30, print, "slept")
loop.run_forever()
print("woken")
loop.close()
""",
    "keeps what arrives while stopped": """
loop = impl.new_loop()
got = []
loop.add_signal_handler(signal.SIGUSR1, got.append, "stopped")
turns(loop)
kill()
time.sleep(0.01)
print(got)
turns(loop)
print(got)
loop.close()
""",
    "keeps what arrives before the first run": """
loop = impl.new_loop()
got = []
loop.add_signal_handler(signal.SIGUSR1, got.append, "early")
kill()
turns(loop)
print(got)
loop.close()
""",
    "replaces a handler": """
loop = impl.new_loop()
got = []
loop.add_signal_handler(signal.SIGUSR1, got.append, 1)
loop.add_signal_handler(signal.SIGUSR1, got.append, 2)
kill()
turns(loop)
print(got)
loop.close()
""",
    "goes on after an error": """
loop = impl.new_loop()
loop.set_exception_handler(lambda loop, c: print(c["message"].split(" at ")[0], c["exception"]))
def broken():
    raise LookupError("in the handler")
loop.add_signal_handler(signal.SIGUSR1, broken)
for _ in range(2):
    kill()
    turns(loop)
loop.close()
""",
    "runs in the context of add_signal_handler": """
import contextvars
variable = contextvars.ContextVar("variable", default="outside")
loop = impl.new_loop()
async def main():
    variable.set("inside")
    loop.add_signal_handler(signal.SIGUSR1, lambda: print(variable.get()))
loop.run_until_complete(main())
kill()
turns(loop)
loop.close()
""",
    "removes": """
loop = impl.new_loop()
print(loop.remove_signal_handler(signal.SIGUSR1))
loop.add_signal_handler(signal.SIGUSR1, print)
loop.add_signal_handler(signal.SIGINT, print)
print(loop.remove_signal_handler(signal.SIGUSR1), signal.getsignal(signal.SIGUSR1))
print(loop.remove_signal_handler(signal.SIGINT))
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(loop.remove_signal_handler(signal.SIGINT), wakeup_fd())
loop.close()
""",
    "gives everything back when closed": """
loop = impl.new_loop()
loop.add_signal_handler(signal.SIGUSR1, print)
loop.add_signal_handler(signal.SIGINT, print)
print(wakeup_fd() != -1)
turns(loop)
print(wakeup_fd() != -1)
loop.close()
print(signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGINT).__name__, wakeup_fd())
""",
    "gives back what was added and removed in a run": """
loop = impl.new_loop()
async def main():
    loop.add_signal_handler(signal.SIGUSR1, print)
    print(loop.remove_signal_handler(signal.SIGUSR1))
loop.run_until_complete(main())
loop.add_signal_handler(signal.SIGUSR1, print)
async def remove():
    print(loop.remove_signal_handler(signal.SIGUSR1))
loop.run_until_complete(remove())
loop.close()
print(wakeup_fd())
""",
    "refuses another thread": """
loop = impl.new_loop()
thread = threading.Thread(target=attempt, args=(loop.add_signal_handler, signal.SIGUSR1, print))
thread.start()
thread.join()
loop.close()
""",
    "is closed": """
loop = impl.new_loop()
loop.close()
attempt(loop.add_signal_handler, signal.SIGUSR1, print)
attempt(loop.remove_signal_handler, signal.SIGUSR1)
""",
    "wins over the runner's SIGINT": """
async def main():
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    kill(signal.SIGINT)
    await stopped.wait()
    return "own handler"
with asyncio.Runner(loop_factory=impl.new_loop) as runner:
    print(runner.run(main()))
print(signal.getsignal(signal.SIGINT).__name__)
""",
    "KeyboardInterrupt leaves a loop without a runner": """
loop = impl.new_loop()
loop.call_soon(kill, signal.SIGINT)
loop.call_later(30, print, "slept")
attempt(loop.run_forever)
print(loop.is_running(), loop.run_until_complete(asyncio.sleep(0, "usable")))
loop.close()
""",
    "a Python handler runs while the loop sleeps": """
loop = impl.new_loop()
signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(loop.stop))
signal.setitimer(signal.ITIMER_REAL, 0.05)
loop.call_later(30, print, "slept")
loop.run_forever()
print("woken", wakeup_fd())
loop.close()
""",
    "an error of a Python handler leaves the loop": """
loop = impl.new_loop()
def handler(*_):
    raise LookupError("from the handler")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.05)
loop.call_later(30, print, "slept")
attempt(loop.run_forever)
loop.close()
""",
}


@pytest.mark.parametrize("name", BOTH)
def test_as_stock_asyncio(name: str) -> None:
    ours = check_script(PRELUDE + BOTH[name], impl="bucle")
    assert ours == check_script(PRELUDE + BOTH[name], impl="stock")
    assert ours


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    "arguments",
    [
        ("SIGUSR1", print),
        (0, print),
        (-1, print),
        (1000, print),
        (1.5, print),
        (signal.SIGKILL, print),
        (signal.SIGSTOP, print),
        (signal.SIGUSR1, coroutine),
    ],
    ids=["text", "zero", "negative", "high", "float", "KILL", "STOP", "coroutine"],
)
def test_bad_arguments_are_refused_as_by_stock_asyncio(arguments: tuple[Any, ...]) -> None:
    import bucle

    ours, stock = bucle.Loop(), asyncio.SelectorEventLoop()
    try:
        assert outcome(ours.add_signal_handler, *arguments) == outcome(
            stock.add_signal_handler, *arguments
        )
        assert outcome(ours.remove_signal_handler, arguments[0]) == outcome(
            stock.remove_signal_handler, arguments[0]
        )
        assert not ours._signal_handlers
    finally:
        ours.close()
        stock.close()


def test_a_stopped_loop_gets_its_signal_though_another_ran() -> None:
    # Stock asyncio gives a signal to the loop that set the wake-up descriptor last.
    source = (
        PRELUDE
        + """
first, second = impl.new_loop(), impl.new_loop()
got = []
first.add_signal_handler(signal.SIGUSR1, got.append, "first")
second.add_signal_handler(signal.SIGUSR2, got.append, "second")
kill()
turns(second)
print(got)
turns(first)
print(got)
kill(signal.SIGUSR2)
turns(first)
turns(second)
print(got)
first.close()
kill(signal.SIGUSR2)
turns(second)
print(got)
second.close()
"""
    )
    assert check_script(source).splitlines() == [
        "[]",
        "['first']",
        "['first', 'second']",
        "['first', 'second', 'second']",
    ]


def test_a_dropped_loop_does_not_live_on_by_its_handlers() -> None:
    source = (
        PRELUDE
        + """
import warnings, weakref
warnings.simplefilter("ignore")
loop = impl.new_loop()
loop.add_signal_handler(signal.SIGUSR1, print, "never")
dropped = weakref.ref(loop)
del loop
gc.collect()
print(dropped())
other = impl.new_loop()
kill() if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL else None
turns(other)
other.close()
"""
    )
    assert check_script(source) == "None\n"


def test_a_forked_child_does_not_take_the_parents_signals() -> None:
    source = (
        PRELUDE
        + """
loop = impl.new_loop()
got = []
loop.add_signal_handler(signal.SIGUSR1, got.append, "parent")
turns(loop)
child = os.fork()
if child == 0:
    mine = impl.new_loop()
    theirs = []
    mine.add_signal_handler(signal.SIGUSR1, theirs.append, "child")
    kill()
    turns(mine)
    os._exit(0 if theirs == ["child"] and not got else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
turns(loop)
print(got)
kill()
turns(loop)
print(got)
loop.close()
"""
    )
    assert check_script(source) == "0\n[]\n['parent']\n"


def test_a_strangers_wakeup_descriptor_comes_back_after_a_run() -> None:
    source = (
        PRELUDE
        + """
import socket
one, other = socket.socketpair()
one.setblocking(False)
signal.set_wakeup_fd(one.fileno())
loop = impl.new_loop()
turns(loop)
print(wakeup_fd() == one.fileno())
loop.close()
print(wakeup_fd() == one.fileno())
signal.set_wakeup_fd(-1)
one.close()
other.close()
"""
    )
    assert check_script(source) == "True\nTrue\n"

"""Every keyword of `subprocess.Popen` reaches the child, or is refused with asyncio's words."""

from __future__ import annotations

import asyncio
import fcntl
import inspect
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.net.peers import Net, attempt, same_as_stock

from .children import DEVNULL, EARLY_POPEN, PIPE, STDOUT, execute, python, shell

if TYPE_CHECKING:
    from collections.abc import Callable

AS_ROOT = os.geteuid() == 0
STATUS = ("sh", "-c", "cat /proc/self/status")


async def output(*command: str, **keywords: Any) -> str:
    process = await execute(*command, stdout=PIPE, **keywords)
    out, _ = await process.communicate()
    assert process.returncode == 0
    text: str = out.decode()
    return text


async def status(line: str, **keywords: Any) -> list[str]:
    """A line of /proc/self/status of the child."""
    lines = (await output("cat", "/proc/self/status", **keywords)).splitlines()
    return next(each.split()[1:] for each in lines if each.startswith(f"{line}:"))


async def ids(what: str, **keywords: Any) -> list[int]:
    return [int(each) for each in (await output("id", what, **keywords)).split()]


async def executable() -> None:
    assert await output("me", "-c", "echo $0", executable="/bin/sh") == "me\n"


async def preexec_fn() -> None:
    assert await output("sh", "-c", "pwd", preexec_fn=lambda: os.chdir("/usr")) == "/usr\n"


async def close_fds() -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    look = ("sh", "-c", f"test -e /proc/self/fd/{write_end} && echo open || echo closed")
    assert await output(*look) == "closed\n"
    assert await output(*look, close_fds=True) == "closed\n"
    assert await output(*look, close_fds=False) == "open\n"
    os.close(read_end)
    os.close(write_end)


async def cwd() -> None:
    assert await output("pwd", cwd="/usr") == "/usr\n"


async def env() -> None:
    assert await output("/usr/bin/env", env={"ONE": "1"}) == "ONE=1\n"


async def restore_signals() -> None:
    pipe = 1 << (signal.SIGPIPE - 1)  # Python ignores it
    assert not int((await status("SigIgn"))[0], 16) & pipe
    assert int((await status("SigIgn", restore_signals=False))[0], 16) & pipe


async def start_new_session() -> None:
    show = ("sh", "-c", "echo $$ $(ps -o sid= -p $$)")
    own, session = (await output(*show, start_new_session=True)).split()
    assert own == session
    own, session = (await output(*show)).split()
    assert own != session == str(os.getsid(0))


async def process_group() -> None:
    show = ("sh", "-c", "echo $$ $(ps -o pgid= -p $$)")
    own, group = (await output(*show, process_group=0)).split()
    assert own == group
    own, group = (await output(*show)).split()
    assert own != group == str(os.getpgrp())


async def pass_fds() -> None:
    read_end, write_end = os.pipe()
    command = python(f"import os; os.write({write_end}, b'through')")
    assert await output(*command, pass_fds=(write_end,)) == ""
    os.close(write_end)
    assert os.read(read_end, 100) == b"through"
    os.close(read_end)


async def umask() -> None:
    assert await output("sh", "-c", "umask", umask=0o123) == "0123\n"


async def pipesize() -> None:
    process = await execute("cat", stdin=PIPE, stdout=PIPE, pipesize=4096)
    for end in (process.stdin.transport, process._transport.get_pipe_transport(1)):
        file = end.get_extra_info("pipe")
        assert fcntl.fcntl(file, fcntl.F_GETPIPE_SZ) == 4096
    assert await process.communicate(b"x" * 100_000) == (b"x" * 100_000, None)


async def user() -> None:
    assert await ids("-u", user=12345) == [12345]


async def group() -> None:
    assert await ids("-g", group=12345) == [12345]


async def extra_groups() -> None:
    assert set(await ids("-G", extra_groups=[12345, 12346])) >= {12345, 12346}


async def startupinfo() -> None:
    assert await output("echo", startupinfo=None) == "\n"


async def creationflags() -> None:
    assert await output("echo", creationflags=0) == "\n"


async def stdin() -> None:
    assert await output("cat", stdin=DEVNULL) == ""
    with open("/proc/version", "rb") as file:
        assert (await output("cat", stdin=file)).startswith("Linux")
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        assert (await output("cat", stdin=file.fileno())).startswith("Linux")


async def stdout() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reading:
        with os.fdopen(write_end, "wb") as file:
            for target in (file, file.fileno()):
                assert await (await execute("echo", "there", stdout=target)).wait() == 0
        assert reading.read() == b"there\n" * 2
    process = await execute("echo", stdout=DEVNULL)
    assert process.stdout is None
    assert await process.wait() == 0


async def stderr() -> None:
    assert await output("sh", "-c", "echo one; echo two >&2", stderr=STDOUT) == "one\ntwo\n"
    process = await shell("echo one; echo two >&2", stdout=PIPE, stderr=PIPE)
    assert await process.communicate() == (b"one\n", b"two\n")


async def bufsize() -> None:
    assert await output("echo", bufsize=0) == "\n"


async def shell_keyword() -> None:
    process = await asyncio.create_subprocess_shell("echo $0", stdout=PIPE, shell=True)
    assert await process.communicate() == (b"/bin/sh\n", None)


# A keyword that only root may use is tried as far as that goes.
ROOT_ONLY = {"user": user, "group": group, "extra_groups": extra_groups}
TAKEN: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        *(executable, preexec_fn, close_fds, cwd, env, restore_signals, start_new_session),
        *(process_group, pass_fds, umask, pipesize, startupinfo, creationflags),
        *(stdin, stdout, stderr, bufsize),
    )
} | {"shell": shell_keyword, **(ROOT_ONLY if AS_ROOT else {})}
REFUSED: dict[str, Any] = {
    "text": True,
    "universal_newlines": True,
    "encoding": "utf-8",
    "errors": "strict",
}


@pytest.mark.parametrize("name", TAKEN)
async def test_it_reaches_the_child(net: Net, name: str) -> None:
    await TAKEN[name]()


@pytest.mark.parametrize("method", ["exec", "shell"])
@pytest.mark.parametrize("name", REFUSED)
def test_text_is_refused(net: Net, method: str, name: str) -> None:
    async def scenario(loop: Any) -> Any:
        start = {"exec": loop.subprocess_exec, "shell": loop.subprocess_shell}[method]
        return await attempt(
            start(asyncio.SubprocessProtocol, "true", **{name: REFUSED[name]})
        ), await attempt({"exec": execute, "shell": shell}[method]("true", **{name: REFUSED[name]}))

    low, high = same_as_stock(net, scenario)
    assert low[0] == high[0] == "ValueError"


def test_no_keyword_is_forgotten() -> None:
    wanted = set(inspect.signature(subprocess.Popen).parameters) - {"self", "args"}
    assert wanted == set(TAKEN) | set(REFUSED) | set(ROOT_ONLY)


BAD: dict[str, tuple[Any, ...]] = {
    "missing program": ("/no/such/program",),
    "missing program on the path": ("no-such-program-at-all",),
    "a folder": ("/usr",),
    "no program": ("/proc/version",),
    "empty": ("",),
    "null byte": ("a\0b",),
    "number": (5,),
    "number as argument": ("true", 5),
    "nothing": (None,),
    "list": (["true"],),
}
BAD_KEYWORDS: dict[str, dict[str, Any]] = {
    "cwd": {"cwd": "/no/such/folder"},
    "cwd that is a file": {"cwd": "/proc/version"},
    "cwd that is a number": {"cwd": 5.5},
    "env": {"env": {"a=b": "c"}},
    "env of numbers": {"env": {"a": 1}},
    "bufsize": {"bufsize": 100},
    "shell": {"shell": True},
    "stdout": {"stdout": "file"},
    "stdin": {"stdin": -7},
    "stderr": {"stderr": object},
    "pass_fds": {"pass_fds": (-1,)},
    "preexec_fn": {"preexec_fn": 5},
    "preexec_fn that raises": {"preexec_fn": lambda: 1 / 0},
    "umask": {"umask": "x"},
    "user": {"user": "no-such-user-at-all"},
    "user below zero": {"user": -5},
    "group": {"group": 1.5},
    "extra_groups": {"extra_groups": "x"},
    "process_group": {"process_group": "x"},
    "unknown": {"colour": "red"},
    "startupinfo": {"startupinfo": 5},
    "creationflags": {"creationflags": 5},
}


@EARLY_POPEN
@pytest.mark.parametrize("what", [*BAD, *BAD_KEYWORDS])
def test_bad_input_is_refused_as_by_asyncio(net: Net, what: str) -> None:
    command = BAD.get(what, ("true",))
    keywords = {"stdin": PIPE, "stdout": PIPE, **BAD_KEYWORDS.get(what, {})}

    async def scenario(loop: Any) -> Any:
        said = await attempt(execute(*command, **keywords))
        return [part.replace("bucle.", "") for part in said]

    assert same_as_stock(net, scenario)


@pytest.mark.parametrize("command", [5, None, ["true"], b"exit 3", "exit 4", ""])
def test_what_a_shell_is_given(net: Net, command: Any) -> None:
    async def scenario(loop: Any) -> Any:
        async def run() -> int:
            code: int = await (await shell(command)).wait()
            return code

        return await attempt(run())

    same_as_stock(net, scenario)


@pytest.mark.parametrize("number", [0, 99, -1, 1 << 40, "TERM", None, 1.5, signal.SIGCONT])
def test_signal_numbers(net: Net, number: Any) -> None:
    async def scenario(loop: Any) -> Any:
        process = await execute("cat", stdin=PIPE)

        async def send() -> Any:
            return process.send_signal(number)

        said = await attempt(send())
        process.stdin.close()
        return said, await process.wait(), await attempt(send())

    assert same_as_stock(net, scenario)


def test_the_child_sees_what_asyncios_sees(net: Net) -> None:
    """Signal masks, ignored signals, descriptors, limits and priority."""
    source = (
        "import os\n"
        "fds = sorted(os.listdir('/proc/self/fd'))\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "print(fds, [line for line in lines if line[:4] in ('SigB', 'SigC', 'SigI')])\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))\n"
    )

    async def scenario(loop: Any) -> str:
        loop.add_signal_handler(signal.SIGUSR1, print)
        seen = ""
        for close_fds in (False, True):
            seen += await output(*python(source), close_fds=close_fds)
            seen += await output(*python(source), close_fds=close_fds, preexec_fn=os.getpid)
        loop.remove_signal_handler(signal.SIGUSR1)
        return seen

    assert same_as_stock(net, scenario)


async def test_stdio_stays_blocking_for_the_child(net: Net) -> None:
    source = "import os; print([os.get_blocking(fd) for fd in (0, 1, 2)])"
    process = await execute(*python(source), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert await process.communicate() == (b"[True, True, True]\n", b"")


async def test_no_fork_with_the_interpreters_hooks(net: Net) -> None:
    """The quick way: hooks of os.register_at_fork() run only where preexec_fn needs a fork."""
    forks: list[str] = []
    armed = True
    os.register_at_fork(before=lambda: forks.append("fork") if armed else None)
    try:
        await (await execute("true")).wait()
        assert not forks
        await (await execute("true", preexec_fn=os.getpid)).wait()
        assert forks == ["fork"]
    finally:
        armed = False

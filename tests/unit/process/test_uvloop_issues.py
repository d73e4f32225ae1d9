"""What uvloop's issues taught about subprocesses and signals, a test named after each.

asyncio passes nearly all of them: they are about what every loop must hold.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import Any

import pytest

from tests.support import check_script
from tests.unit.net.peers import Net, descriptors, until

from .children import PIPE, Witness, children, execute, python, shell, sleeping


async def test_uvloop_118_preexec_fn_does_not_stop_the_loop(net: Net) -> None:
    """The start waits for exec, as subprocess does, and for nothing else."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    process = await execute("sleep", "1000", preexec_fn=os.getpid)
    seen = ticks
    await until(lambda: ticks > seen + 5)
    assert process.returncode is None
    ticking.cancel()
    process.kill()
    await process.wait()


@pytest.mark.skipif(not hasattr(asyncio, "get_child_watcher"), reason="watchers are gone")
def test_uvloop_64_get_child_watcher_attach_loop() -> None:
    """Programs of old attach the watcher to their loop: that must work and do no harm."""
    source = """
import asyncio, warnings
warnings.simplefilter("ignore")
loop = impl.new_loop()
asyncio.set_event_loop(loop)
asyncio.get_child_watcher().attach_loop(loop)
async def main():
    process = await asyncio.create_subprocess_exec("sh", "-c", "exit 3")
    print(await process.wait())
loop.run_until_complete(main())
asyncio.get_child_watcher().attach_loop(None)
loop.close()
"""
    assert check_script(source) == check_script(source, impl="stock") == "3\n"


async def test_uvloop_93_many_that_write_a_megabyte(net: Net) -> None:
    net.loop.set_debug(True)
    net.loop.slow_callback_duration = 60

    async def one() -> int:
        process = await shell("head -c 1000000 /dev/urandom", stdout=PIPE)
        out, _ = await process.communicate()
        return len(out)

    assert await asyncio.gather(*[one() for _ in range(50)]) == [1_000_000] * 50


async def test_uvloop_128_connection_lost_after_close(net: Net) -> None:
    transport, witness = await net.loop.subprocess_exec(Witness, "cat")
    pid = transport.get_pid()
    transport.close()
    await until(lambda: witness.lost)
    assert sorted(witness.calls) == ["end of 0", "end of 1", "end of 2", "exited", "lost", "made"]
    assert witness.calls[-1] == "lost"
    assert pid not in children()


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_uvloop_136_sys_stdout(impl: Any, name: str) -> None:
    out = check_script(
        f"""
        import asyncio, os, sys
        sys.stderr = os.fdopen(os.dup(1), "w")
        async def main():
            process = await asyncio.create_subprocess_exec("echo", "there", {name}=sys.{name})
            await process.communicate()
        with asyncio.Runner(loop_factory=impl.new_loop) as runner:
            runner.run(main())
        """,
        impl=impl.name,
    )
    assert out == "there\n"


async def test_uvloop_185_187_failed_starts_leak_nothing(net: Net) -> None:
    before: dict[int, str] = {}
    for attempt in range(300):
        with pytest.raises(FileNotFoundError):
            await execute("/no/such/program", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        if attempt == 20:
            before = descriptors()
    assert len(descriptors()) <= len(before)


@pytest.mark.parametrize("lines", [8188, 8193, 65_537])
async def test_uvloop_312_363_all_is_written_to_stdin(net: Net, lines: int) -> None:
    process = await execute("cat", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    data = b"x" * lines
    assert await process.communicate(data) == (data, b"")
    process = await execute("wc", "-c", stdin=PIPE, stdout=PIPE)
    for _ in range(lines // 64):
        process.stdin.write(b"x" * 63 + b"\n")
    await process.stdin.drain()
    process.stdin.write_eof()
    assert int(await process.stdout.read()) == lines // 64 * 64
    await process.wait()


async def test_uvloop_317_a_full_pipe_is_waited_for(net: Net) -> None:
    process = await sleeping(stdin=PIPE)

    async def feed() -> None:
        while True:
            process.stdin.write(b"x" * 32768)
            await process.stdin.drain()

    feeding = asyncio.ensure_future(feed())
    await until(process.stdin.transport.get_write_buffer_size)
    process.kill()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        await feeding
    await process.wait()


async def test_uvloop_409_sigchld_is_the_programs(net: Net) -> None:
    """A handler of SIGCHLD is called for each child or some at once, and children are awaited."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are for the main thread")
    seen = 0

    def note() -> None:
        nonlocal seen
        seen += 1

    net.loop.add_signal_handler(signal.SIGCHLD, note)
    try:
        for code in range(5):
            before = seen
            assert await (await shell(f"exit {code}")).wait() == code
            await until(lambda before=before: seen > before)
    finally:
        assert net.loop.remove_signal_handler(signal.SIGCHLD)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    last = seen
    await (await shell("exit 1")).wait()
    assert seen == last


async def test_uvloop_505_stdio_are_pipes(net: Net) -> None:
    source = "import os, stat; print([stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (0, 1, 2)])"
    process = await execute(*python(source), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert await process.communicate() == (b"[True, True, True]\n", b"")
    process = await shell("echo opened > /proc/self/fd/1", stdout=PIPE)
    assert await process.communicate() == (b"opened\n", None)


async def test_uvloop_532_dev_stdin(net: Net) -> None:
    process = await execute("cat", "/dev/stdin", stdin=PIPE, stdout=PIPE)
    assert await process.communicate(b"test") == (b"test", None)


async def test_uvloop_595_the_popen_is_there(net: Net) -> None:
    process = await execute("true")
    assert process._transport.get_extra_info("subprocess").pid == process.pid
    await process.wait()


def test_uvloop_508_threads_spawn_at_once(net: Net) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        async def main() -> None:
            processes = [await execute("true") for _ in range(30)]
            assert [await process.wait() for process in processes] == [0] * 30

        loop = net.impl.new_loop()
        try:
            loop.run_until_complete(main())
        except BaseException as error:
            failures.append(error)
        finally:
            loop.close()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


async def test_uvloop_618_user_group_and_the_rest(net: Net) -> None:
    """Each has a test of its own in test_keywords.py; here none is refused."""
    process = await execute(
        *("sh", "-c", "id -u; umask"),
        stdout=PIPE,
        umask=0o27,
        process_group=0,
        pipesize=4096,
        **({"user": os.getuid(), "group": os.getgid()} if os.geteuid() == 0 else {}),
    )
    assert await process.communicate() == (f"{os.getuid()}\n0027\n".encode(), None)


def test_uvloop_94_a_handler_that_raises(impl: Any) -> None:
    """signal.signal(), and the handler raises while the loop polls: that leaves the run."""
    out = check_script(
        """
        import asyncio, os, signal, threading
        class Out(Exception):
            pass
        def handler(*_):
            raise Out
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGALRM, handler)
        loop = impl.new_loop()
        for number in (signal.SIGINT, signal.SIGALRM):
            timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
            timer.start()
            try:
                loop.run_forever()
            except Out:
                print("out")
            timer.join()
        loop.close()
        """,
        impl=impl.name,
    )
    assert out == "out\nout\n"


def test_uvloop_295_335_ctrl_c_while_nothing_happens(impl: Any) -> None:
    """run_until_complete() first, then run_forever(): the interrupt reaches the program."""
    out = check_script(
        """
        import asyncio, os, signal, threading
        loop = impl.new_loop()
        async def start():
            return await asyncio.start_server(print, "127.0.0.1", 0)
        server = loop.run_until_complete(start())
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            loop.run_forever()
        except KeyboardInterrupt:
            print("interrupted")
            server.close()
            loop.run_until_complete(server.wait_closed())
        loop.close()
        """,
        impl=impl.name,
    )
    assert out == "interrupted\n"


def test_uvloop_54_ctrl_c_reaches_the_children_too(impl: Any) -> None:
    """A terminal sends SIGINT to the whole group: each process ends in its own way."""
    out = check_script(
        """
        import asyncio, os, signal, sys
        os.setpgid(0, 0)
        child = "import time; print('up', flush=True); time.sleep(1000)"
        async def main():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", "-c", child, stdout=-1, stderr=-1)
            await process.stdout.readline()
            os.killpg(0, signal.SIGINT)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                _, error = await process.communicate()
                print(b"KeyboardInterrupt" in error, process.returncode)
                raise
        try:
            with asyncio.Runner(loop_factory=impl.new_loop) as runner:
                runner.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """,
        impl=impl.name,
    )
    assert out == "True -2\ninterrupted\n"

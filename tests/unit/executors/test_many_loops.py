"""Many loops: one a thread, one a process, and what a fork inside a running loop leaves alone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import Implementation, check_script, collect

FORK = ("-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning")
METHODS = ("fork", "forkserver", "spawn")


class Threaded:
    """A loop that runs in a thread of its own until the block ends."""

    def __init__(self, impl: Implementation) -> None:
        self.loop = impl.new_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self) -> Threaded:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def test_a_ring_of_loops(impl: Implementation) -> None:
    """A number goes round through eight threads, each hop a coroutine of the next one's loop."""
    ring = [Threaded(impl) for _ in range(8)]
    for one in ring:
        one.__enter__()

    async def hop(number: int) -> int:
        assert asyncio.get_running_loop() is ring[number % 8].loop
        if number == 200:
            return number
        following = asyncio.run_coroutine_threadsafe(hop(number + 1), ring[(number + 1) % 8].loop)
        return await asyncio.wrap_future(following)

    try:
        first = impl.api.run_coroutine_threadsafe(hop(0), ring[0].loop)
        assert first.result(30) == 200
    finally:
        for one in ring:
            one.__exit__()
    collect()


def test_loops_share_an_executor(impl: Implementation) -> None:
    async def use(executor: ThreadPoolExecutor, name: int) -> list[tuple[int, int]]:
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(executor, lambda n=n: (name, n)) for n in range(200)]
        return await asyncio.gather(*futures)

    found: dict[int, Any] = {}

    def run(executor: ThreadPoolExecutor, name: int) -> None:
        loop = impl.new_loop()
        try:
            found[name] = loop.run_until_complete(use(executor, name))
        finally:
            loop.close()

    with ThreadPoolExecutor(3) as executor:
        threads = [threading.Thread(target=run, args=(executor, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {name: [(name, n) for n in range(200)] for name in range(4)}


def test_loops_one_after_another_in_a_thread(impl: Implementation) -> None:
    def run() -> list[int]:
        found = []
        for number in range(20):
            loop = impl.new_loop()
            found.append(loop.run_until_complete(asyncio.sleep(0.0001, number)))
            loop.close()
        return found

    with ThreadPoolExecutor(4) as executor:
        assert [future.result() for future in [executor.submit(run) for _ in range(4)]] == [
            list(range(20))
        ] * 4


SERVER = """
    import asyncio, gc, multiprocessing, os, socket, sys
    from tests.unit.executors import work

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async def ask(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\\n")
        said = await reader.read()
        writer.close()
        await writer.wait_closed()
        return said

    async def until_ended(child):
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            await asyncio.sleep(0.001)

    def run(main):
        loop = impl.new_loop()
        try:
            loop.run_until_complete(main())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
"""


def check(source: str, impl: Implementation, *arguments: str) -> str:
    return check_script(
        "if __name__ == '__main__':\n" + SERVER + source,
        *arguments,
        impl=impl.name,
        options=FORK,
        timeout=60,
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_process_that_a_task_starts(impl: Implementation, method: str) -> None:
    """The parent serves meanwhile; the child runs loops of its own."""
    out = check(
        """
    def child(channel, name):
        channel.send(work.run_loops(name, 1))

    async def main():
        context = multiprocessing.get_context(sys.argv[1])
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for _ in range(2):
            ours, theirs = context.Pipe()
            if sys.argv[1] == "fork":
                process = context.Process(target=child, args=(theirs, impl.name))
            else:
                process = context.Process(target=work.send_loops, args=(theirs, impl.name))
            process.start()
            theirs.close()
            ready = asyncio.Event()
            asyncio.get_running_loop().add_reader(ours.fileno(), ready.set)
            print(await ask(port))
            await asyncio.wait_for(ready.wait(), 30)
            asyncio.get_running_loop().remove_reader(ours.fileno())
            print(ours.recv())
            await asyncio.to_thread(process.join)
            print(await ask(port), process.exitcode)
        server.close()
        await server.wait_closed()
    run(main)
    """,
        impl,
        method,
    )
    loops = [(True, number) for number in (2, 3, 4)]
    assert out == f"b'HELLO\\n'\n{loops}\nb'HELLO\\n' 0\n" * 2


def test_a_child_that_ends_all_it_inherited(impl: Implementation) -> None:
    """Transports, server and loop, closed or dropped in the child, live on in the parent."""
    if not impl.native:
        pytest.skip("a stock child shares its parent's epoll set, and takes out what it closes")
    out = check(
        """
    async def main():
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=left)
        got = []
        other, end = socket.socketpair()
        other.setblocking(False)
        loop.add_reader(other, lambda: got.append(other.recv(10)))
        for way in ("abort", "close", "remove", "drop"):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    if way == "abort":
                        writer.transport.abort()
                    elif way == "close":
                        writer.close()
                        server.close()
                    elif way == "remove":
                        loop.remove_reader(other)
                        loop.add_reader(end, print)
                        loop.add_writer(other, print)
                    else:
                        del server, reader, writer
                        gc.collect()
                    fresh = impl.new_loop()
                    status = fresh.run_until_complete(asyncio.sleep(0.001, 7))
                    fresh.close()
                finally:
                    os._exit(status)
            print(way, await until_ended(child))
            right.send(b"to the stream\\n")
            end.send(b"x")
            print(await asyncio.wait_for(reader.readline(), 5), await ask(port), got)
        loop.remove_reader(other)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
    run(main)
    """,
        impl,
    )
    lines = out.splitlines()
    for number, way in enumerate(("abort", "close", "remove", "drop"), 1):
        assert lines[2 * number - 2] == f"{way} 7"
        assert lines[2 * number - 1] == f"{b'to the stream' + bytes([10])!r} b'HELLO\\n' " + repr(
            [b"x"] * number
        )


def test_a_fork_in_a_thread_beside_a_running_loop(impl: Implementation) -> None:
    """The main thread's loop may be in its poll, in libuv or in a callback."""
    out = check(
        """
    import threading
    statuses = []

    def fork_some():
        for number in range(20):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = work.run_loop(impl.name, number)[1]
                finally:
                    os._exit(status)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=fork_some)
        thread.start()
        answers = set()
        while thread.is_alive():
            answers.add(await asyncio.wait_for(ask(port), 20))
        thread.join()
        print(answers, statuses)
        server.close()
        await server.wait_closed()
    run(main)
    """,
        impl,
    )
    assert out == f"{{b'HELLO\\n'}} {list(range(1, 21))}\n"


def test_wake_ups_go_to_the_process_that_they_are_meant_for(impl: Implementation) -> None:
    """A child's threads wake the child's loop, the parent's wake the parent's."""
    if not impl.native:
        pytest.skip("a stock child shares its parent's self-pipe")
    out = check(
        """
    import threading

    async def told(value):
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        timer = threading.Timer(0.01, loop.call_soon_threadsafe, (future.set_result, value))
        timer.start()
        found = await asyncio.wait_for(future, 10)
        timer.join()
        return found

    loop = impl.new_loop()
    print(loop.run_until_complete(told("before")))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = sum(loop.run_until_complete(told(n)) for n in range(5))
            loop.close()
        finally:
            os._exit(status)
    print([loop.run_until_complete(told(n)) for n in range(5)])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(loop.run_until_complete(told("after")))
    loop.close()
    """,
        impl,
    )
    assert out == "before\n[0, 1, 2, 3, 4]\n10\nafter\n"


def test_generations_of_children(impl: Implementation) -> None:
    """Each child forks the next from inside its own running loop."""
    out = check(
        """
    def generation(left):
        async def main():
            if asyncio.get_running_loop() is not loop:
                return 100
            await asyncio.sleep(0.001)
            if left == 0:
                return 1
            child = os.fork()
            if child == 0:
                status = 100
                try:
                    status = generation(left - 1)
                finally:
                    os._exit(status)
            return 1 + await until_ended(child)
        loop = impl.new_loop()
        try:
            return loop.run_until_complete(main())
        finally:
            loop.close()
    print(generation(5))
    """,
        impl,
    )
    assert out == "6\n"


def test_a_child_of_an_installed_program() -> None:
    out = check_script(
        """
        import asyncio, bucle, os
        bucle.install()

        async def answer():
            await asyncio.sleep(0.001)
            return 7 if type(asyncio.get_running_loop()) is bucle.Loop else 1

        async def main():
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = asyncio.run(answer())
                finally:
                    os._exit(status)
            return os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, child, 0))[1])

        print(asyncio.run(main()))
        """,
        options=FORK,
        timeout=30,
    )
    assert out == "7\n"

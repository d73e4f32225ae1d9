"""The ends of things: fork, exit of the interpreter with work pending, threads, sub-interpreters.

Each case is a script of its own; it must end with status 0 and say on stderr what stock says.
"""

from __future__ import annotations

import sys

import pytest

from tests.support import Implementation, check_script, run_script

PENDING = {
    "tasks and timers": """
        import asyncio
        async def wait():
            await asyncio.sleep(1000)
        loop = impl.new_loop()
        loop.set_exception_handler(lambda *_: None)
        tasks = [loop.create_task(wait()) for _ in range(100)]
        loop.call_later(5, int)
        loop.call_soon_threadsafe(int)
        loop.call_soon(loop.stop)
        loop.run_forever()
        print("end")
        """,
    "a task that was never stepped": """
        import asyncio
        loop = impl.new_loop()
        loop.set_exception_handler(lambda *_: None)
        task = loop.create_task(asyncio.sleep(0))
        print("end")
        """,
    "readers": """
        import socket
        loop = impl.new_loop()
        pair = socket.socketpair()
        loop.add_reader(pair[0], print)
        loop.call_soon(loop.stop)
        loop.run_forever()
        print("end")
        """,
    "a loop in a module global of a cycle": """
        import asyncio
        class Keeper:
            def __del__(self):
                self.loop.call_soon(print)
        keeper = Keeper()
        keeper.loop = impl.new_loop()
        keeper.me = keeper
        print("end")
        """,
    "futures with callbacks": """
        loop = impl.new_loop()
        future = impl.Future(loop=loop)
        future.add_done_callback(print)
        future.set_result(1)
        failed = impl.Future(loop=loop)
        failed.add_done_callback(print)
        print("end")
        """,
    "an executor": """
        import asyncio, time
        loop = impl.new_loop()
        loop.run_in_executor(None, time.sleep, 0.01)
        loop.call_soon(loop.stop)
        loop.run_forever()
        print("end")
        """,
    "a daemon thread that runs a loop": """
        import asyncio, threading
        started = threading.Event()
        def run():
            loop = impl.new_loop()
            loop.call_soon(started.set)
            loop.run_forever()
        threading.Thread(target=run, daemon=True).start()
        started.wait()
        print("end")
        """,
    "a daemon thread that keeps its loop busy": """
        import asyncio, threading
        started = threading.Event()
        def run():
            loop = impl.new_loop()
            def spin():
                started.set()
                loop.call_soon(spin)
            loop.call_soon(spin)
            loop.run_forever()
        threading.Thread(target=run, daemon=True).start()
        started.wait()
        print("end")
        """,
    "exit inside a callback": """
        import sys
        loop = impl.new_loop()
        loop.call_soon(lambda: (print("end"), sys.stdout.flush(), sys.exit(0)))
        loop.run_forever()
        """,
    "a running async generator": """
        import asyncio
        async def generator():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
        async def main():
            global kept
            kept = generator()
            await kept.__anext__()
        loop = impl.new_loop()
        loop.run_until_complete(main())
        print("end")
        """,
}


@pytest.mark.parametrize("case", PENDING)
def test_exit_with_work_pending(impl: Implementation, case: str) -> None:
    options = ("-W", "ignore::ResourceWarning", "-W", "ignore::RuntimeWarning")
    done = run_script(PENDING[case], impl=impl.name, options=options, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "end\n"
    assert "Fatal" not in done.stderr
    assert "Segmentation" not in done.stderr


@pytest.mark.parametrize("case", sorted(set(PENDING) - {"an executor", "exit inside a callback"}))
def test_the_same_under_the_debug_allocator(impl: Implementation, case: str) -> None:
    done = run_script(
        PENDING[case],
        impl=impl.name,
        options=("-X", "dev", "-W", "ignore"),
        env={"PYTHONMALLOC": "debug"},
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "end\n"


FORK_OPTIONS = ("-W", "ignore::DeprecationWarning", "-W", "ignore::ResourceWarning")


def test_trap_25_a_forked_child_has_no_running_loop(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, os

        async def main():
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    if asyncio._get_running_loop() is None:
                        loop = impl.new_loop()
                        status = loop.run_until_complete(asyncio.sleep(0.001, 42))
                        loop.close()
                finally:
                    os._exit(status)
            _, status = os.waitpid(child, 0)
            await asyncio.sleep(0.001)
            return os.waitstatus_to_exitcode(status)

        loop = impl.new_loop()
        print(loop.run_until_complete(main()))
        loop.close()
        """,
        impl=impl.name,
        options=FORK_OPTIONS,
        timeout=20,
    )
    assert out == "42\n"


def test_trap_25_the_parents_loop_is_untouched_by_its_child(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, os, socket, threading
        loop = impl.new_loop()
        left, right = socket.socketpair()
        seen = []
        loop.add_reader(left, lambda: (seen.append(left.recv(10)), loop.stop()))
        loop.call_soon(loop.stop)
        loop.run_forever()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                loop.close()
                os._exit(0)
            os.waitpid(child, 0)
            threading.Thread(target=loop.call_soon_threadsafe, args=(right.send, b"x")).start()
            loop.run_forever()
        loop.remove_reader(left)
        loop.close()
        print(seen)
        """,
        impl=impl.name,
        options=FORK_OPTIONS,
        timeout=20,
    )
    assert out == f"{[b'x'] * 5}\n"


def test_trap_25_a_stopped_loop_can_be_used_in_the_child(impl: Implementation) -> None:
    if not impl.native:
        pytest.skip("a stock child shares its parent's epoll set and self-pipe")
    out = check_script(
        """
        import asyncio, os, threading
        loop = impl.new_loop()
        loop.run_until_complete(asyncio.sleep(0.001))
        child = os.fork()
        if child == 0:
            timer = threading.Timer(0.01, loop.call_soon_threadsafe, (int,))
            timer.start()
            value = loop.run_until_complete(asyncio.sleep(0.02, 7))
            timer.join()
            os._exit(value)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status))
        print(loop.run_until_complete(asyncio.sleep(0, "parent")))
        loop.close()
        """,
        options=FORK_OPTIONS,
        timeout=20,
    )
    assert out == "7\nparent\n"


def test_multiprocessing_by_fork_and_spawn(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, multiprocessing

        async def main(loop):
            import concurrent.futures
            context = multiprocessing.get_context("fork")
            with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
                return await asyncio.gather(*(loop.run_in_executor(pool, abs, -n)
                                              for n in range(5)))

        loop = impl.new_loop()
        print(loop.run_until_complete(main(loop)))
        loop.close()
        """,
        impl=impl.name,
        options=FORK_OPTIONS,
        timeout=60,
    )
    assert out == "[0, 1, 2, 3, 4]\n"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters came with 3.14")
def test_trap_26_another_interpreter_can_import_the_package(impl: Implementation) -> None:
    if not impl.native:
        pytest.skip("about the package")
    out = check_script(
        """
        import asyncio, bucle
        from concurrent import interpreters
        other = interpreters.create()
        other.exec("import asyncio, bucle; assert bucle.run(asyncio.sleep(0, 5)) == 5")
        other.close()
        print(bucle.run(asyncio.sleep(0, 6)))
        """,
        timeout=30,
    )
    assert out == "6\n"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the test above goes through more")
@pytest.mark.parametrize("first", ["main", "other"])
def test_trap_26_another_interpreter_before_3_14(impl: Implementation, first: str) -> None:
    out = check_script(
        f"""
        import _testcapi, textwrap
        inside = '''
        import asyncio
        from tests.support import implementation
        try:
            loop = implementation({impl.name!r}).new_loop()
        except ImportError as error:
            print(error)
        else:
            print(loop.run_until_complete(asyncio.sleep(0, 5)))
            loop.close()
        '''
        assert _testcapi.run_in_subinterp(textwrap.dedent(inside)) == 0
        """,
        impl=impl.name if first == "main" else "stock",
        timeout=30,
    )
    if impl.native and sys.version_info < (3, 12):
        assert out == "bucle cannot be imported in a sub-interpreter before CPython 3.12\n"
    else:
        assert out == "5\n"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters came with 3.14")
def test_an_interpreter_that_finds_another_asyncio_is_refused(impl: Implementation) -> None:
    """Objects of the first one stand on what it found."""
    if not impl.native:
        pytest.skip("about the package")
    out = check_script(
        """
        import asyncio, bucle
        from concurrent import interpreters
        found = bucle._core.self_test()
        other = interpreters.create()
        try:
            other.exec('''if True:
                import _asyncio
                class Task(_asyncio.Task):
                    def cancelling(self):
                        return 0
                _asyncio.Task = Task
                import bucle''')
        except interpreters.ExecutionFailed as error:
            print("ImportError" in str(error))
        other.close()
        assert bucle._core.self_test() == found
        print(bucle.run(asyncio.sleep(0, 6)))
        """,
        timeout=30,
    )
    assert out == "True\n6\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="refused before")
def test_another_interpreter_leaves_the_types_of_the_first_alone(impl: Implementation) -> None:
    if not impl.native:
        pytest.skip("about the package")
    out = check_script(
        """
        import _testcapi, bucle
        queue = bucle.Queue()
        before = set(vars(queue))
        assert _testcapi.run_in_subinterp("import bucle; bucle.Queue()") == 0
        queue._loop = "its own"
        print(queue._loop, vars(queue).keys() - before)
        """,
        timeout=30,
    )
    assert out == "its own {'_loop'}\n"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="task lists of threads came with 3.14")
def test_trap_27_tasks_that_outlive_their_thread(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, gc, threading
        kept = []

        def work():
            loop = impl.new_loop()
            loop.set_exception_handler(lambda *_: None)
            kept.append((loop, loop.create_task(asyncio.sleep(1000))))
            loop.call_soon(loop.stop)
            loop.run_forever()

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for loop, task in kept:
            assert asyncio.all_tasks(loop) == {task}
            task.cancel()
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
            assert asyncio.all_tasks(loop) == set()
        del kept, loop, task
        gc.collect()
        print("ok")
        """,
        impl=impl.name,
    )
    assert out == "ok\n"


def test_trap_23_async_generator_hooks(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, gc, sys

        async def generator(name):
            try:
                while True:
                    yield name
            finally:
                await asyncio.sleep(0)
                print("closed", name)

        async def main():
            dropped = generator("dropped")
            await dropped.__anext__()
            del dropped
            gc.collect()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            kept = generator("kept")
            await kept.__anext__()
            return kept

        before = sys.get_asyncgen_hooks()
        loop = impl.new_loop()
        kept = loop.run_until_complete(main())
        assert sys.get_asyncgen_hooks() == before
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        """,
        impl=impl.name,
    )
    assert out == "closed dropped\nclosed kept\n"


def test_a_loop_left_open_in_a_finished_thread(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, gc, threading, weakref

        references = []

        def work():
            loop = impl.new_loop()
            loop.run_until_complete(asyncio.sleep(0))
            references.append(weakref.ref(loop))

        for _ in range(10):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        gc.collect()
        print(sum(reference() is not None for reference in references))
        """,
        impl=impl.name,
        options=("-W", "ignore::ResourceWarning"),
    )
    assert out == "0\n"

"""Signals, interrupts and wake-ups: what arrives while polling, while stopped, and out of handlers.

Each case is a script of its own, for signals are the process's.
"""

from __future__ import annotations

from tests.support import Implementation, check_script, run_script


def test_trap_24_a_handler_wakes_a_sleeping_loop(impl: Implementation) -> None:
    out = check_script(
        """
        import os, signal, threading
        loop = impl.new_loop()

        def on_signal(number):
            print("got", number)
            loop.stop()

        loop.add_signal_handler(signal.SIGUSR1, on_signal, 7)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        loop.run_forever()
        timer.join()
        print(loop.remove_signal_handler(signal.SIGUSR1))
        print(loop.remove_signal_handler(signal.SIGUSR1))
        loop.close()
        """,
        impl=impl.name,
    )
    assert out == "got 7\nTrue\nFalse\n"


def test_trap_24_a_signal_while_stopped_is_delivered_at_the_next_run(impl: Implementation) -> None:
    out = check_script(
        """
        import os, signal
        loop = impl.new_loop()
        loop.add_signal_handler(signal.SIGUSR1, lambda: (print("delivered"), loop.stop()))
        loop.call_soon(loop.stop)
        loop.run_forever()
        os.kill(os.getpid(), signal.SIGUSR1)
        print("stopped")
        loop.call_later(5, loop.stop)
        loop.run_forever()
        loop.close()
        """,
        impl=impl.name,
    )
    assert out == "stopped\ndelivered\n"


def test_trap_24_a_python_handler_runs_while_the_loop_sleeps(impl: Implementation) -> None:
    out = check_script(
        """
        import os, signal, threading
        loop = impl.new_loop()
        signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon_threadsafe(loop.stop))
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        loop.run_forever()
        timer.join()
        loop.close()
        print("woken")
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "woken\n"


def test_trap_24_a_python_handler_that_raises_leaves_run_forever(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, os, signal, threading

        class Out(BaseException):
            pass

        def handler(*_):
            raise Out

        loop = impl.new_loop()
        signal.signal(signal.SIGUSR1, handler)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            loop.run_forever()
        except Out:
            print("out", loop.is_running(), asyncio._get_running_loop())
        timer.join()
        print(loop.run_until_complete(asyncio.sleep(0, "usable")))
        loop.close()
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "out False None\nusable\n"


def test_a_python_handler_runs_while_the_loop_is_busy(impl: Implementation) -> None:
    out = check_script(
        """
        import os, signal, threading
        loop = impl.new_loop()
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))

        def spin():
            if seen:
                loop.stop()
            else:
                loop.call_soon(spin)

        loop.call_soon(spin)
        loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
        loop.run_forever()
        loop.close()
        print("seen")
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "seen\n"


def test_keyboard_interrupt_while_sleeping_and_while_busy(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, os, signal, threading
        loop = impl.new_loop()
        for busy in (False, True):
            def spin():
                loop.call_soon(spin)

            if busy:
                loop.call_soon(spin)
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            try:
                loop.run_forever()
            except KeyboardInterrupt:
                print("interrupted", loop.is_running())
            timer.join()
        loop.close()
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "interrupted False\n" * 2


def test_the_runner_turns_sigint_into_a_cancellation(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, os, signal, threading

        async def main():
            timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                print("cancelled")
                raise

        try:
            with asyncio.Runner(loop_factory=impl.new_loop) as runner:
                runner.run(main())
        except KeyboardInterrupt:
            print("interrupt")
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "cancelled\ninterrupt\n"


def test_a_second_sigint_ends_a_stubborn_main(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, os, signal

        async def main():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                print("first")
            os.kill(os.getpid(), signal.SIGINT)
            while True:
                await asyncio.sleep(0)

        try:
            with asyncio.Runner(loop_factory=impl.new_loop) as runner:
                runner.run(main())
        except KeyboardInterrupt:
            print("second")
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "first\nsecond\n"


def test_the_wakeup_descriptor_is_given_back(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, signal
        before = signal.set_wakeup_fd(-1)
        loop = impl.new_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.add_signal_handler(signal.SIGUSR1, print)
        loop.run_until_complete(asyncio.sleep(0))
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        print(before, signal.set_wakeup_fd(-1), signal.getsignal(signal.SIGUSR1).name)
        """,
        impl=impl.name,
    )
    assert out == "-1 -1 SIG_DFL\n"


def test_handlers_are_for_the_main_thread(impl: Implementation) -> None:
    out = check_script(
        """
        import asyncio, signal, threading

        def work():
            loop = impl.new_loop()
            try:
                loop.add_signal_handler(signal.SIGUSR1, print)
            except (RuntimeError, ValueError) as error:
                print(type(error).__name__)
            print(loop.run_until_complete(asyncio.sleep(0.001, "runs all the same")))
            loop.close()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
        impl=impl.name,
    )
    assert out in ("RuntimeError\nruns all the same\n", "ValueError\nruns all the same\n")


def test_bad_signals_raise_what_stock_raises(impl: Implementation) -> None:
    script = """
        import signal
        loop = impl.new_loop()

        async def coroutine():
            pass

        for number, callback in ((signal.SIGKILL, print), (0, print), (10**6, print), (-1, print),
                                 ("TERM", print), (signal.SIGUSR1, coroutine),
                                 (signal.SIGUSR1, 5)):
            try:
                loop.add_signal_handler(number, callback)
                print("accepted")
                loop.remove_signal_handler(number)
            except Exception as error:
                print(type(error).__name__, str(error).split("<")[0])
        for number in (0, 10**6, "TERM", signal.SIGUSR2):
            try:
                print(loop.remove_signal_handler(number))
            except Exception as error:
                print(type(error).__name__, error)
        loop.close()
        """
    assert check_script(script, impl=impl.name) == check_script(script, impl="stock")


def test_many_signals_are_all_seen(impl: Implementation) -> None:
    out = check_script(
        """
        import os, signal
        loop = impl.new_loop()
        seen = []
        wanted = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGWINCH}

        def note(number):
            seen.append(number)
            if set(seen) == wanted:
                loop.stop()

        for number in wanted:
            loop.add_signal_handler(number, note, number)
        for _ in range(20):
            for number in wanted:
                loop.call_soon(os.kill, os.getpid(), number)
        loop.run_forever()
        for number in wanted:
            loop.remove_signal_handler(number)
        loop.close()
        print("all")
        """,
        impl=impl.name,
        timeout=20,
    )
    assert out == "all\n"


def test_the_loop_of_a_closed_handler_does_not_get_signals(impl: Implementation) -> None:
    done = run_script(
        """
        import os, signal
        loop = impl.new_loop()
        loop.add_signal_handler(signal.SIGUSR1, print, "never")
        loop.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        print("still alive")
        """,
        impl=impl.name,
    )
    assert done.returncode == -10
    assert "never" not in done.stdout

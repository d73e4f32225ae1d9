"""`bucle.run` and `bucle.Runner` beside asyncio's: results, errors, order of the shutdown, SIGINT.

Every program runs on both; what is compared is what a user sees, texts included.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from typing import Any

import pytest

import bucle
from tests.support import Implementation, check_script, outcome, run_script


def run_of(impl: Implementation) -> Any:
    return bucle.run if impl.native else asyncio.run


def runner_of(impl: Implementation) -> Any:
    return bucle.Runner if impl.native else asyncio.Runner


async def answer(value: int = 42) -> int:
    await asyncio.sleep(0)
    return value


async def fail() -> None:
    raise LookupError("lost")


def test_run_returns_the_result(impl: Implementation) -> None:
    assert run_of(impl)(answer()) == 42


def test_run_raises_what_main_raises(impl: Implementation) -> None:
    with pytest.raises(LookupError, match="lost"):
        run_of(impl)(fail())


def test_run_makes_a_native_loop_and_closes_it() -> None:
    async def main() -> Any:
        return asyncio.get_running_loop()

    loop = bucle.run(main())
    assert type(loop) is bucle.Loop
    assert loop.is_closed()


def test_run_takes_a_loop_factory_on_every_version() -> None:
    made = []

    def factory() -> bucle.Loop:
        made.append(bucle.Loop())
        return made[-1]

    async def main() -> Any:
        return asyncio.get_running_loop()

    assert bucle.run(main(), loop_factory=factory) is made[0]


def test_run_without_a_factory_asks_asyncio() -> None:
    async def main() -> Any:
        return asyncio.get_running_loop()

    # In its own interpreter: asyncio.set_event_loop(None) at the end is process-wide state.
    source = """
    import asyncio, bucle
    async def main():
        return type(asyncio.get_running_loop()).__name__
    print(bucle.run(main(), loop_factory=None) == asyncio.run(main()) != "Loop")
    """
    assert check_script(source) == "True\n"


@pytest.mark.parametrize("debug", [None, False, True])
def test_run_passes_debug(impl: Implementation, debug: bool | None) -> None:
    async def main() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert run_of(impl)(main(), debug=debug) is bool(debug)


@pytest.mark.parametrize("main", [5, None, "text", answer])
def test_run_refuses_what_asyncio_refuses(main: Any) -> None:
    assert outcome(bucle.run, main) == outcome(asyncio.run, main)


def test_run_refuses_to_nest_with_asyncios_text(impl: Implementation) -> None:
    async def main() -> tuple[str, str, str]:
        inner = answer()
        try:
            return outcome(run_of(impl), inner)
        finally:
            inner.close()

    assert run_of(impl)(main()) == (
        "raised",
        "RuntimeError",
        "asyncio.run() cannot be called from a running event loop",
    )


def test_run_has_the_signature_of_the_newest_asyncio() -> None:
    parameters = inspect.signature(bucle.run).parameters
    assert list(parameters) == ["main", "debug", "loop_factory"]
    assert all(parameters[name].kind.name == "KEYWORD_ONLY" for name in ("debug", "loop_factory"))


def test_runner_runs_several_in_one_context(impl: Implementation) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def count() -> int:
        variable.set(variable.get() + 1)
        return variable.get()

    with runner_of(impl)() as runner:
        assert [runner.run(count()) for _ in range(3)] == [1, 2, 3]
        assert runner.run(count(), context=contextvars.copy_context()) == 1
        assert isinstance(runner.get_loop(), bucle.Loop) is impl.native
    assert variable.get() == 0


def test_closed_runner_says_so(impl: Implementation) -> None:
    runner = runner_of(impl)()
    runner.run(answer())
    runner.close()
    runner.close()
    assert outcome(runner.get_loop) == ("raised", "RuntimeError", "Runner is closed")


def test_runner_is_an_asyncio_runner_on_our_loop() -> None:
    assert issubclass(bucle.Runner, asyncio.Runner)
    with bucle.Runner(debug=True) as runner:
        assert type(runner.get_loop()) is bucle.Loop
        assert runner.get_loop().get_debug()


AFTERWARDS = """
import asyncio, warnings
if impl.native:
    import bucle as library
else:
    library = asyncio
async def main():
    return asyncio.get_event_loop() is asyncio.get_running_loop()
def current():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            loop = asyncio.get_event_loop()
        except RuntimeError as error:
            print(error)
        else:
            print("a loop", [str(w.message) for w in caught])
            loop.close()
print(library.run(main()))
current()
with library.Runner() as runner:
    loop = runner.get_loop()
    print(asyncio.get_event_loop() is loop, runner.run(main()))
    print(asyncio.get_event_loop() is runner.get_loop())
current()
"""


def test_the_loop_is_the_current_one_until_the_end() -> None:
    ours = check_script(AFTERWARDS, impl="bucle")
    assert ours == check_script(AFTERWARDS, impl="stock")


SHUTDOWN = """
import asyncio, threading
async def generate():
    try:
        yield 1
    finally:
        await asyncio.sleep(0)
        print("generator closed")
async def wait_for_ever(name):
    try:
        await asyncio.Event().wait()
    finally:
        print(name, "cancelled")
async def fail_at_the_end():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError("late") from None
async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, c: print(c["message"], repr(c["exception"])))
    kept.append(generate())
    await anext(kept[0])
    kept.append(asyncio.create_task(wait_for_ever("task")))
    kept.append(asyncio.create_task(fail_at_the_end()))
    await loop.run_in_executor(None, int)
    print([t.name.rpartition("_")[0] for t in threading.enumerate()[1:]])
    await asyncio.sleep(0)
    return "main done"
kept = []
if impl.native:
    import bucle as library
else:
    library = asyncio
print(library.run(main()))
print(threading.active_count(), kept[1].cancelled(), type(kept[2].exception()).__name__)
"""


def test_shutdown_cancels_closes_and_joins_in_asyncios_order(impl: Implementation) -> None:
    assert check_script(SHUTDOWN, impl=impl.name).splitlines() == [
        "['asyncio']",
        "task cancelled",
        "unhandled exception during asyncio.run() shutdown ValueError('late')",
        "generator closed",
        "main done",
        "1 True ValueError",
    ]


SIGINT = """
import asyncio, os, signal, sys
async def main():
    loop = asyncio.get_running_loop()
    if "busy" in sys.argv:
        loop.call_soon(os.kill, os.getpid(), signal.SIGINT)
    else:
        import threading
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("cancelled", asyncio.current_task().cancelling())
        if "swallow" in sys.argv:
            return "swallowed"
        raise
    finally:
        print("finally")
if impl.native:
    import bucle as library
else:
    library = asyncio
try:
    print(library.run(main()))
except KeyboardInterrupt as error:
    print("KeyboardInterrupt", error.args, type(error.__context__).__name__)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


@pytest.mark.parametrize("how", [["busy"], ["asleep"], ["busy", "swallow"], ["asleep", "swallow"]])
def test_sigint_cancels_main(how: list[str]) -> None:
    ours = check_script(SIGINT, *how, impl="bucle")
    assert ours == check_script(SIGINT, *how, impl="stock")
    assert "cancelled 1\nfinally\n" in ours


SECOND_SIGINT = """
import asyncio, os, signal
async def main():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
if impl.native:
    import bucle as library
else:
    library = asyncio
import threading
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
library.run(main())
"""


def test_unhandled_interrupt_kills_with_the_signal(impl: Implementation) -> None:
    done = run_script(SECOND_SIGINT, impl=impl.name)
    assert done.returncode == -2
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")

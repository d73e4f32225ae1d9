"""Asynchronous generators: the hooks of a run, finalizers, and shutdown_asyncgens."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import check_script

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def count(log: list[str]) -> AsyncGenerator[int]:
    try:
        for number in range(10):
            yield number
    finally:
        await asyncio.sleep(0)
        log.append("closed")


def test_hooks_are_set_for_the_run_and_restored(loop: Any) -> None:
    async def main() -> Any:
        return sys.get_asyncgen_hooks()

    mine = (lambda agen: None, lambda agen: None)
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(*mine)
    try:
        during = loop.run_until_complete(main())
        assert tuple(sys.get_asyncgen_hooks()) == mine
    finally:
        sys.set_asyncgen_hooks(*before)
    assert during.firstiter == loop._asyncgen_firstiter_hook
    assert during.finalizer == loop._asyncgen_finalizer_hook


def test_hooks_are_restored_after_an_error(loop: Any) -> None:
    before = sys.get_asyncgen_hooks()

    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == before


def test_a_dropped_generator_is_closed_by_the_loop(loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        generator = count(log)
        await anext(generator)
        del generator
        gc.collect()
        while not log:
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert log == ["closed"]


def test_shutdown_closes_what_is_alive(loop: Any) -> None:
    log: list[str] = []
    generators = [count(log) for _ in range(3)]

    async def main() -> None:
        for generator in generators:
            await anext(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert log == ["closed"] * 3
    loop.run_until_complete(loop.shutdown_asyncgens())


def test_an_error_while_closing_is_reported(loop: Any) -> None:
    seen: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))

    async def generate() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            raise LookupError("while closing")

    generator = generate()

    async def main() -> None:
        await anext(generator)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    (context,) = seen
    assert context["message"].startswith(
        "an error occurred during closing of asynchronous generator <async_generator"
    )
    assert context["asyncgen"] is generator
    assert isinstance(context["exception"], LookupError)


def test_iterating_after_the_shutdown_warns(loop: Any) -> None:
    async def main() -> None:
        await loop.shutdown_asyncgens()
        generator = count([])
        await anext(generator)
        await generator.aclose()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.run_until_complete(main())
    (warning,) = [w for w in caught if w.category is ResourceWarning]
    assert "was scheduled after loop.shutdown_asyncgens() call" in str(warning.message)
    assert warning.source is loop


DROPPED_IN_A_THREAD = """
import asyncio, gc, threading
log = []
async def generate():
    try:
        yield 1
    finally:
        log.append(threading.current_thread() is threading.main_thread())
async def main():
    box = [generate()]
    await anext(box[0])
    thread = threading.Thread(target=box.clear)
    thread.start()
    while not log:
        await asyncio.sleep(0.001)
    thread.join()
loop = impl.new_loop()
loop.run_until_complete(main())
loop.close()
print(log)
"""


@pytest.mark.parametrize("name", ["stock", "bucle"])
def test_a_generator_dropped_in_a_thread_is_closed_on_the_loop(name: str) -> None:
    assert check_script(DROPPED_IN_A_THREAD, impl=name) == "[True]\n"

"""Exception handlers: asyncio's rules and log texts, on the native loop."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest

from tests.support import Implementation, outcome


def broken() -> None:
    raise ZeroDivisionError("broken")


def run_one(loop: Any, callback: Any, *arguments: Any) -> None:
    loop.call_soon(callback, *arguments)
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_the_handler_gets_loop_and_context(loop: Any) -> None:
    seen: list[tuple[Any, dict[str, Any]]] = []
    loop.set_exception_handler(lambda *arguments: seen.append(arguments))
    assert loop.get_exception_handler() is not None
    run_one(loop, broken)
    ((where, context),) = seen
    assert where is loop
    assert set(context) == {"message", "exception", "handle"}
    assert context["message"].startswith("Exception in callback broken()")
    assert isinstance(context["handle"], asyncio.Handle)
    assert str(context["exception"]) == "broken"


@pytest.mark.parametrize("handler", [5, "text", object()])
def test_a_handler_must_be_callable(loop: Any, handler: Any) -> None:
    kind, name, text = outcome(loop.set_exception_handler, handler)
    assert (kind, name) == ("raised", "TypeError")
    assert text == f"A callable object or None is expected, got {handler!r}"


def test_none_restores_the_default(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    loop.set_exception_handler(lambda *_: None)
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    run_one(loop, broken)
    (record,) = caplog.records
    assert record.name == "asyncio"
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("Exception in callback broken() at ")
    assert "\nhandle: <Handle broken() at " in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_a_context_is_logged_key_by_key(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    loop.default_exception_handler({"message": "text", "zebra": 1, "apple": [2]})
    loop.default_exception_handler({})
    assert [record.getMessage() for record in caplog.records] == [
        "text\napple: [2]\nzebra: 1",
        "Unhandled exception in event loop",
    ]


def test_an_error_in_the_handler_is_logged(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    def handler(loop: Any, context: Any) -> None:
        raise LookupError("in the handler")

    loop.set_exception_handler(handler)
    run_one(loop, broken)
    assert caplog.records[0].getMessage().startswith("Unhandled error in exception handler\n")
    ran = []
    run_one(loop, ran.append, 1)
    assert ran == [1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_the_handler_leaves_the_loop(loop: Any, error: type[BaseException]) -> None:
    def handler(loop: Any, context: Any) -> None:
        raise error

    loop.set_exception_handler(handler)
    loop.call_soon(broken)
    with pytest.raises(error):
        loop.run_forever()
    loop.set_exception_handler(None)
    assert loop.run_until_complete(asyncio.sleep(0, "usable")) == "usable"


def test_a_replaced_call_exception_handler_is_called(impl: Implementation, loop: Any) -> None:
    seen: list[dict[str, Any]] = []
    loop.call_exception_handler = seen.append
    run_one(loop, broken)
    task = impl.Task(raising(), loop=loop)
    loop.run_until_complete(asyncio.wait([task]))
    del task
    gc.collect()
    del loop.call_exception_handler
    assert [context["message"].split(" at ")[0] for context in seen] == [
        "Exception in callback broken()",
        "Task exception was never retrieved",
    ]


async def raising() -> None:
    raise ZeroDivisionError("task")

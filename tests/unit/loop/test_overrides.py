"""Assigned and overridden methods: what people put on the loop is what native code uses.

On the instance, in a subclass, on the class afterwards, and taken away again.  The stock loop calls
through attributes everywhere and is the control.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import turn

if TYPE_CHECKING:
    from tests.support import Implementation


def fail() -> None:
    raise LookupError("reported")


def test_time_on_the_instance_moves_the_timers(loop: Any) -> None:
    real = loop.time
    offset = 0.0
    seen: list[str] = []
    loop.time = lambda: real() + offset
    loop.call_later(3600, seen.append, "an hour later")
    turn(loop)
    assert seen == []
    offset = 3601.0
    turn(loop)
    turn(loop)
    assert seen == ["an hour later"]
    del loop.time
    assert abs(loop.time() - real()) < 1000


def test_time_is_used_for_call_later(loop: Any) -> None:
    loop.time = lambda: 500.0
    handle = loop.call_later(2, print)
    assert handle.when() == 502.0
    handle.cancel()
    del loop.time
    handle = loop.call_later(2, print)
    assert handle.when() != 502.0
    handle.cancel()


def test_an_overridden_call_at_gets_what_call_later_got(loop: Any) -> None:
    real = loop.call_at
    given: list[Any] = []

    def call_at(when: float, *args: Any, context: Any = None) -> Any:
        given.append((args, context))
        return real(when, *args, context=context)

    loop.call_at = call_at
    context = contextvars.copy_context()
    loop.call_later(1, print, *range(40), context=context).cancel()
    loop.call_later(1, print).cancel()
    assert given == [((print, *range(40)), context), ((print,), None)]


def test_call_exception_handler_on_the_instance(loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.call_exception_handler = contexts.append
    loop.call_soon(fail)
    turn(loop)
    assert [type(context["exception"]) for context in contexts] == [LookupError]

    async def lost() -> None:
        raise KeyError

    task = loop.create_task(lost())
    turn(loop)
    turn(loop)
    del task
    assert contexts[-1]["message"] == "Task exception was never retrieved"
    del loop.call_exception_handler
    handled: list[Any] = []
    loop.set_exception_handler(lambda _, context: handled.append(context))
    loop.call_soon(fail)
    turn(loop)
    assert len(handled) == 1
    assert len(contexts) == 2


def test_call_soon_on_the_instance_is_used_for_steps_and_callbacks(
    loop: Any, impl: Implementation
) -> None:
    calls: list[str] = []
    real = loop.call_soon

    def call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
        calls.append(getattr(callback, "__name__", type(callback).__name__))
        return real(callback, *args, context=context)

    async def main() -> str:
        await asyncio.sleep(0)
        return "end"

    loop.call_soon = call_soon
    future = impl.Future(loop=loop)
    future.add_done_callback(lambda _: None)
    future.set_result(None)
    assert calls == ["<lambda>"]
    assert loop.run_until_complete(impl.Task(main(), loop=loop)) == "end"
    assert len(calls) >= 3
    del loop.call_soon
    before = len(calls)
    assert loop.run_until_complete(impl.Task(main(), loop=loop)) == "end"
    assert len(calls) == before


def test_a_subclass_overrides(impl: Implementation) -> None:
    base: Any = impl.new_loop if isinstance(impl.new_loop, type) else type(closed(impl))

    class Mine(base):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def time(self) -> float:
            self.calls.append("time")
            return float(super().time())

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
            self.calls.append("call_soon")
            return super().call_soon(callback, *args, context=context)

        def call_exception_handler(self, context: Any) -> None:
            self.calls.append("call_exception_handler")

        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            self.calls.append("create_task")
            return super().create_task(coro, **kwargs)

    loop = Mine()

    async def main() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        await asyncio.create_task(asyncio.sleep(0))
        await asyncio.sleep(0.001)

    loop.run_until_complete(main())
    assert set(loop.calls) == {"time", "call_soon", "call_exception_handler", "create_task"}
    loop.close()


def closed(impl: Implementation) -> Any:
    loop = impl.new_loop()
    loop.close()
    return loop


class OnlyForInstances:
    """A method that raises where the class is asked for it."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            raise ZeroDivisionError
        return lambda: 700.0


def test_the_class_is_not_asked_for_a_descriptor_of_the_users(impl: Implementation) -> None:
    base: Any = type(closed(impl))

    class Mine(base):
        time = OnlyForInstances()

    made = Mine()
    assert made.call_later(2, print).when() == 702.0
    del Mine.time
    assert made.call_later(2, print).when() != 702.0
    Mine.time = OnlyForInstances()
    assert made.call_later(2, print).when() == 702.0
    made.close()


class StrangeKey:
    """Has the hash of a method's name, and fails when it is compared with one."""

    def __hash__(self) -> int:
        return hash("call_soon")

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


def test_a_flag_that_cannot_be_computed_is_an_error_of_the_assignment(
    impl: Implementation, loop: Any
) -> None:
    if not impl.native:
        pytest.skip("stock has no flags")

    class Mine(type(loop)):  # type: ignore[misc]
        pass

    made = Mine()
    vars(made)[StrangeKey()] = None
    with pytest.raises(ZeroDivisionError):
        made.time = lambda: 500.0
    with pytest.raises(ZeroDivisionError):
        Mine.note = None
    vars(made).clear()
    made.time = lambda: 500.0
    assert made.call_later(2, print).when() == 502.0
    made.close()


def test_assignment_on_a_subclass_afterwards(impl: Implementation) -> None:
    base: Any = type(closed(impl))

    class Mine(base):
        pass

    loop = Mine()
    contexts: list[Any] = []
    Mine.call_exception_handler = lambda self, context: contexts.append(context)
    loop.call_soon(fail)
    turn(loop)
    assert len(contexts) == 1
    Mine.time = lambda self: 77.0
    handle = loop.call_later(1, print)
    assert handle.when() == 78.0
    handle.cancel()
    del Mine.time
    del Mine.call_exception_handler
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    loop.call_soon(fail)
    turn(loop)
    assert len(contexts) == 2
    handle = loop.call_later(1, print)
    assert handle.when() != 78.0
    handle.cancel()
    loop.close()


def test_assignment_on_the_class_itself(impl: Implementation) -> None:
    kind: Any = type(closed(impl))
    loop = impl.new_loop()
    had = "call_exception_handler" in vars(kind)
    real = kind.call_exception_handler
    contexts: list[Any] = []
    kind.call_exception_handler = lambda self, context: contexts.append(context)
    try:
        loop.call_soon(fail)
        turn(loop)
        assert len(contexts) == 1
    finally:
        if had:
            kind.call_exception_handler = real
        else:
            del kind.call_exception_handler
    loop.set_exception_handler(lambda _, context: contexts.append("handler"))
    loop.call_soon(fail)
    turn(loop)
    assert contexts[1:] == ["handler"]
    loop.close()


def test_close_on_the_instance(loop: Any) -> None:
    real, calls = loop.close, []
    loop.close = lambda: calls.append("closed")
    loop.close()
    assert (calls, loop.is_closed()) == (["closed"], False)
    del loop.close
    assert loop.close == real


def test_getaddrinfo_on_the_instance(loop: Any) -> None:
    asked: list[Any] = []

    async def getaddrinfo(host: Any, port: Any, **kwargs: Any) -> Any:
        asked.append((host, port))
        raise OSError("no names here")

    loop.getaddrinfo = getaddrinfo

    async def main() -> None:
        await loop.create_connection(asyncio.Protocol, "name.invalid", 80)

    with pytest.raises(OSError, match=r"no names here"):
        loop.run_until_complete(main())
    assert asked == [("name.invalid", 80)]
    del loop.getaddrinfo
    assert callable(loop.getaddrinfo)


def test_a_handler_that_fails_is_logged(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    def bad_handler(_: Any, context: Any) -> None:
        raise ZeroDivisionError

    loop.set_exception_handler(bad_handler)
    assert loop.get_exception_handler() is bad_handler
    loop.call_soon(fail)
    turn(loop)
    assert "Unhandled error in exception handler" in caplog.text
    loop.set_exception_handler(None)
    with pytest.raises(TypeError, match=r"^A callable object or None is expected, got 5$"):
        loop.set_exception_handler(5)


def test_a_loop_has_no_dict_before_it_is_needed(loop: Any, impl: Implementation) -> None:
    """The interpreter specialises calls of its methods only while there is none."""
    if impl.name == "stock":
        pytest.skip("a stock loop keeps everything in its dict")
    turn(loop)
    assert not any(type(held) is dict for held in gc.get_referents(loop))
    loop.mark = 1
    assert vars(loop) == {"mark": 1}

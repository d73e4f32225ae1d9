"""Handle, TimerHandle and the thread-safe handle: attributes, cancelling, repr, order, debug mode.

Handles come from the loop; those constructed by hand must behave alike, for foreign loops do so.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import re
import sys
import weakref
from typing import Any

import pytest

from tests.support import Implementation, collect


def noop(*_: object) -> None:
    return None


def masked(thing: object) -> str:
    return re.sub(r"0x[0-9a-f]+|when=[0-9.]+|:\d+", "*", repr(thing))


def test_isinstance_of_asyncios(loop: Any, impl: Implementation) -> None:
    soon, later = loop.call_soon(noop), loop.call_later(10, noop)
    assert isinstance(soon, asyncio.Handle)
    assert isinstance(later, asyncio.TimerHandle)
    assert isinstance(later, asyncio.Handle)
    assert type(soon) is impl.Handle
    assert type(later) is impl.TimerHandle
    assert issubclass(impl.TimerHandle, asyncio.TimerHandle)
    soon.cancel()
    later.cancel()


def test_trap_30_attributes(loop: Any) -> None:
    context = contextvars.copy_context()
    handle = loop.call_soon(noop, 1, "two", context=context)
    assert handle._callback is noop
    assert handle._args == (1, "two")
    assert handle._cancelled is False
    assert handle._loop is loop
    assert handle._source_traceback is None
    assert handle._repr is None
    assert handle._context is context
    if sys.version_info >= (3, 12):
        assert handle.get_context() is context
    handle.cancel()
    assert handle._callback is None
    assert handle._args is None
    assert handle.cancelled()
    assert handle._cancelled is True


def test_a_handle_without_context_has_a_copy_of_the_current_one(loop: Any) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    token = variable.set(3)
    handle = loop.call_soon(noop)
    variable.reset(token)
    assert isinstance(handle._context, contextvars.Context)
    assert handle._context[variable] == 3
    handle.cancel()


def test_cancel_twice_and_from_inside(loop: Any) -> None:
    seen: list[str] = []

    def first() -> None:
        second.cancel()
        mine.cancel()
        seen.append("first")

    mine = loop.call_soon(first)
    second = loop.call_soon(seen.append, "second")
    loop.call_soon(seen.append, "third")
    loop.call_soon(loop.stop)
    loop.run_forever()
    second.cancel()
    assert seen == ["first", "third"]


def test_cancel_lets_callback_and_arguments_go(loop: Any) -> None:
    class Thing:
        def __call__(self, *_: object) -> None:
            pass

    callback, argument = Thing(), Thing()
    references = [weakref.ref(callback), weakref.ref(argument)]
    handle = loop.call_soon(callback, argument)
    timer = loop.call_later(100, callback, argument)
    del callback, argument
    handle.cancel()
    timer.cancel()
    collect()
    assert [reference() for reference in references] == [None, None]


def test_a_run_handle_lets_its_arguments_go_with_itself(loop: Any) -> None:
    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing)
    loop.call_soon(noop, thing)
    del thing
    loop.call_soon(loop.stop)
    loop.run_forever()
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", ["soon", "later"])
@pytest.mark.parametrize("cancelled", [False, True])
def test_repr_is_stock(loop: Any, debug: bool, kind: str, cancelled: bool) -> None:
    stock_loop = asyncio.SelectorEventLoop()
    shown = []
    for each in (loop, stock_loop):
        each.set_debug(debug)
        if kind == "soon":
            handle = each.call_soon(noop, 1, "two")
        else:
            handle = each.call_later(1000, noop, 1, "two")
        if cancelled:
            handle.cancel()
        shown.append(masked(handle))
        handle.cancel()
        each.set_debug(False)
    stock_loop.close()
    assert shown[0] == shown[1]
    assert ("cancelled" in shown[0]) is cancelled


def test_debug_mode_keeps_the_repr_and_the_source(loop: Any) -> None:
    loop.set_debug(True)
    handle = loop.call_soon(noop)
    assert handle._source_traceback[-1].name == sys._getframe().f_code.co_name
    handle.cancel()
    assert "noop" in handle._repr
    assert "noop" in repr(handle)
    loop.set_debug(False)


class Unprintable:
    def __call__(self) -> None:
        return None

    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_a_cancel_whose_repr_fails_cancels_all_the_same(loop: Any) -> None:
    loop.set_debug(True)
    callback = Unprintable()
    for handle in (loop.call_soon(callback), loop.call_later(1000, callback)):
        with pytest.raises(ZeroDivisionError):
            handle.cancel()
        assert handle.cancelled()
        assert handle._callback is callback
        handle.cancel()
    loop.set_debug(False)


def test_timers_compare_by_their_time(loop: Any) -> None:
    now = loop.time() + 1000
    early, late = loop.call_at(now, noop), loop.call_at(now + 1, noop)
    twin = loop.call_at(now, noop)
    assert early.when() == now
    assert early < late
    assert early <= late
    assert late > early
    assert late >= early
    assert early != late
    assert early == twin
    assert hash(early) == hash(now)
    assert sorted([late, early]) == [early, late]
    assert (early == 5) is False
    with pytest.raises(TypeError):
        early < 5  # noqa: B015
    for timer in (early, late, twin):
        timer.cancel()


def test_a_timer_is_scheduled_until_it_ran_or_was_cancelled(loop: Any) -> None:
    timer = loop.call_later(0.001, loop.stop)
    assert timer._scheduled is True
    loop.run_forever()
    assert timer._scheduled is False
    timer.cancel()


def test_call_later_with_no_delay_gives_a_timer(loop: Any) -> None:
    for delay in (0, -1, 0.0):
        before = loop.time()
        timer = loop.call_later(delay, noop)
        assert isinstance(timer, asyncio.TimerHandle)
        assert timer.when() >= before + delay
        timer.cancel()


def test_weakref_and_context_run(loop: Any) -> None:
    handle = loop.call_soon(noop)
    reference = weakref.ref(handle)
    assert reference() is handle
    loop.call_soon(loop.stop)
    loop.run_forever()
    del handle
    collect()
    assert reference() is None


def test_run_of_a_handle_by_hand(loop: Any, impl: Implementation) -> None:
    seen: list[int] = []
    handle = impl.Handle(seen.append, (1,), loop)
    handle._run()
    handle._run()
    assert seen == [1, 1]
    handle.cancel()
    assert handle.cancelled()


def test_run_reports_to_the_handler(loop: Any, impl: Implementation) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))

    def fail() -> None:
        raise LookupError("x")

    handle = impl.Handle(fail, (), loop)
    handle._run()
    (context,) = contexts
    assert context["handle"] is handle
    assert isinstance(context["exception"], LookupError)


def test_run_of_a_cancelled_handle_is_reported(loop: Any) -> None:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: contexts.append(context))
    handle = loop.call_soon(noop)
    handle.cancel()
    handle._run()
    (context,) = contexts
    assert isinstance(context["exception"], TypeError)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_run_lets_interrupts_out(
    loop: Any, impl: Implementation, error: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise error

    with pytest.raises(error):
        impl.Handle(interrupt, (), loop)._run()


def test_timer_made_by_hand(loop: Any, impl: Implementation) -> None:
    timer = impl.TimerHandle(123.5, noop, (), loop)
    assert timer.when() == 123.5
    assert timer._scheduled is False
    timer.cancel()
    assert timer.cancelled()


def test_a_cancelled_timer_tells_its_loop(loop: Any, impl: Implementation) -> None:
    told: list[Any] = []

    class Foreign:
        def get_debug(self) -> bool:
            return False

        def _timer_handle_cancelled(self, handle: object) -> None:
            told.append(handle)

    timer = impl.TimerHandle(1.0, noop, (), Foreign())
    timer.cancel()
    timer.cancel()
    assert told == [timer]


def test_a_subclass_of_the_handle_type(loop: Any, impl: Implementation) -> None:
    class Named(impl.Handle):  # type: ignore[name-defined,misc]
        pass

    seen: list[int] = []
    Named(seen.append, (2,), loop)._run()
    assert seen == [2]


def test_thread_safe_handles(loop: Any) -> None:
    handle = loop.call_soon_threadsafe(noop)
    assert isinstance(handle, asyncio.Handle)
    if sys.version_info >= (3, 14):
        from asyncio import events

        assert isinstance(handle, events._ThreadSafeHandle)  # type: ignore[attr-defined]
    handle.cancel()
    assert handle.cancelled()


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("args", [(), (1, 2), (1, 2, 3, 4, 5)])
def test_a_copy_is_another_handle_of_the_same_callback(
    loop: Any, debug: bool, cancelled: bool, args: tuple[int, ...]
) -> None:
    loop.set_debug(debug)
    seen: list[Any] = []

    def callback(*given: int) -> None:
        seen.append(given)

    for handle in (loop.call_soon(callback, *args), loop.call_later(1000, callback, *args)):
        if cancelled:
            handle.cancel()
        copied = copy.copy(handle)
        assert type(copied) is type(handle)
        for name in ("_callback", "_args", "_cancelled", "_source_traceback", "_repr", "_when"):
            assert getattr(copied, name, None) == getattr(handle, name, None)
        assert copied._loop is loop
        assert copied._context is handle._context
        assert masked(copied) == masked(handle)
        handle.cancel()
        assert copied.cancelled() is cancelled
        if not cancelled:
            copied._run()
            assert seen.pop() == args
    loop.set_debug(False)


def test_a_copy_of_a_subclass_takes_its_attributes_along(impl: Implementation, loop: Any) -> None:
    class Marked(impl.Handle):  # type: ignore[misc, name-defined]
        pass

    class Slotted(impl.TimerHandle):  # type: ignore[misc, name-defined]
        __slots__ = ("mark", "unset")

    for handle in (Marked(noop, (), loop), Slotted(5.0, noop, (), loop)):
        handle.mark = "kept"
        assert copy.copy(handle).mark == "kept"
        assert not hasattr(copy.copy(handle), "unset")


def test_the_attributes_of_a_handle_can_be_set(impl: Implementation, loop: Any) -> None:
    seen: list[Any] = []
    handle = impl.Handle(noop, (1, 2, 3), loop)
    handle._callback = lambda *args: seen.append((args, variable.get()))
    handle._args = ("new",)
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    context = contextvars.copy_context()
    context.run(variable.set, "of the context")
    handle._context = context
    handle._run()
    assert seen == [(("new",), "of the context")]
    handle._cancelled = True
    assert handle.cancelled()


def test_a_handle_whose_constructor_never_ran_raises(impl: Implementation) -> None:
    for kind in (impl.Handle, impl.TimerHandle):
        with pytest.raises((AttributeError, TypeError)):
            kind.__new__(kind)._run()


def test_arguments_that_die_find_a_cancelled_handle(impl: Implementation, loop: Any) -> None:
    class Argument:
        def __del__(self) -> None:
            seen.append((handle.cancelled(), handle._callback))

    seen: list[Any] = []
    handle = impl.Handle(noop, (Argument(), Argument()), loop)
    handle.cancel()
    assert seen == [(True, None)] * 2

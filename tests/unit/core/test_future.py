"""Future, row by row: construction, state, callbacks, awaiting, repr, finalizing.

Each assertion holds for stock asyncio too.  Where the text or the rule depends on the interpreter's
version the test compares with the stock future of the running one.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import STOCK, Implementation, World, check_script, collect, outcome, run_script

if TYPE_CHECKING:
    from collections.abc import Callable


def test_loop_defaults_to_the_current_one(world: World) -> None:
    async def main() -> None:
        assert world.types.Future().get_loop() is asyncio.get_running_loop()

    world.run(main())


def test_init_takes_no_positional_argument(world: World) -> None:
    with pytest.raises(TypeError):
        world.types.Future(world.loop)


def test_init_asks_the_loop_for_debug_exactly_once(world: World) -> None:
    class CountingLoop:
        asked = 0

        def get_debug(self) -> bool:
            self.asked += 1
            return False

    foreign = CountingLoop()
    future = world.types.Future(loop=foreign)
    assert foreign.asked == 1
    assert future.get_loop() is foreign
    assert future._source_traceback is None


def test_source_traceback_ends_in_the_caller_in_debug_mode(world: World) -> None:
    world.loop.set_debug(True)
    future = world.future()
    names = [frame.name for frame in future._source_traceback]
    assert names[-2:] == [sys._getframe().f_code.co_name, "future"]
    assert world.loop.create_future()._source_traceback[-1].name in (names[-2], "create_future")


def test_second_init_behaves_as_in_the_running_version(world: World) -> None:
    def again(future: Any) -> Any:
        future.set_result(1)
        try:
            future.__init__(loop=world.loop)
        except RuntimeError as error:
            return str(error).replace(type(future).__module__ + ".", "")
        return future._state

    ours = again(world.future())
    stock = again(STOCK.Future(loop=world.loop))
    assert ours == stock.replace("_asyncio.", "") if isinstance(stock, str) else stock


@pytest.mark.parametrize(
    "attribute",
    [
        "_state",
        "_loop",
        "_callbacks",
        "_result",
        "_exception",
        "_source_traceback",
        "_cancel_message",
        "_log_traceback",
        "_asyncio_future_blocking",
    ],
)
def test_attributes_of_a_fresh_future(world: World, attribute: str) -> None:
    stock = STOCK.Future(loop=world.loop)
    assert getattr(world.future(), attribute) == getattr(stock, attribute)


@pytest.mark.parametrize("attribute", ["_state", "_loop", "_callbacks", "_result", "_exception"])
def test_inner_state_is_read_only(world: World, attribute: str) -> None:
    with pytest.raises(AttributeError):
        setattr(world.future(), attribute, None)


def test_states(world: World) -> None:
    pending, finished, failed, cancelled = (world.future() for _ in range(4))
    finished.set_result(5)
    failed.set_exception(ValueError("no"))
    cancelled.cancel()
    states = [f._state for f in (pending, finished, failed, cancelled)]
    assert states == ["PENDING", "FINISHED", "FINISHED", "CANCELLED"]
    assert [f.done() for f in (pending, finished, failed, cancelled)] == [False, True, True, True]
    assert [f.cancelled() for f in (pending, finished, cancelled)] == [False, False, True]
    assert finished.result() == 5
    assert finished.exception() is None
    assert isinstance(failed.exception(), ValueError)


def test_isfuture_looks_at_the_type(world: World) -> None:
    assert asyncio.isfuture(world.future())
    assert "_asyncio_future_blocking" in dir(world.types.Future)
    assert not asyncio.isfuture(world.types.Future)


def test_blocking_flag_is_settable_but_not_deletable(world: World) -> None:
    future = world.future()
    future._asyncio_future_blocking = True
    assert future._asyncio_future_blocking is True
    future._asyncio_future_blocking = 0
    assert future._asyncio_future_blocking is False
    if world.types.native or sys.version_info >= (3, 13):  # stock crashed before
        with pytest.raises(AttributeError):
            del future._asyncio_future_blocking


def test_log_traceback_can_only_be_cleared(world: World) -> None:
    future = world.future()
    with pytest.raises(ValueError, match=r"^_log_traceback can only be set to False$"):
        future._log_traceback = True
    future.set_exception(ValueError())
    assert future._log_traceback is True
    future._log_traceback = False
    assert future._log_traceback is False


def test_result_and_exception_of_a_pending_future(world: World) -> None:
    future = world.future()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Result is not set\.$"):
        future.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"^Exception is not set\.$"):
        future.exception()


@pytest.mark.parametrize("setter", ["set_result", "set_exception"])
@pytest.mark.parametrize("end", ["result", "exception", "cancel"])
def test_a_done_future_takes_nothing_more(world: World, setter: str, end: str) -> None:
    future = world.future()
    if end == "result":
        future.set_result(1)
    elif end == "exception":
        future.set_exception(ValueError("first"))
        future.exception()
    else:
        future.cancel()
    with pytest.raises(asyncio.InvalidStateError, match=r"^invalid state$"):
        getattr(future, setter)(KeyError("second"))


def test_set_exception_makes_an_instance_of_a_class(world: World) -> None:
    future = world.future()
    future.set_exception(LookupError)
    error = future.exception()
    assert type(error) is LookupError
    assert error.args == ()


@pytest.mark.parametrize("bad", [1, "text", object, object()])
def test_set_exception_refuses_what_is_no_exception(world: World, bad: object) -> None:
    future = world.future()
    with pytest.raises(TypeError, match=r"^invalid exception object$"):
        future.set_exception(bad)
    assert not future.done()


def test_set_exception_whose_class_sets_the_future(world: World) -> None:
    future = world.future()

    class Sneaky(Exception):
        def __init__(self) -> None:
            future.set_result("sneaked in")

    with pytest.raises(asyncio.InvalidStateError):
        future.set_exception(Sneaky)
    assert future.result() == "sneaked in"


def test_result_raises_the_same_object_and_its_traceback_does_not_grow(world: World) -> None:
    def depth(error: BaseException) -> int:
        count, entry = 0, error.__traceback__
        while entry is not None:
            count, entry = count + 1, entry.tb_next
        return count

    future, error = world.future(), ValueError("kept")
    future.set_exception(error)
    depths = []
    for _ in range(3):
        with pytest.raises(ValueError, match=r"kept") as raised:
            future.result()
        assert raised.value is error
        depths.append(depth(error))
    stock = STOCK.Future(loop=world.loop)
    other = ValueError("kept")
    stock.set_exception(other)
    expected = []
    for _ in range(3):
        with pytest.raises(ValueError, match=r"kept"):
            stock.result()
        expected.append(depth(other))
    assert depths == expected


def test_what_is_handled_becomes_the_context(world: World) -> None:
    async def waits(future: Any) -> None:
        await future

    def by_result(future: Any) -> None:
        future.result()

    def by_await(future: Any) -> None:
        waits(future).send(None)

    failed, cancelled = world.future(), world.future()
    failed.set_exception(ValueError("failed"))
    cancelled.cancel("cancelled")
    for future, kind in ((failed, ValueError), (cancelled, asyncio.CancelledError)):
        for ask in (by_result, by_await):
            with pytest.raises(kind) as caught:
                try:
                    raise KeyError(ask)
                except KeyError as handled:
                    expected = handled
                    ask(future)
            assert caught.value.__context__ is expected


def test_result_restores_the_traceback_taken_at_set_exception(world: World) -> None:
    try:
        raise KeyError("first seen here")
    except KeyError as caught:
        error = caught
    future = world.future()
    future.set_exception(error)
    error.__traceback__ = None
    try:
        future.result()
    except KeyError as raised:
        entry = raised.__traceback__
        while entry is not None and entry.tb_next is not None:
            entry = entry.tb_next
        assert entry is not None
        assert entry.tb_frame.f_code.co_name == sys._getframe().f_code.co_name


def test_cancel_keeps_its_message(world: World) -> None:
    future = world.future()
    assert future.cancel("enough") is True
    assert future._cancel_message == "enough"
    assert future.cancel("again") is False
    with pytest.raises(asyncio.CancelledError, match=r"^enough$"):
        future.result()


def test_cancel_clears_the_log_flag_even_when_done(world: World) -> None:
    future = world.future()
    future.set_exception(ValueError())
    assert future.cancel() is False
    assert future._log_traceback is False


def test_cancel_message_is_settable(world: World) -> None:
    future = world.future()
    future._cancel_message = "set first"
    assert future._make_cancelled_error().args == ("set first",)
    future.cancel()
    assert future._cancel_message is None


def test_a_cancelled_future_raises_from_exception_too(world: World) -> None:
    future = world.future()
    future.cancel("why")
    with pytest.raises(asyncio.CancelledError, match=r"^why$"):
        future.exception()


# ---- callbacks


def test_callbacks_run_on_the_next_turn_in_order(world: World) -> None:
    future, seen = world.future(), []
    for index in range(5):
        future.add_done_callback(lambda f, i=index: seen.append((i, f is future)))
    future.set_result(None)
    assert seen == []
    world.turn()
    assert seen == [(index, True) for index in range(5)]


def test_a_callback_added_to_a_done_future_is_scheduled(world: World) -> None:
    future, seen = world.future(), []
    future.set_result(1)
    future.add_done_callback(seen.append)
    assert seen == []
    world.turn()
    assert seen == [future]


def test_callbacks_is_a_fresh_list_of_pairs(world: World) -> None:
    future = world.future()
    assert future._callbacks is None
    context = contextvars.copy_context()
    future.add_done_callback(print, context=context)
    future.add_done_callback(repr)
    (first, first_context), (second, second_context) = future._callbacks
    assert (first, second) == (print, repr)
    assert first_context is context
    assert isinstance(second_context, contextvars.Context)
    future._callbacks.clear()
    if world.types.native or sys.version_info >= (3, 14):
        assert len(future._callbacks) == 2


def test_callback_context(world: World) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    future, seen = world.future(), []
    given = contextvars.copy_context()
    given.run(variable.set, "given")
    future.add_done_callback(lambda f: seen.append(variable.get()), context=given)
    token = variable.set("current")
    future.add_done_callback(lambda f: seen.append(variable.get()))
    variable.reset(token)
    future.set_result(None)
    world.turn()
    assert seen == ["given", "current"]


def test_remove_done_callback_counts_and_compares_by_equality(world: World) -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = None  # type: ignore[assignment]

        def __call__(self, future: object) -> None:
            raise AssertionError("it was removed")

    future, seen = world.future(), []
    future.add_done_callback(Equal())
    future.add_done_callback(seen.append)
    future.add_done_callback(Equal())
    assert future.remove_done_callback(Equal()) == 2
    assert future.remove_done_callback(Equal()) == 0
    future.set_result(None)
    world.turn()
    assert seen == [future]


def test_remove_from_the_single_callback(world: World) -> None:
    future = world.future()
    future.add_done_callback(print)
    assert future.remove_done_callback(print) == 1
    assert future._callbacks is None


def test_add_done_callback_takes_the_callback_by_position_only(world: World) -> None:
    future = world.future()
    with pytest.raises(TypeError):
        future.add_done_callback(fn=print)
    with pytest.raises(TypeError):
        future.add_done_callback(print, None)


# ---- awaiting


def test_await_returns_the_result_and_raises_the_exception(world: World) -> None:
    async def main() -> Any:
        future = world.future()
        world.loop.call_soon(future.set_result, 42)
        value = await future
        failing = world.future()
        world.loop.call_soon(failing.set_exception, KeyError("k"))
        with pytest.raises(KeyError):
            await failing
        return value

    assert world.run(main()) == 42


def test_awaiting_a_done_future_takes_no_turn(world: World) -> None:
    async def main() -> list[str]:
        order: list[str] = []
        world.loop.call_soon(order.append, "turn")
        future = world.future()
        future.set_result(None)
        for _ in range(3):
            await future
        order.append("awaited")
        return list(order)

    assert world.run(main()) == ["awaited"]


def test_iterator_protocol(world: World) -> None:
    future = world.future()
    iterator = future.__await__()
    assert iter(iterator) is iterator
    assert next(iterator) is future
    assert future._asyncio_future_blocking is True
    with pytest.raises(RuntimeError, match=r"^await wasn't used with future$"):
        next(iterator)
    future.set_result("done")
    with pytest.raises(StopIteration) as stop:
        next(future.__await__())
    assert stop.value.value == "done"


@pytest.mark.parametrize("value", [None, 5, (1, 2), ValueError("a value, not an error")])
def test_iterator_send_ends_with_the_value(world: World, value: Any) -> None:
    future = world.future()
    future.set_result(value)
    with pytest.raises(StopIteration) as stop:
        future.__await__().send(None)
    assert stop.value.value is value
    with pytest.raises(StopIteration) as stop:
        next(future.__await__())
    assert stop.value.value is value


@pytest.mark.parametrize("end", ["throw", "close"])
def test_iterator_send_after_its_end_does_not_crash(world: World, end: str) -> None:
    iterator = world.future().__await__()
    if type(iterator).__module__ != "bucle":
        pytest.skip("stock ends in a SystemError before 3.15")
    if end == "throw":
        with pytest.raises(ValueError, match="thrown"):
            iterator.throw(ValueError("thrown"))
    else:
        iterator.close()
    with pytest.raises(StopIteration):
        iterator.send(None)


def test_iterator_send_ignores_its_value(world: World) -> None:
    future = world.future()
    iterator = iter(future)
    assert iterator.send("ignored") is future
    future.set_result((1, 2))
    with pytest.raises(StopIteration) as stop:
        iterator.send(object())
    assert stop.value.value == (1, 2)


def test_a_result_that_is_an_exception_or_a_tuple_comes_back_unharmed(world: World) -> None:
    async def main(value: object) -> None:
        future = world.future()
        world.loop.call_soon(future.set_result, value)
        assert await future is value

    for value in ((1, 2), (), StopIteration(3), ValueError("v"), ValueError, None):
        world.run(main(value))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "arguments",
    [(ValueError,), (ValueError("v"),), (ValueError, "v"), (ValueError, ("a", "b")), (1,), (str,)],
)
def test_iterator_throw(world: World, arguments: tuple[Any, ...]) -> None:
    stock = outcome(STOCK.Future(loop=world.loop).__await__().throw, *arguments)
    iterator = world.future().__await__()
    next(iterator)
    assert outcome(iterator.throw, *arguments) == stock
    assert stock[0] == "raised"


def test_iterator_close(world: World) -> None:
    iterator = world.future().__await__()
    next(iterator)
    assert iterator.close() is None
    with pytest.raises(StopIteration):
        next(iterator)


# ---- identity, repr, attributes


def shown(future: Any) -> str:
    """A repr without what must differ: addresses."""
    return repr(future).split(" at 0x")[0]


@pytest.mark.parametrize(
    "act",
    [
        lambda f: None,
        lambda f: f.set_result("r"),
        lambda f: f.set_result("x" * 500),
        lambda f: f.set_result(f),
        lambda f: (f.set_exception(ValueError("bad")), f.exception()),
        lambda f: f.cancel("m"),
        lambda f: f.add_done_callback(print),
        lambda f: [f.add_done_callback(print), f.add_done_callback(repr)],
        lambda f: [f.add_done_callback(print) for _ in range(5)],
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_repr_is_stock(world: World, act: Callable[[Any], Any], debug: bool) -> None:
    world.loop.set_debug(debug)
    ours, stock = world.types.Future(loop=world.loop), STOCK.Future(loop=world.loop)
    act(ours)
    act(stock)
    assert shown(ours).split(" created at")[0] == shown(stock).split(" created at")[0]
    assert repr(ours).startswith("<Future ")
    world.loop.set_debug(False)


def test_repr_names_the_subclass(world: World) -> None:
    class Named(world.types.Future):  # type: ignore[name-defined,misc]
        pass

    assert repr(Named(loop=world.loop)) == "<Named pending>"


def test_class_getitem_and_weakref_and_attributes(world: World) -> None:
    assert world.types.Future[int].__origin__ is world.types.Future
    future = world.future()
    reference = weakref.ref(future)
    future.anything = 1
    assert future.anything == 1
    del future.anything
    assert not hasattr(future, "anything")
    del future
    collect()
    assert reference() is None


def test_futures_are_hashable_and_equal_by_identity(world: World) -> None:
    first, second = world.future(), world.future()
    assert first != second
    assert len({first, second, first}) == 2


def test_cycles_are_collected(world: World) -> None:
    future = world.future()
    future.add_done_callback(future.set_result)
    future.me = future
    reference = weakref.ref(future)
    del future
    assert reference() is not None
    gc.collect()
    assert reference() is None


def test_subclass_with_its_own_init_and_slots(world: World) -> None:
    class Sub(world.types.Future):  # type: ignore[name-defined,misc]
        __slots__ = ("extra",)

        def __init__(self, extra: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.extra = extra

    made = Sub(3, loop=world.loop)
    assert made.extra == 3
    assert not made.done()


# ---- finalizing


def test_an_exception_never_retrieved_is_reported(world: World) -> None:
    future = world.future()
    error = ValueError("lost")
    future.set_exception(error)
    del future
    collect()
    (context,) = world.take_errors()
    assert context["message"] == "Future exception was never retrieved"
    assert context["exception"] is error
    assert "future" in context
    assert "source_traceback" not in context


def test_the_report_carries_the_source_traceback_in_debug_mode(world: World) -> None:
    world.loop.set_debug(True)
    world.future().set_exception(ValueError("lost"))
    collect()
    (context,) = world.take_errors()
    assert context["source_traceback"]
    world.loop.set_debug(False)


@pytest.mark.parametrize("read", ["result", "exception", "cancel", "flag"])
def test_a_retrieved_exception_is_not_reported(world: World, read: str) -> None:
    future = world.future()
    future.set_exception(ValueError())
    if read == "flag":
        future._log_traceback = False
    else:
        outcome(getattr(future, read))
    del future
    collect()
    assert world.take_errors() == []


def test_the_report_leaves_a_current_exception_alone(world: World) -> None:
    future = world.future()
    future.set_exception(ValueError("lost"))
    with pytest.raises(KeyError, match=r"current"):
        try:
            raise KeyError("current")
        finally:
            del future
    collect()
    assert len(world.take_errors()) == 1


def test_a_failing_handler_is_unraisable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_type))

    class Loop:
        def get_debug(self) -> bool:
            return False

        def call_exception_handler(self, context: object) -> None:
            raise ZeroDivisionError

    future = world.types.Future(loop=Loop())
    future.set_exception(ValueError())
    del future
    collect()
    assert seen == [ZeroDivisionError]


UNINITIALISED = """
    import sys
    cls = getattr(impl, sys.argv[1])
    made = cls.__new__(cls)

    def show(name, act):
        try:
            print(name, repr(act())[:9], flush=True)
        except BaseException as error:
            print(name, type(error).__name__, flush=True)

    for name in ("done", "cancelled", "result", "exception", "get_loop", "__await__",
                 "_make_cancelled_error", "__repr__"):
        show(name, lambda: getattr(made, name)())
    for name in ("_state", "_loop", "_callbacks", "_result", "_exception", "_cancel_message",
                 "_log_traceback", "_source_traceback", "_asyncio_future_blocking"):
        show(name, lambda: getattr(made, name))
    show("set_result", lambda: made.set_result(1))
    show("set_exception", lambda: made.set_exception(ValueError()))
    show("add_done_callback", lambda: made.add_done_callback(print))
    show("remove_done_callback", lambda: made.remove_done_callback(print))
    show("cancel", lambda: made.cancel())
    for name in ("_fut_waiter", "_must_cancel", "_log_destroy_pending", "_coro", "get_name",
                 "get_coro", "cancelling", "uncancel", "get_context", "get_stack"):
        if hasattr(cls, name):
            show(name, lambda: getattr(made, name)() if name[0] != "_" else getattr(made, name))
    del made
    print("end", flush=True)
"""


@pytest.mark.parametrize("kind", ["Future", "Task"])
def test_uninitialised_objects_answer_as_stock_and_never_crash(
    impl: Implementation, kind: str
) -> None:
    # Stock versions die of some calls: what they printed before is what there is to compare.
    stock = run_script(UNINITIALISED, kind, impl="stock").stdout.splitlines()
    assert len(stock) > 20
    if impl.native:
        ours = check_script(UNINITIALISED, kind, impl=impl.name).splitlines()
        assert ours[: len(stock)] == stock
        assert ours[-1] == "end"

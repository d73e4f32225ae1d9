"""allow_nesting(): a loop that is run inside one of its own callbacks and tasks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import sys
import threading
from _asyncio import Task as StockTask
from typing import Any

import pytest

import bucle
from tests.support import World, collect, outcome, unix_pair
from tests.unit.loop.nesting import IN_PROTOCOL, OTHER, RUNNING, STOPPED, closed, value_of

pytestmark = pytest.mark.native


def test_off_unless_asked_for(loop: Any) -> None:
    async def main() -> Any:
        with pytest.raises(RuntimeError, match=r"asyncio\.run"):
            coroutine = value_of(1)
            try:
                bucle.run(coroutine)
            finally:
                coroutine.close()
        return closed(value_of(1), loop.run_until_complete), outcome(loop.run_forever)

    assert loop.run_until_complete(main()) == (RUNNING, RUNNING)


def test_only_for_loops_of_ours() -> None:
    stock = asyncio.SelectorEventLoop()
    with pytest.raises(TypeError, match="a loop of bucle's was expected, got <_UnixSelector"):
        bucle.allow_nesting(stock)
    stock.close()


def test_in_a_task(nest: Any) -> None:
    async def main() -> list[int]:
        return [nest.run_until_complete(value_of(number)) for number in range(3)]

    assert nest.run_until_complete(main()) == [0, 1, 2]
    assert not nest.is_running()


def test_in_a_callback(nest: Any) -> None:
    seen: list[int] = []

    def callback() -> None:
        seen.append(nest.run_until_complete(asyncio.sleep(0.001, 5)))
        nest.stop()

    nest.call_soon(callback)
    nest.run_forever()
    assert seen == [5]


def test_what_waits_on_the_outside_goes_on_inside(nest: Any) -> None:
    """Callbacks, timers, tasks and readers alike."""
    seen: list[str] = []
    left, right = unix_pair()
    left.setblocking(False)

    async def other() -> None:
        await asyncio.sleep(0.001)
        seen.append("task")

    async def main() -> None:
        task = nest.create_task(other())
        nest.call_soon(seen.append, "callback")
        nest.call_later(0.001, seen.append, "timer")
        nest.add_reader(left, lambda: seen.append(left.recv(10).decode()))
        right.send(b"reader")
        nest.run_until_complete(asyncio.sleep(0.02))
        assert sorted(seen) == ["callback", "reader", "task", "timer"]
        assert task.done()

    nest.run_until_complete(main())
    nest.remove_reader(left)
    left.close()
    right.close()


def test_the_rest_of_a_batch_runs_inside(nest: Any) -> None:
    seen: list[int] = []

    def second() -> None:
        seen.append(2)
        nest.run_until_complete(value_of(None))
        seen.append(4)
        nest.stop()

    nest.call_soon(seen.append, 1)
    nest.call_soon(second)
    nest.call_soon(seen.append, 3)
    nest.run_forever()
    assert seen == [1, 2, 3, 4]


def test_many_levels(nest: Any) -> None:
    async def level(depth: int) -> int:
        await asyncio.sleep(0)
        inner = nest.run_until_complete(level(depth - 1)) if depth else 0
        assert asyncio.current_task() is tasks[depth]
        await asyncio.sleep(0)
        return int(inner) + 1

    tasks: dict[int, Any] = {}

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        task = bucle.Task(coro, loop=loop, **kwargs)
        if coro.__name__ == "level":
            tasks[coro.cr_frame.f_locals["depth"]] = task
        return task

    nest.set_task_factory(factory)
    assert nest.run_until_complete(level(20)) == 21


def test_too_many_levels(nest: Any) -> None:
    async def level() -> None:
        nest.run_until_complete(level())

    with pytest.raises(RecursionError):
        nest.run_until_complete(level())
    nest.set_exception_handler(lambda *_: None)
    collect()
    assert nest.run_until_complete(value_of(1)) == 1


def test_the_current_task(nest: Any) -> None:
    """Nobody's in the nested run's callbacks; that of the step again when it is over."""
    seen: list[Any] = []

    async def inner() -> Any:
        return asyncio.current_task()

    async def main() -> None:
        me = asyncio.current_task()
        nest.call_soon(lambda: seen.append(asyncio.current_task()))
        task = nest.run_until_complete(inner())
        assert task is not None
        assert task is not me
        assert asyncio.current_task() is me
        assert bucle.current_task() is me
        await asyncio.sleep(0)
        assert asyncio.current_task() is me
        with pytest.raises(ZeroDivisionError):
            nest.run_until_complete(fail())
        assert asyncio.current_task() is me

    async def fail() -> None:
        assert asyncio.current_task() is not None
        raise ZeroDivisionError

    nest.run_until_complete(main())
    assert seen == [None]


def test_stock_tasks_nest_too(nest: Any) -> None:
    """They enter and leave by asyncio's own functions, which complain of what is not as it was."""
    nest.set_task_factory(lambda loop, coro, **kwargs: StockTask(coro, loop=loop, **kwargs))

    async def main() -> Any:
        me = asyncio.current_task()
        assert nest.run_until_complete(value_of(3)) == 3
        assert asyncio.current_task() is me
        await asyncio.sleep(0)
        return asyncio.current_task() is me

    assert nest.run_until_complete(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="came with 3.12")
def test_in_the_first_step_of_an_eager_task(nest: Any) -> None:
    nest.set_task_factory(bucle.eager_task_factory)
    seen: list[Any] = []

    async def eager() -> int:
        me = asyncio.current_task()
        seen.append(nest.run_until_complete(value_of(5)))
        assert asyncio.current_task() is me
        return 6

    async def main() -> int:
        me = asyncio.current_task()
        task = nest.create_task(eager())
        assert asyncio.current_task() is me
        assert seen == [5]
        return int(await task)

    assert nest.run_until_complete(main()) == 6


def test_the_context_is_the_steps_again(nest: Any) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")

    async def inner() -> str:
        seen = var.get()
        var.set("inner")
        await asyncio.sleep(0)
        return seen

    async def main() -> None:
        var.set("outer")
        assert nest.run_until_complete(inner()) == "outer"
        assert var.get() == "outer"
        await asyncio.sleep(0)
        assert var.get() == "outer"

    nest.run_until_complete(main())


def test_a_context_that_is_entered_already_is_refused_as_ever(
    nested: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        nested.loop.call_soon(int, context=contextvars.copy_context())
        entered = asyncio.current_task().get_context()  # type: ignore[union-attr]
        nested.loop.call_soon(int, context=entered)
        nested.loop.run_until_complete(value_of(1))

    if not hasattr(asyncio.Task, "get_context"):
        pytest.skip("tasks tell their contexts since 3.12")
    nested.loop.run_until_complete(main())
    nested.take_errors()
    assert "cannot enter context" in caplog.text  # so is the handler's, which is to run in it, too


def test_exceptions_come_out_of_the_nested_run_alone(nested: World) -> None:
    loop = nested.loop

    async def fail() -> None:
        raise ValueError("inside")

    async def main() -> str:
        with pytest.raises(ValueError, match="inside"):
            loop.run_until_complete(fail())
        loop.call_soon(lambda: 1 // 0)
        loop.run_until_complete(value_of(None))
        return "outside"

    assert loop.run_until_complete(main()) == "outside"
    (error,) = nested.take_errors()
    assert isinstance(error["exception"], ZeroDivisionError)


def test_cancelled_inside(nest: Any) -> None:
    async def main() -> str:
        inner = nest.create_task(asyncio.sleep(1000))
        nest.call_soon(inner.cancel)
        with pytest.raises(asyncio.CancelledError):
            nest.run_until_complete(inner)
        return "outside"

    assert nest.run_until_complete(main()) == "outside"


def test_the_outer_task_cancelled_meanwhile(nest: Any) -> None:
    """It is told at its next await, as always."""

    async def main() -> str:
        me: Any = asyncio.current_task()
        nest.call_soon(me.cancel)
        assert nest.run_until_complete(value_of(1)) == 1
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return "cancelled"
        return "not"

    assert nest.run_until_complete(main()) == "cancelled"


def test_a_task_cannot_run_itself(nest: Any) -> None:
    async def main() -> Any:
        return outcome(nest.run_until_complete, asyncio.current_task())

    seen = nest.run_until_complete(main())
    assert seen[:2] == ("raised", "RuntimeError")
    assert "Task cannot await on itself" in seen[2]


class TestRefused:
    def test_another_thread(self, nest: Any) -> None:
        async def main() -> Any:
            seen: list[Any] = []
            thread = threading.Thread(
                target=lambda: seen.append(closed(value_of(1), nest.run_until_complete))
            )
            thread.start()
            thread.join()
            return seen

        assert nest.run_until_complete(main()) == [RUNNING]

    def test_another_loop(self, nest: Any) -> None:
        other = bucle.new_event_loop()
        bucle.allow_nesting(other)

        async def main() -> Any:
            return closed(value_of(1), other.run_until_complete), outcome(other.run_forever)

        assert nest.run_until_complete(main()) == (OTHER, OTHER)
        other.close()

    def test_a_closed_loop_and_close(self, nest: Any) -> None:
        async def main() -> Any:
            return outcome(nest.close)

        assert nest.run_until_complete(main()) == (
            "raised",
            "RuntimeError",
            "Cannot close a running event loop",
        )

    @pytest.mark.parametrize(
        "method", ["connection_made", "data_received", "eof_received", "connection_lost"]
    )
    def test_methods_of_a_protocol(self, nest: Any, method: str) -> None:
        seen: dict[str, Any] = {}
        lost = nest.create_future()

        def refused(name: str) -> None:
            seen[name] = closed(value_of(1), nest.run_until_complete)
            if name == "connection_lost":
                lost.set_result(None)

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: Any) -> None:
                refused("connection_made")

            def data_received(self, data: bytes) -> None:
                refused("data_received")

            def eof_received(self) -> None:
                refused("eof_received")

            def connection_lost(self, error: Any) -> None:
                refused("connection_lost")

        left, right = unix_pair()

        async def main() -> None:
            await nest.create_unix_connection(Protocol, sock=left)
            right.send(b"data")
            right.shutdown(socket.SHUT_WR)
            await lost
            assert nest.run_until_complete(value_of(1)) == 1  # and it is as before

        nest.run_until_complete(main())
        right.close()
        assert seen[method] == IN_PROTOCOL

    def test_a_buffered_protocol_and_the_watermarks(self, nest: Any) -> None:
        seen: dict[str, Any] = {}

        class Protocol(asyncio.BufferedProtocol):
            def get_buffer(self, sizehint: int) -> bytearray:
                seen["get_buffer"] = closed(value_of(1), nest.run_until_complete)
                return bytearray(10)

            def buffer_updated(self, nbytes: int) -> None:
                seen["buffer_updated"] = closed(value_of(1), nest.run_until_complete)

            def pause_writing(self) -> None:
                seen["pause_writing"] = closed(value_of(1), nest.run_until_complete)

        left, right = unix_pair()

        async def main() -> None:
            transport, _ = await nest.create_unix_connection(Protocol, sock=left)
            right.send(b"data")
            await asyncio.sleep(0.01)
            transport.write(bytes(10_000_000))
            transport.abort()
            await asyncio.sleep(0.001)

        nest.run_until_complete(main())
        right.close()
        assert set(seen) == {"get_buffer", "buffer_updated", "pause_writing"}
        assert set(seen.values()) == {IN_PROTOCOL}


def test_a_plain_callback_of_a_server_is_refused(nest: Any) -> None:
    async def main() -> Any:
        called = nest.create_future()

        def connected(reader: Any, writer: Any) -> None:
            called.set_result(closed(value_of(1), nest.run_until_complete))
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        seen = await called
        writer.close()
        server.close()
        await server.wait_closed()
        return seen

    assert nest.run_until_complete(main()) == IN_PROTOCOL


def test_streams_inside(nest: Any) -> None:
    """A synchronous call that waits for an answer, in a task of a server: what people want."""

    async def serve(reader: Any, writer: Any) -> None:
        line = await reader.readline()
        answer = nest.run_until_complete(asyncio.sleep(0.001, line.upper()))
        writer.write(answer)
        writer.close()

    def ask(port: int) -> bytes:
        async def talk() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello\n")
            answer: bytes = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        return nest.run_until_complete(talk())  # type: ignore[no-any-return]

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert [ask(port) for _ in range(5)] == [b"HELLO\n"] * 5
        server.close()
        await server.wait_closed()

    nest.run_until_complete(main())


def test_asynchronous_generators(nest: Any) -> None:
    closed_ones: list[str] = []

    async def generate(name: str) -> Any:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed_ones.append(name)

    async def use(name: str) -> None:
        async for _ in generate(name):
            break

    async def main() -> None:
        hooks = sys.get_asyncgen_hooks()
        nest.run_until_complete(use("inner"))
        gc.collect()
        assert sys.get_asyncgen_hooks() == hooks
        assert hooks.firstiter is not None
        await use("outer")
        gc.collect()
        await asyncio.sleep(0.001)

    before = sys.get_asyncgen_hooks()
    nest.run_until_complete(main())
    assert sys.get_asyncgen_hooks() == before
    nest.run_until_complete(nest.shutdown_asyncgens())
    assert sorted(closed_ones) == ["inner", "outer"]


def test_debug_mode(nested: World, caplog: pytest.LogCaptureFixture) -> None:
    loop = nested.loop
    loop.set_debug(True)
    loop.slow_callback_duration = 0.005
    depth = sys.get_coroutine_origin_tracking_depth()

    async def main() -> None:
        tracking = sys.get_coroutine_origin_tracking_depth()
        handle = loop._current_handle
        loop.run_until_complete(asyncio.sleep(0.02))
        assert loop._current_handle is handle
        assert handle is not None
        assert sys.get_coroutine_origin_tracking_depth() == tracking > depth

    loop.run_until_complete(main())
    assert sys.get_coroutine_origin_tracking_depth() == depth
    assert [record for record in caplog.records if "main()" in record.getMessage()]


def test_the_running_loop(nest: Any) -> None:
    async def inner() -> bool:
        return asyncio.get_running_loop() is nest and nest.is_running()

    async def main() -> bool:
        inside = nest.run_until_complete(inner())
        hidden = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            inside = inside and nest.run_until_complete(inner())
            assert asyncio._get_running_loop() is None
        finally:
            asyncio._set_running_loop(hidden)
        return inside and asyncio.get_running_loop() is nest

    assert nest.run_until_complete(main())
    assert asyncio._get_running_loop() is None


def test_a_subclass_with_a_run_forever_of_its_own() -> None:
    calls: list[str] = []

    class Loop(bucle.Loop):
        def run_forever(self) -> None:
            calls.append("begin")
            super().run_forever()
            calls.append("end")

    loop = Loop()
    bucle.allow_nesting(loop)

    async def main() -> int:
        return int(loop.run_until_complete(value_of(4)))

    assert loop.run_until_complete(main()) == 4
    assert calls == ["begin", "begin", "end", "end"]
    loop.close()


class TestRun:
    """bucle.run() inside of a running loop."""

    def test_runs_on_that_loop(self, nest: Any) -> None:
        async def inner() -> Any:
            return asyncio.get_running_loop()

        async def main() -> Any:
            return bucle.run(inner())

        assert nest.run_until_complete(main()) is nest
        assert not nest.is_closed()

    def test_another_loop_is_refused_as_ever(self, nest: Any) -> None:
        async def main() -> list[Any]:
            return [
                closed(value_of(1), lambda coro: bucle.run(coro, debug=True)),
                closed(value_of(1), lambda coro: bucle.run(coro, loop_factory=bucle.Loop)),
                closed(value_of(1), asyncio.run),
            ]

        text = "asyncio.run() cannot be called from a running event loop"
        assert nest.run_until_complete(main()) == [("raised", "RuntimeError", text)] * 3

    def test_it_leaves_no_task(self, nest: Any) -> None:
        ended: list[bool] = []

        async def inner() -> None:
            nest.call_soon(nest.stop)
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(0)
                ended.append(True)

        seen: list[Any] = []
        nest.call_soon(lambda: seen.append(outcome(bucle.run, inner())))
        nest.run_forever()
        assert seen == [STOPPED]
        assert ended == [True]

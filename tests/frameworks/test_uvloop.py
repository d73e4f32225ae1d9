"""Native types and functions on a loop that is neither asyncio's nor ours: uvloop.

Skipped where uvloop is not installed; `tools/frameworks.sh` installs it.  The control is the same
program with asyncio's types on asyncio's loop: what it notes must not depend on either.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import bucle

uvloop = pytest.importorskip("uvloop")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Program = Callable[[Any, list[Any]], Awaitable[object]]


async def locks(api: Any, notes: list[Any]) -> None:
    lock, event, limit = api.Lock(), api.Event(), api.Semaphore(2)
    condition, barrier = api.Condition(), api.Barrier(3)
    ready = False

    async def work(number: int) -> None:
        async with lock:
            notes.append(("lock", number))
            await api.sleep(0)
        async with limit:
            await event.wait()
        async with condition:
            await condition.wait_for(lambda: ready)
        notes.append(("barrier", await barrier.wait()))

    tasks = [api.create_task(work(number)) for number in range(3)]
    await api.sleep(0.001)
    event.set()
    await api.sleep(0.001)
    async with condition:
        ready = True
        condition.notify_all()
    await api.gather(*tasks)


async def queues(api: Any, notes: list[Any]) -> None:
    for kind in (api.Queue, api.LifoQueue, api.PriorityQueue):
        queue = kind(maxsize=2)

        async def produce(queue: Any = queue) -> None:
            for number in (3, 1, 2):
                await queue.put(number)

        task = api.create_task(produce())
        notes.append([await queue.get() for _ in range(3)])
        await task
        with pytest.raises(asyncio.TimeoutError):
            await api.wait_for(queue.get(), 0.001)


async def waiting(api: Any, notes: list[Any]) -> None:
    async def answer(number: int, delay: float = 0) -> int:
        await api.sleep(delay)
        return number

    notes.append(await api.gather(*(answer(number) for number in range(3))))
    notes.append([await each for each in api.as_completed([answer(1, 0.02), answer(2)])])
    done, pending = await api.wait([api.create_task(answer(1))])
    notes.append((len(done), len(pending)))
    notes.append(await api.shield(answer(4)))
    with pytest.raises(TimeoutError):
        async with api.timeout(0.001):
            await api.sleep(10)
    with pytest.raises(ExceptionGroup):
        async with api.TaskGroup() as group:
            group.create_task(answer(5, 10))
            group.create_task(fail())
    task = api.create_task(answer(6, 10))
    await api.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task


async def tasks_and_futures(api: Any, notes: list[Any]) -> None:
    loop = asyncio.get_running_loop()
    future = api.Future(loop=loop)

    async def wait() -> Any:
        task: Any = asyncio.current_task()
        notes.append((isinstance(task, api.Task), task in asyncio.all_tasks()))
        return await future

    task = api.Task(wait(), loop=loop)
    loop.call_soon(future.set_result, "set")
    notes.append(await task)
    notes.append(await api.wait_for(asyncio.ensure_future(wait_for_other(loop)), 1))
    with pytest.raises(ZeroDivisionError):
        await api.Task(fail(), loop=loop)


async def wait_for_other(loop: Any) -> str:
    future = loop.create_future()
    loop.call_later(0.001, future.set_result, "the loop's own")
    return str(await future)


async def fail() -> None:
    raise ZeroDivisionError


async def streams(api: Any, notes: list[Any]) -> None:
    async def serve(reader: Any, writer: Any) -> None:
        notes.append((isinstance(reader, api.StreamReader), await reader.readline()))
        writer.write(b"x" * 200_000 + b"end")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await api.start_server(serve, "127.0.0.1", 0)
    name = server.sockets[0].getsockname()
    reader, writer = await api.open_connection(*name, limit=1 << 20)
    writer.write(b"question\n")
    notes.append(len(await reader.readuntil(b"end")))
    notes.append((await reader.read(), reader.at_eof()))
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


def notes_of(program: Program, api: Any, make_loop: Callable[[], Any]) -> list[Any]:
    notes: list[Any] = []
    loop = make_loop()
    reports: list[Any] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(asyncio.wait_for(program(api, notes), 60))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    assert not reports
    return notes


@pytest.mark.parametrize("program", [locks, queues, waiting, tasks_and_futures, streams])
def test_native_types_work_on_uvloop(program: Program) -> None:
    expected = notes_of(program, asyncio, asyncio.SelectorEventLoop)
    assert notes_of(program, bucle, uvloop.new_event_loop) == expected

"""The order in which things run is asyncio's: one FIFO of handles, task steps and callbacks.

The scenarios write what they see; the trace must be the same as that of stock types on the stock
loop, whatever types and loop the world has.
"""

from __future__ import annotations

import asyncio
import inspect
from itertools import pairwise
from typing import Any

import pytest

from tests.support import World
from tests.support import world as make_world

Trace = list[Any]


async def handles_and_tasks_interleave(world: World, trace: Trace) -> None:
    async def step(name: str) -> None:
        for number in range(3):
            trace.append((name, number))
            await asyncio.sleep(0)

    tasks = []
    for index in range(3):
        world.loop.call_soon(trace.append, f"handle {index}")
        tasks.append(world.task(step(f"task {index}")))
    await asyncio.gather(*tasks)


async def callbacks_and_waiters_of_one_future(world: World, trace: Trace) -> None:
    future = world.future()

    async def wait(name: str) -> None:
        await future
        trace.append(name)

    first = world.task(wait("first waiter"))
    await asyncio.sleep(0)
    future.add_done_callback(lambda f: trace.append("callback"))
    second = world.task(wait("second waiter"))
    await asyncio.sleep(0)
    world.loop.call_soon(trace.append, "before")
    future.set_result(None)
    world.loop.call_soon(trace.append, "after")
    await asyncio.gather(first, second)


async def chains_of_done_callbacks(world: World, trace: Trace) -> None:
    futures = [world.future() for _ in range(4)]
    for index, (this, following) in enumerate(pairwise(futures)):
        this.add_done_callback(lambda f, i=index, n=following: (trace.append(i), n.set_result(i)))
    world.loop.call_soon(trace.append, "queued first")
    futures[0].set_result("start")
    world.loop.call_soon(trace.append, "queued second")
    trace.append(await futures[-1])


async def a_task_that_awaits_a_finished_task(world: World, trace: Trace) -> None:
    async def quick() -> str:
        return "quick"

    task = world.task(quick())
    await asyncio.sleep(0)
    world.loop.call_soon(trace.append, "turn")
    trace.append(await task)
    trace.append("no turn was taken")
    await asyncio.sleep(0)


async def nested_tasks(world: World, trace: Trace) -> None:
    async def level(depth: int) -> int:
        trace.append(("in", depth))
        if depth == 0:
            return 0
        value = await world.task(level(depth - 1))
        trace.append(("out", depth))
        return int(value) + 1

    for count in range(4):
        world.loop.call_soon(trace.append, f"handle {count}")
    trace.append(await level(4))


async def cancel_and_result_in_one_turn(world: World, trace: Trace) -> None:
    async def wait(name: str, future: Any) -> None:
        try:
            trace.append((name, await future))
        except asyncio.CancelledError:
            trace.append((name, "cancelled"))
            raise

    futures = [world.future() for _ in range(4)]
    tasks = [world.task(wait(str(index), future)) for index, future in enumerate(futures)]
    await asyncio.sleep(0)
    futures[0].set_result("r")
    tasks[0].cancel()
    tasks[1].cancel()
    trace.append(futures[1].done())
    futures[2].cancel()
    futures[3].set_result("r")
    await asyncio.gather(*tasks, return_exceptions=True)
    trace.append([task.cancelled() for task in tasks])


async def locks_events_and_queues(world: World, trace: Trace) -> None:
    lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue(2)

    async def locked(name: int) -> None:
        async with lock:
            trace.append(("locked", name))
            await asyncio.sleep(0)

    async def waiting(name: int) -> None:
        await event.wait()
        trace.append(("event", name))
        await queue.put(name)

    async def getting() -> None:
        for _ in range(4):
            trace.append(("got", await queue.get()))

    tasks = [world.task(locked(n)) for n in range(3)]
    tasks += [world.task(waiting(n)) for n in range(4)]
    tasks.append(world.task(getting()))
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(*tasks)


async def timers_of_equal_and_different_time(world: World, trace: Trace) -> None:
    now = world.loop.time()
    for name, when in enumerate([now + 0.003, now, now + 0.001, now + 0.003, now - 5]):
        world.loop.call_at(when, trace.append, name)
    await asyncio.sleep(0.005)


async def stop_iteration_of_gather_wait_and_shield(world: World, trace: Trace) -> None:
    async def work(number: int) -> int:
        for _ in range(number):
            await asyncio.sleep(0)
        trace.append(number)
        if number == 2:
            raise KeyError(number)
        return number

    results = await asyncio.gather(*(world.task(work(n)) for n in range(5)), return_exceptions=True)
    trace.append([type(result).__name__ for result in results])
    tasks = [world.task(work(n)) for n in (3, 1, 4)]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    trace.append((len(done), len(pending)))
    # Tasks that are done already come out in the order of a set: only the rest is determined.
    trace.append(sorted([await each for each in asyncio.as_completed(tasks)]))
    trace.append(await asyncio.shield(world.task(work(1))))


async def exceptions_between_tasks(world: World, trace: Trace) -> None:
    async def fail(name: str) -> None:
        await asyncio.sleep(0)
        raise LookupError(name)

    async def catch(name: str) -> None:
        try:
            await world.task(fail(name))
        except LookupError as error:
            trace.append(error.args)
        finally:
            trace.append(("finally", name))

    await asyncio.gather(*(world.task(catch(name)) for name in "abc"))


async def eager_tasks_by_a_factory(world: World, trace: Trace) -> None:
    if not hasattr(asyncio, "create_eager_task_factory"):
        return

    async def child(name: str, turns: int) -> str:
        trace.append(("start", name))
        for _ in range(turns):
            await asyncio.sleep(0)
        trace.append(("end", name))
        return name

    world.loop.set_task_factory(asyncio.create_eager_task_factory(world.types.Task))
    try:
        for turns in (0, 1, 2):
            task = asyncio.create_task(child(f"c{turns}", turns))
            trace.append(task.done())
            trace.append(await task)
        trace.append(await asyncio.gather(child("x", 0), child("y", 2), child("z", 1)))
    finally:
        world.loop.set_task_factory(None)


SCENARIOS = [
    found
    for found in list(globals().values())
    if getattr(found, "__module__", None) == __name__ and inspect.iscoroutinefunction(found)
]


def run(scenario: Any, world: World) -> Trace:
    trace: Trace = []
    world.run(scenario(world, trace))
    return trace


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_same_trace_as_stock(scenario: Any, world: World) -> None:
    with make_world("stock", "stock") as control:
        expected = run(scenario, control)
    assert run(scenario, world) == expected
    assert expected or scenario is eager_tasks_by_a_factory


def test_a_batch_runs_to_its_end_after_stop(world: World) -> None:
    seen: list[int] = []
    for number in range(5):
        world.loop.call_soon(seen.append, number)
        if number == 1:
            world.loop.call_soon(world.loop.stop)
    world.loop.call_soon(lambda: world.loop.call_soon(seen.append, "next run"))
    world.loop.run_forever()
    assert seen == [0, 1, 2, 3, 4]
    world.turn()
    assert seen == [0, 1, 2, 3, 4, "next run"]

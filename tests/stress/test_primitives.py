"""A million operations of each primitive, mistakes and cancellations included, under accounting.

The work is done in four parts in a fresh process, with asyncio's names native where bucle is under
test.  After each part all is counted that a leak could show in: objects that the collector knows,
blocks that Python allocated, references of shared objects, the size of the process.  Caches fill
up once; what grows by more than one for fifty operations in each of the later parts is a leak.
BUCLE_EXAMPLES=large asks for the million, an everyday run does a fiftieth of it.
"""

from __future__ import annotations

import itertools
import json
import os

import pytest

from tests.support import Implementation, check_script

pytestmark = [pytest.mark.stress, pytest.mark.timeout(600)]

OPERATIONS = 1_000_000 if os.environ.get("BUCLE_EXAMPLES") == "large" else 20_000
PARTS = 4

PRELUDE = """
import asyncio, gc, json, resource, sys, warnings

class Failure(Exception):
    pass

if impl.native:
    import bucle
    bucle.install()
loop = impl.new_loop()
item = object()
failure = Failure("always the same")

async def fail():
    raise Failure

async def turn(result=None):
    await asyncio.sleep(0)
    return result

async def cancelled(coroutine, turns=1):
    # Lets a task start, cancels it and sees it end.
    task = loop.create_task(coroutine)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError:
        return
    raise AssertionError("not cancelled")

async def fails(awaitable, kind):
    try:
        await awaitable
    except kind:
        return
    raise AssertionError("no " + kind.__name__)

def refuses(call, kind, *args):
    try:
        call(*args)
    except kind:
        return
    raise AssertionError("no " + kind.__name__)

def closed_midway(coroutine):
    # Leaves a coroutine where it waits.
    future = coroutine.send(None)
    future._asyncio_future_blocking = False
    coroutine.close()
"""

# Twenty operations, roughly, in each turn of a loop.
WORK = {
    "Lock": """
lock = asyncio.Lock()
async def use():
    async with lock:
        await asyncio.sleep(0)
async def main(count):
    for _ in range(count):
        await asyncio.gather(use(), use(), use())
        for _ in range(10):
            async with lock:
                pass
        await lock.acquire()
        await cancelled(lock.acquire())
        closed_midway(lock.acquire())
        lock.release()
        refuses(lock.release, RuntimeError)
    assert not lock.locked() and not lock._waiters
""",
    "Semaphore": """
semaphore = asyncio.Semaphore(2)
async def use():
    async with semaphore:
        await asyncio.sleep(0)
async def main(count):
    for _ in range(count):
        await asyncio.gather(use(), use(), use(), use())
        for _ in range(10):
            async with semaphore:
                pass
        await semaphore.acquire()
        await semaphore.acquire()
        await cancelled(semaphore.acquire())
        closed_midway(semaphore.acquire())
        semaphore.release()
        semaphore.release()
    assert semaphore._value == 2 and not semaphore._waiters
""",
    "BoundedSemaphore": """
semaphore = asyncio.BoundedSemaphore(1)
async def use():
    async with semaphore:
        await asyncio.sleep(0)
async def main(count):
    for _ in range(count):
        await asyncio.gather(use(), use())
        for _ in range(14):
            async with semaphore:
                pass
        refuses(semaphore.release, ValueError)
    assert semaphore._value == 1 and not semaphore._waiters
""",
    "Event": """
event = asyncio.Event()
async def main(count):
    for _ in range(count):
        waiters = [loop.create_task(event.wait()) for _ in range(5)]
        await asyncio.sleep(0)
        await cancelled(event.wait())
        closed_midway(event.wait())
        event.set()
        assert await asyncio.gather(*waiters) == [True] * 5
        for _ in range(10):
            await event.wait()
        event.clear()
    assert not event._waiters
""",
    "Condition": """
condition = asyncio.Condition()
async def wait(predicate=None):
    async with condition:
        if predicate:
            return await condition.wait_for(predicate)
        return await condition.wait()
async def main(count):
    for _ in range(count):
        ready = []
        waiters = [loop.create_task(wait()) for _ in range(4)]
        waiters.append(loop.create_task(wait(lambda: ready)))
        await asyncio.sleep(0)
        await cancelled(wait())
        for _ in range(3):
            async with condition:
                condition.notify(2)
        refuses(condition.notify, RuntimeError)
        ready.append(item)
        async with condition:
            condition.notify_all()
        await asyncio.gather(*waiters)
        await fails(condition.wait(), RuntimeError)
    assert not condition.locked() and not condition._waiters
""",
    "Barrier": """
barrier = asyncio.Barrier(3)
async def enter():
    async with barrier:
        pass
async def main(count):
    for _ in range(count):
        for _ in range(4):
            await asyncio.gather(barrier.wait(), barrier.wait(), enter())
        await cancelled(barrier.wait())
        waiting = loop.create_task(barrier.wait())
        await asyncio.sleep(0)
        await barrier.reset()
        await fails(waiting, asyncio.BrokenBarrierError)
        await barrier.abort()
        await fails(barrier.wait(), asyncio.BrokenBarrierError)
        await barrier.reset()
    assert barrier.n_waiting == 0
""",
    **{
        name: f"""
queue = asyncio.{name}(3)
async def main(count):
    for _ in range(count):
        for _ in range(3):
            await queue.put(number)
        refuses(queue.put_nowait, asyncio.QueueFull, number)
        blocked = loop.create_task(queue.put(number))
        await cancelled(queue.put(number))
        closed_midway(queue.put(number))
        joining = loop.create_task(queue.join())
        for _ in range(4):
            await queue.get()
            queue.task_done()
        await blocked
        refuses(queue.get_nowait, asyncio.QueueEmpty)
        waiting = loop.create_task(queue.get())
        await cancelled(queue.get())
        closed_midway(queue.get())
        queue.put_nowait(number)
        await waiting
        queue.task_done()
        await joining
        refuses(queue.task_done, ValueError)
    assert queue.empty() and not queue._getters and not queue._putters
""".replace("number", "1.5" if name == "PriorityQueue" else "item")
        for name in ("Queue", "LifoQueue", "PriorityQueue")
    },
    "queues, made and dropped": """
async def main(count):
    for _ in range(count * 2):
        queue = asyncio.Queue()
        for _ in range(3):
            queue.put_nowait(item)
        queue.me = queue
        lock, event = asyncio.Lock(), asyncio.Event()
        await lock.acquire()
        event.set()
        condition = asyncio.Condition()
        condition.me = condition
        asyncio.Semaphore(3), asyncio.Barrier(2), asyncio.PriorityQueue(), asyncio.LifoQueue()
""",
    "sleep": """
async def main(count):
    for _ in range(count):
        for _ in range(10):
            await asyncio.sleep(0)
        for _ in range(3):
            assert await asyncio.sleep(0, item) is item
        assert await asyncio.sleep(1e-9, item) is item
        await cancelled(asyncio.sleep(3600, item))
        closed_midway(asyncio.sleep(3600, item))
        asyncio.sleep(0, item).close()
        await fails(asyncio.sleep("x"), TypeError)
""",
    "gather": """
async def main(count):
    for _ in range(count):
        assert await asyncio.gather(*[turn(item) for _ in range(6)]) == [item] * 6
        await fails(asyncio.gather(turn(), fail(), turn()), Failure)
        got = await asyncio.gather(turn(item), fail(), return_exceptions=True)
        assert type(got[1]) is Failure
        future = loop.create_future()
        waiting = asyncio.gather(future, turn(item))
        await asyncio.sleep(0)
        waiting.cancel("enough")
        await fails(waiting, asyncio.CancelledError)
        assert await asyncio.gather() == []
""",
    "wait": """
async def main(count):
    for _ in range(count):
        tasks = [loop.create_task(turn(item)) for _ in range(6)]
        done, pending = await asyncio.wait(tasks)
        assert len(done) == 6 and not pending
        never = loop.create_future()
        done, pending = await asyncio.wait(
            [never, loop.create_task(turn())], return_when=asyncio.FIRST_COMPLETED
        )
        assert pending == {never}
        done, pending = await asyncio.wait([never], timeout=0)
        assert pending == {never}
        await cancelled(asyncio.wait([never]))
        await fails(asyncio.wait([]), ValueError)
        assert not never._callbacks
""",
    "wait_for": """
async def main(count):
    for _ in range(count):
        for _ in range(3):
            assert await asyncio.wait_for(turn(item), 3600) is item
        future = loop.create_future()
        loop.call_soon(future.set_result, item)
        assert await asyncio.wait_for(future, 3600) is item
        await fails(asyncio.wait_for(asyncio.sleep(3600), 0), TimeoutError)
        await fails(asyncio.wait_for(asyncio.sleep(3600), 1e-9), TimeoutError)
        await fails(asyncio.wait_for(fail(), 3600), Failure)
        await cancelled(asyncio.wait_for(asyncio.sleep(3600), 3600), 2)
        assert await asyncio.wait_for(turn(item), None) is item
""",
    "shield": """
async def main(count):
    for _ in range(count):
        for _ in range(5):
            assert await asyncio.shield(turn(item)) is item
        await fails(asyncio.shield(fail()), Failure)
        inner = loop.create_future()
        outer = asyncio.shield(inner)
        outer.cancel("enough")
        await fails(outer, asyncio.CancelledError)
        inner.set_result(item)
        await asyncio.sleep(0)
        assert await asyncio.shield(inner) is item
""",
    "as_completed": """
async def main(count):
    for _ in range(count):
        for each in asyncio.as_completed([turn(item) for _ in range(8)]):
            assert await each is item
        never = loop.create_future()
        for each in asyncio.as_completed([never], timeout=0):
            await fails(each, TimeoutError)
        for each in asyncio.as_completed([fail()]):
            await fails(each, Failure)
        assert not never._callbacks
""",
    "timeout": """
async def main(count):
    for _ in range(count):
        for _ in range(8):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(3600)
        except TimeoutError:
            pass
        async with asyncio.timeout_at(None) as timeout:
            timeout.reschedule(loop.time() + 3600)
        try:
            async with asyncio.timeout(3600):
                raise failure.with_traceback(None)
        except Failure:
            pass
        failure.__context__ = None
        refuses(timeout.reschedule, RuntimeError, None)
""",
    "TaskGroup": """
async def group_of(*coroutines):
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)
async def main(count):
    for _ in range(count):
        await group_of(*[turn(item) for _ in range(6)])
        await fails(group_of(turn(), fail(), asyncio.sleep(3600)), ExceptionGroup)
        await cancelled(group_of(asyncio.sleep(3600), turn()))
        await group_of()
""",
}

REPORT = """
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

shared = {
    "an item": item,
    "a failure": failure,
    "the loop": loop,
    "a coroutine function": turn,
    "the exception class": Failure,
    "CancelledError": asyncio.CancelledError,
    "Task": asyncio.Task,
    "Queue": asyncio.Queue,
    "Lock": asyncio.Lock,
}

def account():
    gc.collect()
    gc.collect()
    counts = {"references of " + name: sys.getrefcount(thing) for name, thing in shared.items()}
    return counts | {
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
        "resident": resident(),
    }

accounts = []
for _ in range(parts):
    loop.run_until_complete(main(operations // parts // 20))
    accounts.append(account())
loop.close()
print(json.dumps(accounts))
"""


def leaks(accounts: list[dict[str, int]], allowed: int) -> dict[str, list[int]]:
    """What has grown by more than allowed in each part but the first, where caches fill."""
    growth = {
        name: [after[name] - before[name] for before, after in itertools.pairwise(accounts[1:])]
        for name in accounts[0]
    }
    resident = growth.pop("resident")
    found = {name: each for name, each in growth.items() if min(each) > allowed}
    if sum(resident) > 3_000_000:
        found["resident"] = resident
    return found


def accounts_of(impl: str, work: str, operations: int = OPERATIONS) -> list[dict[str, int]]:
    sizes = f"parts, operations = {PARTS}, {operations}\n"
    out = check_script(PRELUDE + work + sizes + REPORT, impl=impl, timeout=500)
    accounts: list[dict[str, int]] = json.loads(out)
    return accounts


@pytest.mark.parametrize("name", WORK)
def test_a_million_operations_leave_nothing(impl: Implementation, name: str) -> None:
    accounts = accounts_of(impl.name, WORK[name])
    assert leaks(accounts, OPERATIONS // PARTS // 25) == {}


def test_the_accounting_sees_a_leak() -> None:
    leaking = """
kept = []
async def main(count):
    for _ in range(count * 4):
        kept.append((item, []))
"""
    found = leaks(accounts_of("stock", leaking, 40_000), 200)
    assert {"references of an item", "objects", "blocks"} <= found.keys()

"""all_tasks, current_task, call graphs and `python -m asyncio ps` show tasks of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.support import ROOT, STOCK, Implementation, World, collect

SINCE_3_14 = sys.version_info >= (3, 14)


def test_all_tasks_of_a_loop(world: World) -> None:
    async def main() -> None:
        mine = asyncio.current_task()
        others = {world.task(asyncio.sleep(10)) for _ in range(3)}
        stock = {STOCK.Task(asyncio.sleep(10), loop=world.loop)}
        assert asyncio.all_tasks() == {mine} | others | stock
        for task in others | stock:
            task.cancel()
        await asyncio.gather(*others, *stock, return_exceptions=True)
        assert asyncio.all_tasks() == {mine}

    world.run(main())
    assert asyncio.all_tasks(world.loop) == set()


def test_all_tasks_from_outside_and_from_another_thread(world: World) -> None:
    task = world.task(asyncio.sleep(0))
    assert asyncio.all_tasks(world.loop) == {task}
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(asyncio.all_tasks(world.loop)))
    thread.start()
    thread.join()
    assert seen == [{task}]
    world.loop.run_until_complete(task)


def test_tasks_of_another_loop_are_left_out(world: World) -> None:
    other = world.loops.new_loop()
    here, there = world.task(asyncio.sleep(0)), world.types.Task(asyncio.sleep(0), loop=other)
    assert asyncio.all_tasks(world.loop) == {here}
    assert asyncio.all_tasks(other) == {there}
    world.loop.run_until_complete(here)
    other.run_until_complete(there)
    other.close()


def test_a_collected_task_is_forgotten(world: World) -> None:
    task = world.task(asyncio.sleep(0))
    world.loop.run_until_complete(task)
    del task
    collect()
    assert asyncio.all_tasks(world.loop) == set()


def test_current_task(world: World) -> None:
    async def child() -> Any:
        return asyncio.current_task()

    async def main() -> None:
        mine = asyncio.current_task()
        assert isinstance(mine, asyncio.Task)
        inner = world.task(child())
        assert await inner is inner
        assert asyncio.current_task() is mine
        assert asyncio.current_task(world.loop) is mine
        with pytest.raises(RuntimeError):
            await asyncio.to_thread(asyncio.current_task)

    world.run(main())
    assert asyncio.current_task(world.loop) is None


def test_no_current_task_inside_plain_callbacks(world: World) -> None:
    seen: list[Any] = []

    async def main() -> None:
        for _ in range(3):
            world.loop.call_soon(lambda: seen.append(asyncio.current_task()))
            await asyncio.sleep(0)

    world.run(main())
    assert seen == [None] * 3


def test_current_task_while_tasks_follow_each_other(world: World) -> None:
    async def body(number: int) -> list[bool]:
        right = []
        me = None
        for _ in range(5):
            current = asyncio.current_task()
            me = me or current
            right.append(current is me)
            await asyncio.sleep(0)
        return right

    async def main() -> list[Any]:
        kinds = [world.types.Task, STOCK.Task, world.types.Task, STOCK.Task]
        tasks = [kind(body(n), loop=world.loop) for n, kind in enumerate(kinds)]
        return await asyncio.gather(*tasks)

    assert world.run(main()) == [[True] * 5] * 4


def test_enter_and_leave_are_asyncios_own(world: World) -> None:
    async def main() -> str:
        task = asyncio.current_task()
        other = world.task(asyncio.sleep(0))
        with pytest.raises(RuntimeError) as caught:
            asyncio.tasks._enter_task(world.loop, other)  # type: ignore[attr-defined]
        asyncio.tasks._leave_task(world.loop, task)  # type: ignore[attr-defined]
        assert asyncio.current_task() is None
        asyncio.tasks._enter_task(world.loop, other)  # type: ignore[attr-defined]
        assert asyncio.current_task() is other
        asyncio.tasks._leave_task(world.loop, other)  # type: ignore[attr-defined]
        asyncio.tasks._enter_task(world.loop, task)  # type: ignore[attr-defined]
        await other
        return str(caught.value)

    text = world.run(main())
    assert text.startswith("Cannot enter into task <")
    assert "while another task <" in text


@pytest.mark.skipif(not SINCE_3_14, reason="call graphs came with 3.14")
def test_call_graph_has_an_edge_for_every_waiter(world: World) -> None:
    async def leaf(event: asyncio.Event) -> None:
        await event.wait()

    async def main() -> None:
        event = asyncio.Event()
        inner = world.task(leaf(event), name="inner")
        outer = [world.task(wait(inner), name=f"outer {n}") for n in range(2)]
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        await asyncio.sleep(0)
        graph: Any = asyncio.capture_call_graph(inner)  # type: ignore[attr-defined]
        assert graph.future is inner
        names = {waiter.future.get_name() for waiter in graph.awaited_by}
        assert names == {"outer 0", "outer 1"}
        assert any(entry.frame.f_code.co_name == "leaf" for entry in graph.call_stack)
        text = asyncio.format_call_graph(inner)  # type: ignore[attr-defined]
        assert "leaf" in text
        assert "outer 1" in text
        event.set()
        await asyncio.gather(*outer)
        assert not inner._asyncio_awaited_by

    async def wait(task: Any) -> None:
        await task

    world.run(main())


WATCHED = """
import asyncio, sys
from tests.support import implementation
impl = implementation(sys.argv[1])

async def leaf():
    await asyncio.sleep(100)

async def branch():
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf(), name="leaf one")
        group.create_task(leaf(), name="leaf two")

async def main():
    task = asyncio.create_task(branch(), name="branch")
    await asyncio.sleep(0.01)
    print("ready", flush=True)
    await task

loop = impl.new_loop()
loop.create_task(main(), name="root")
loop.run_forever()
"""


@pytest.mark.skipif(not SINCE_3_14, reason="`python -m asyncio ps` came with 3.14")
@pytest.mark.parametrize("command", ["ps", "pstree"])
def test_asyncio_ps_and_pstree(impl: Implementation, command: str) -> None:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", ""), str(ROOT / "python")])
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHED, impl.name],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        seen = subprocess.run(
            [sys.executable, "-m", "asyncio", command, str(child.pid)],
            capture_output=True,
            text=True,
            timeout=30,
        )
    finally:
        child.kill()
        child.wait()
        with contextlib.suppress(AttributeError):
            child.stdout.close()  # type: ignore[union-attr]
    if "ermission" in seen.stderr or "not permitted" in seen.stderr:
        pytest.skip("this machine forbids reading another process")
    assert seen.returncode == 0, seen.stderr
    for name in ("root", "branch", "leaf one", "leaf two"):
        assert name in seen.stdout

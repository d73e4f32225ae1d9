"""Native coroutines in the eyes of call graphs and of `python -m asyncio ps`, from 3.14 on."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import bucle
from tests.support import check_script

pytestmark = pytest.mark.skipif(
    not hasattr(asyncio, "capture_call_graph"), reason="call graphs came with 3.14"
)


def names(task: Any) -> list[str]:
    graph = asyncio.capture_call_graph(task)
    assert graph is not None
    assert all(entry.frame.f_generator is not None for entry in graph.call_stack)
    return [entry.frame.f_code.co_name for entry in graph.call_stack]


def test_call_stack() -> None:
    async def user(future: Any) -> None:
        async with bucle.TaskGroup() as group:
            group.create_task(bucle.wait_for(future, 60), name="inner")

    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(user(future)), asyncio.create_task(bucle.sleep(60))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        [inner] = [task for task in asyncio.all_tasks() if task.get_name() == "inner"]
        assert names(tasks[0]) == ["_aexit", "__aexit__", "user"]
        assert names(tasks[1]) == ["sleep"]
        assert names(inner) == ["wait_for"]
        graph = asyncio.capture_call_graph(inner)
        assert [parent.future for parent in graph.awaited_by] == [tasks[0]]
        assert "async sleep()" in (asyncio.format_call_graph(tasks[1]) or "")
        future.set_result(None)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    bucle.run(main())


PS = """
import asyncio, os, subprocess, sys
import bucle

async def main():
    tasks = [asyncio.create_task(bucle.sleep(60), name="of-sleep")]
    tasks.append(asyncio.create_task(bucle.Lock().acquire(), name="of-acquire"))
    await asyncio.sleep(0)
    for command in ("ps", "pstree"):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "asyncio", command, str(os.getpid())],
            capture_output=True, text=True,
        )
        if "permission" in (done.stdout + done.stderr).lower():
            print("not allowed")
            continue
        assert done.returncode == 0, done
        print(done.stdout)
    tasks[0].cancel()

bucle.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="another process's memory is read")
def test_ps() -> None:
    out = check_script(PS)
    if "not allowed" in out:
        pytest.skip("this process may not look into another one")
    assert "of-sleep" in out
    assert "sleep /" in out

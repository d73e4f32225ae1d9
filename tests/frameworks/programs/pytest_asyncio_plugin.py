"""pytest-asyncio with the loop from its hook: a small suite of its own, every outcome shown."""

from __future__ import annotations

import contextlib
import io
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.frameworks.launch import World

SUITE = """
import asyncio
import contextvars
import pytest
import pytest_asyncio

variable = contextvars.ContextVar("variable", default="unset")


@pytest_asyncio.fixture
async def server():
    async def echo(reader, writer):
        writer.write(await reader.read(100))
        writer.close()
        await writer.wait_closed()

    made = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield made.sockets[0].getsockname()[1]
    made.close()
    await made.wait_closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared():
    yield asyncio.get_running_loop()


@pytest_asyncio.fixture
async def sets_variable():
    variable.set("by a fixture")


@pytest.mark.asyncio
async def test_world(look):
    look()


@pytest.mark.asyncio
async def test_network(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(b"hello")
    assert await reader.read() == b"hello"
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("number", [1, 2])
async def test_shared_loop(shared, number):
    assert asyncio.get_running_loop() is shared
    await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_context(sets_variable):
    assert variable.get() == "by a fixture"


@pytest.mark.asyncio
async def test_failure():
    await asyncio.sleep(0)
    assert 1 == 2


@pytest.mark.asyncio
async def test_cancelled_leftover():
    asyncio.create_task(asyncio.sleep(100))
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_group():
    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(100))
            group.create_task(asyncio.sleep("no number"))


@pytest.mark.asyncio
async def test_timeout():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(100)
"""


class Plugin:
    """Gives the loop to the suite and takes down what came of each test."""

    def __init__(self, world: World) -> None:
        self.world = world

    def pytest_asyncio_loop_factories(self, config: Any, item: Any) -> dict[str, Any]:
        return {"loop": self.world.new_loop}

    @pytest.fixture
    def look(self) -> Any:
        return self.world.look

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            line = report.longreprtext.splitlines()[-1:]
            where = [text.rpartition("/")[2] for text in line]
            print(report.nodeid, report.when, report.outcome, *where, file=self.output)

    output = io.StringIO()


def main(world: World) -> None:
    plugin = Plugin(world)
    terminal = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_suite.py").write_text(textwrap.dedent(SUITE))
        options = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", "-q"]
        options += ["-p", "no:anyio", "-c", f"{folder}/none.ini", f"--rootdir={folder}", folder]
        settings = f"[pytest]\nasyncio_mode = strict\nasyncio_debug = {world.debug}\n"
        (Path(folder) / "none.ini").write_text(settings)
        with contextlib.redirect_stdout(terminal):
            status = pytest.main(options, plugins=[plugin])
    print(plugin.output.getvalue())
    print("status", int(status), "warnings" in terminal.getvalue())
    if "passed" not in terminal.getvalue():
        print(terminal.getvalue())

"""Every program in every world, each run in an interpreter of its own, against asyncio's output.

A program is skipped where its libraries are not installed: `tools/frameworks.sh` makes an
environment that has them all.  The control is asyncio itself, run with the same libraries just
before, so that nothing here knows what a library of some version prints.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.frameworks import servers
from tests.frameworks.launch import WORLDS
from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PROGRAMS = {
    "aiohttp_http": "aiohttp",
    "aiohttp_tls": "aiohttp trustme",
    "aiohttp_websocket": "aiohttp",
    "aiomultiprocess_pool": "aiomultiprocess",
    "aiosmtpd_server": "aiosmtpd trustme",
    "anyio_backend": "anyio trustme",
    "asyncpg_client": "asyncpg trustme",
    "gunicorn_workers:aiohttp": "gunicorn aiohttp",
    "gunicorn_workers:uvicorn": "gunicorn uvicorn_worker h11",
    "httpx_client": "httpx trustme",
    "pytest_asyncio_plugin": "pytest_asyncio",
    "redis_client": "redis trustme",
    "tornado_web": "tornado trustme",
    "uvicorn_server:h11": "uvicorn h11 websockets trustme",
    "uvicorn_server:httptools": "uvicorn httptools wsproto trustme",
    "websockets_library": "websockets trustme",
}
HERE = [
    program
    for program, libraries in PROGRAMS.items()
    if all(map(importlib.util.find_spec, libraries.split()))
]
# the fixtures below that a program needs started
SERVERS = {"asyncpg_client": "postgres", "redis_client": "redis"}


@dataclass(frozen=True)
class Run:
    """What a program did, in a form to be compared."""

    status: int
    output: list[str]
    errors: list[str]


def run(program: str, world: str, environment: tuple[tuple[str, str], ...]) -> Run:
    name, _, variant = program.partition(":")
    # The caller's path first: under a sanitizer it leads to another build of the extension.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT / "python")]
    own = {"PYTHONPATH": ":".join(paths), "PYTHONHASHSEED": "0"}
    # a warning of these says that something was leaked or never awaited
    options = ["-W", "always::ResourceWarning", "-W", "always::RuntimeWarning"]
    module = "tests.frameworks.launch"
    done = subprocess.run(
        [sys.executable, *options, "-m", module, world, name, *filter(None, [variant])],
        env=os.environ | own | dict(environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


@functools.cache
def control(program: str, environment: tuple[tuple[str, str], ...]) -> Run:
    return run(program, "asyncio", environment)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    if importlib.util.find_spec("trustme") is None:
        return None
    return servers.make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres(certificates: Path | None) -> Iterator[dict[str, str]]:
    try:
        with servers.postgres(certificates) as environment:
            yield environment
    except servers.Missing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def redis(certificates: Path | None) -> Iterator[dict[str, str]]:
    try:
        with servers.redis(certificates) as environment:
            yield environment
    except servers.Missing as error:
        pytest.skip(str(error))


@pytest.fixture
def environment(
    program: str, certificates: Path | None, request: pytest.FixtureRequest
) -> tuple[tuple[str, str], ...]:
    """What the program is told: where certificates and servers are. Skips where one is missing."""
    for library in PROGRAMS[program].split():
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: tools/frameworks.sh has it")
    found = {"BUCLE_CERTIFICATES": str(certificates)}
    if server := SERVERS.get(program):
        found |= request.getfixturevalue(server)
    return tuple(sorted(found.items()))


pytestmark = pytest.mark.timeout(700)  # two programs, on a machine that may be busy


def grouped(programs: Iterable[str]) -> list[Any]:
    """The programs, each one's tests on one worker: it keeps the control's run."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in programs]


@pytest.mark.slow
@pytest.mark.parametrize("program", grouped(PROGRAMS))
def test_asyncio_is_a_sound_control(program: str, environment: tuple[tuple[str, str], ...]) -> None:
    stock = control(program, environment)
    assert stock.status == 0, "\n".join(stock.output[-5:] + stock.errors)
    assert stock.errors == []
    assert stock.output[-1] == "end"
    assert len(stock.output) > 5


@pytest.mark.slow
@pytest.mark.parametrize("way", WORLDS[1:])
@pytest.mark.parametrize("program", grouped(HERE))
def test_the_same_as_under_asyncio(
    program: str, way: str, environment: tuple[tuple[str, str], ...]
) -> None:
    ours, stock = run(program, way, environment), control(program, environment)
    for there, here in ((stock.errors, ours.errors), (stock.output, ours.output)):
        assert there == here, "\n".join(
            difflib.unified_diff(there, here, "asyncio", way, "", "", 1)
        )
    assert ours.status == 0


def test_no_program_is_forgotten() -> None:
    """A new file in programs/ needs a row above."""
    found = {path.stem for path in (ROOT / "tests/frameworks/programs").glob("*.py")}
    assert found - {"__init__", "common"} == {program.split(":")[0] for program in PROGRAMS}

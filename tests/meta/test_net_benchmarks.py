"""The benchmarks of the network: every row runs, and a load that finds a fault says so.

Figures are not judged here either. The load generator is compiled for these tests.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from benchmarks import publish
from benchmarks.compare import MALLOC, Cell, Run, Sample, compare
from benchmarks.loops import CONTENDERS, DEFAULT, LIMITS, PAIRS, REFERENCE
from benchmarks.net import NET, Echo, load_protocol, serve_stream
from benchmarks.programs import FOLDER, LIBUV_SERVER, program
from benchmarks.report import document, markdown, ratios_table
from benchmarks.sample import sample
from benchmarks.serving import Load, under_load
from benchmarks.workload import Bench, UnavailableError
from tests.meta.test_benchmarks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

ONCE = [name for name, workload in NET.items() if workload.once]
(LIBUV,) = LIMITS


@pytest.fixture(scope="module")
def built() -> str:
    """Compile the programs, where that can be done."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    # one folder a C library: the checkout may be shared with another system
    folder = ROOT / "build" / f"load-{'-'.join(platform.libc_ver())}"
    done = subprocess.run(
        [ROOT / "tools" / "build_load", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return str(folder)


@pytest.fixture
def bench(built: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A stock loop that can be put under load."""
    monkeypatch.setenv(FOLDER, built)
    loop = asyncio.SelectorEventLoop()
    yield Bench(asyncio.SelectorEventLoop, loop, 100, seconds=0.2)
    assert asyncio.all_tasks(loop) == set()
    loop.close()


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def made_run(**walls: float) -> Run:
    """Make up a run of one round by times of asyncio and others, a keyword each."""
    samples = {name: {0: Sample(wall, wall / 2, 1.0)} for name, wall in walls.items()}
    cells = {("protocol_echo_50", name): Cell(found) for name, found in samples.items()}
    return Run("net", dict.fromkeys(walls, "1"), {}, cells, 1, [(0.0, 0.0, 0.0)])


@pytest.mark.parametrize("name", list(NET))
def test_every_row_measures_something_and_leaves_nothing(name: str, bench: Bench) -> None:
    before = descriptors()
    try:
        NET[name].run(bench)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    # few connections may fit into memory that is there
    assert bench.watch.wall > 0 or (bench.watch.wall == 0 and name.startswith("idle"))
    assert (bench.watch.cpu > 0) == ("cpu" in NET.unit_of(name).readings)
    assert 0.0 <= bench.idle <= 1.0
    assert descriptors() == before


@pytest.mark.parametrize("name", ONCE)
def test_libuv_serves_what_c_can(name: str, bench: Bench) -> None:
    before = descriptors()
    bench.program = program(LIBUV_SERVER)
    if name in ("readline_64", "http_uvicorn", "http_aiohttp"):
        with pytest.raises(UnavailableError):
            NET[name].run(bench)
        return
    NET[name].run(bench)
    assert bench.watch.wall > 0
    assert descriptors() == before


class Liar(Echo):
    """Answers with as many other bytes."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(bytes(len(data)))


class Chatterbox(Echo):
    """Answers with more than was asked for."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(data + b"?")


class Leaver(Echo):
    """Does not answer."""

    def data_received(self, data: bytes) -> None:
        self.transport.close()


class Sleeper(Echo):
    """Listens only."""

    def data_received(self, data: bytes) -> None:
        pass


@pytest.mark.parametrize(
    ("protocol", "reason"),
    [
        (Liar, "a response is not the expected one"),
        (Chatterbox, "a response is longer than expected"),
        (Leaver, "the server closed a connection"),
        (Sleeper, "the server answered nothing"),
    ],
)
def test_a_wrong_server_is_no_figure(protocol: type[Echo], reason: str, bench: Bench) -> None:
    with pytest.raises(RuntimeError, match=f"load: {reason}"):
        load_protocol(bench, Load(connections=2), protocol)
    assert bench.watch.wall == 0


def test_an_error_of_the_server_is_not_swallowed(bench: Bench) -> None:
    """What goes wrong before there is a load reaches who measures, too."""

    async def serve() -> None:
        raise NotImplementedError("no such server")

    with pytest.raises(NotImplementedError):
        under_load(bench, Load(), serve)  # type: ignore[arg-type]


def test_a_long_request_arrives_whole(bench: Bench) -> None:
    """More than the kernel takes at once is sent in parts, while the server reads."""
    size = 300_000

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            data = await reader.readexactly(size)
            await asyncio.sleep(0)
            writer.write(data)
            await writer.drain()

    async def until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await slow(reader, writer)
        except asyncio.IncompleteReadError:
            pass

    load = Load(connections=2, request=size, response=size)
    under_load(bench, load, lambda: serve_stream(until_the_end))
    assert bench.watch.wall > 0


def test_no_server_in_c_is_a_reason_to_leave_out(bench: Bench) -> None:
    bench.program = program(LIBUV_SERVER)
    with pytest.raises(UnavailableError):
        load_protocol(bench, Load(limit=None), Echo)


def test_a_limit_measures_only_what_is_served() -> None:
    """Rows that are batches in Python have nothing that a program could take the place of."""
    answer = sample(NET["sock_ready"], CONTENDERS[LIBUV], 0.0)
    assert answer == {"unavailable": "runs in Python only"}
    assert LIBUV not in DEFAULT
    assert LIBUV not in PAIRS
    assert NET.limits == (LIBUV,)


def test_without_the_programs_rows_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are "-" and not failures, and the report says once what is missing."""
    monkeypatch.delenv(FOLDER, raising=False)
    names = ["protocol_echo_1", "udp_echo"]
    run = compare("net", names, [LIBUV], rounds=1, seconds=0.0, progress=io.StringIO())
    assert LIBUV in run.missing
    report = markdown(run, absolute=True)
    assert "Left out: all, protocol_echo_1, udp_echo: the load generator is not built" in report
    assert "Failed" not in report
    assert "| UDP echo 1 KiB, 50 clients | - |" in report


def test_rates_are_shown_as_rates() -> None:
    """Less time is more in a second; a row of another unit says so."""
    run = made_run(asyncio=1e-5, bucle=5e-6)
    run.cells["bulk_stream", REFERENCE] = Cell({0: Sample(0.001, 0.001, 1.0)})
    run.cells["idle_protocol", REFERENCE] = Cell({0: Sample(3000.0, 0.0, 1.0)})
    for name in ("bulk_stream", "idle_protocol"):
        run.cells[name, "bucle"] = Cell(unavailable="it is a test")
    report = markdown(run, absolute=True)
    assert "| protocol echo 1 KiB, 50 connections | 2.00 | bucle |" in report
    assert "| protocol echo 1 KiB, 50 connections | 100 ±0% | 200 ±0% |" in report
    assert "| bulk stream of 64 KiB writes (MiB a second) | 1000 ±0% | - |" in report
    assert "| memory of an idle connection, protocol (bytes) | 3000 ±0% | - |" in report
    assert report.count("memory of an idle connection") == 2  # it has no CPU time


def test_a_limit_is_not_the_best() -> None:
    """The last column names event loops."""
    run = made_run(asyncio=4.0, bucle=2.0)
    run.cells["protocol_echo_50", LIBUV] = Cell({0: Sample(1.0, 1.0, 1.0)})
    run.versions[LIBUV] = "1"
    assert ratios_table(run, "wall").splitlines()[-1].endswith("| 2.00 | 4.00 | bucle |")


def test_a_load_without_a_pause_is_reported() -> None:
    """Where the load was busy and the server not, the figure is the load's."""
    run = made_run(asyncio=1.0, bucle=1.0)
    assert "as the load allows" not in markdown(run, absolute=False)
    run.cells["protocol_echo_50", "bucle"].samples[0] = Sample(1.0, 0.5, 1.0, idle=0.01)
    assert "As fast as the load allows: bucle, protocol_echo_50\n" in markdown(run, absolute=False)
    run.cells["protocol_echo_50", "bucle"].samples[0] = Sample(1.0, 0.99, 1.0, idle=0.01)
    assert "as the load allows" not in markdown(run, absolute=False)


def test_a_used_server_has_seen_a_connection(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What asyncio reads into is mapped afresh each time, until a connection has ended."""
    made = 0

    class Counted(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            nonlocal made
            made += 1
            super().connection_made(transport)

    load_protocol(bench, Load(connections=3), Counted)
    assert made == 3
    for name, value in MALLOC["used"].items():
        monkeypatch.setenv(name, value)
    load_protocol(bench, Load(connections=3), Counted)
    assert made == 7
    bench.program = program(LIBUV_SERVER)
    for name in ("bulk_stream", "protocol_echo_1"):
        NET[name].run(bench)


def test_nothing_waits_for_more_to_send(bench: Bench) -> None:
    """Two writes are two packets: accepted sockets have TCP_NODELAY, as those of any server."""
    found = set()

    class Asked(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted = transport.get_extra_info("socket")
            found.add(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super().connection_made(transport)

    load_protocol(bench, Load(connections=3), Asked)
    assert found == {1}


def test_malloc_is_chosen_and_recorded() -> None:
    run = compare(
        "net",
        ["getaddrinfo_literal"],
        [REFERENCE],
        rounds=1,
        seconds=0.0,
        progress=io.StringIO(),
        malloc="tuned",
    )
    assert len(run.samples()) == 1
    assert "malloc tuned" in markdown(run, absolute=False)
    assert document(run)["malloc"] == "tuned"


@pytest.mark.parametrize(
    ("preempted", "row"),
    [
        (0.0, "| protocol echo 1 KiB, 50 connections | 100 | **2.0** | 4.0 |"),
        (0.5, "| protocol echo 1 KiB, 50 connections | 5.00 | **2.0** | 4.0 |"),
    ],
)
def test_noise_decides_what_is_published(preempted: float, row: str) -> None:
    """How many a second, if the machine was quiet enough to tell; else what they took."""
    run = made_run(asyncio=1e-5, **{LIBUV: 2.5e-6}, bucle=5e-6)
    for found in run.samples():
        object.__setattr__(found, "preempted", preempted)
    table = publish.table(json.loads(json.dumps(document(run))))
    assert row in table
    heading = "thousands a second" if preempted == 0.0 else "us of server CPU"
    assert f"| times asyncio | asyncio, {heading} | bucle | {LIBUV} |" in table

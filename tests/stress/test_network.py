"""Hostile and clumsy peers, many at a time: nothing is left, and a server goes on serving.

An everyday run takes a few hundred connections; BUCLE_EXAMPLES=large asks for ten thousand, and for
storms of a thousand. What is random comes from a seed, which a failure shows as the test's
parameter. Nothing here has a limit in time but the deadline of a test that hangs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import Implementation, collect, run_script
from tests.unit.net.peers import (
    Factory,
    Net,
    Recorder,
    clean_net,
    closed,
    connected,
    fill,
    receive,
    reset,
    tcp_pair,
    turns,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.stress, pytest.mark.timeout(600)]

LARGE = os.environ.get("BUCLE_EXAMPLES") == "large"
STORM = 1000 if LARGE else 100


IDLE = 10_000 if LARGE else 300


@pytest.fixture
def descriptors_for_idle() -> Iterator[None]:
    """Two a connection, one at either end; a run that cannot have them is skipped, and says so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{wanted} descriptors are needed, this process may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def net(impl: Implementation) -> Iterator[Net]:
    with clean_net(impl) as made:
        yield made


def living_transports() -> list[Any]:
    """Of whatever kind: the loop's table has only those of asyncio's own."""
    gc.collect()
    return [each for each in gc.get_objects() if issubclass(type(each), asyncio.BaseTransport)]


async def other_tasks_gone() -> None:
    await until(lambda: len(asyncio.all_tasks()) == 1)


class Echo(Recorder):
    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Server(Factory):
    """An echo server that knows its protocols."""

    def __init__(self, loop: Any, make: Any = Echo) -> None:
        super().__init__(make)
        self.loop = loop

    async def __aenter__(self) -> Server:
        self.server = await self.loop.create_server(self, "127.0.0.1", 0, backlog=STORM + 50)
        self.name = self.server.sockets[0].getsockname()
        return self

    async def __aexit__(self, *_: object) -> None:
        await until(lambda: all(each.lost for each in self.made))
        await turns(5)
        self.server.close()
        for each in self.made:  # of a client that came with the end
            if not each.lost:
                each.transport.abort()
        await until(lambda: all(each.lost for each in self.made))
        await self.server.wait_closed()
        await turns(3)

    async def still_serves(self) -> None:
        _, writer = pair = await asyncio.open_connection(*self.name)
        writer.write(b"still there?")
        assert await pair[0].readexactly(12) == b"still there?"
        writer.close()
        await writer.wait_closed()


STATES = ["connected", "sent", "reading", "full", "closing", "closing full", "eof", "paused"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", ["reset", "close", "shutdown"])
async def test_a_peer_that_goes_in_each_state(net: Net, state: str, how: str) -> None:
    """However it goes, there is one connection_lost, and no report."""
    for _ in range(5):
        transport, protocol, peer = await connected(net.loop)
        if state == "sent":
            transport.write(b"not read")
        if state == "reading":
            peer.send(b"x" * 10_000)
        if state in ("full", "closing full", "paused"):
            fill(transport)
        if state == "paused":
            transport.pause_reading()
        if state.startswith("closing"):
            transport.close()
        if state == "eof":
            transport.write_eof()
        if how == "reset":
            reset(peer)
        elif how == "close":
            peer.close()
        else:
            peer.shutdown(socket.SHUT_RDWR)
        if state == "paused" and how == "shutdown":
            await turns(10)
            transport.abort()
        await until(lambda protocol=protocol: protocol.lost)
        await turns(2)
        assert protocol.calls.count("lost") == 1
        assert isinstance(protocol.error, (ConnectionError, type(None)))
        assert transport.is_closing()
        peer.close()


@pytest.mark.parametrize("seed", range(3))
async def test_half_closed_connections(net: Net, seed: int) -> None:
    """Clients send, say that it was all, and read to the end: each gets its echo."""
    numbers = random.Random(seed)

    class Patient(Echo):
        def eof_received(self) -> bool:
            self.transport.write_eof()
            self.transport.close()
            return True

    async def client(name: Any) -> None:
        data = numbers.randbytes(numbers.randrange(0, 200_000))
        reader, writer = await asyncio.open_connection(*name)
        reading = asyncio.ensure_future(reader.read())
        start = 0
        while start < len(data):
            end = start + numbers.randrange(1, 50_000)
            writer.write(data[start:end])
            start = end
            await writer.drain()
        writer.write_eof()
        assert await reading == data
        writer.close()
        await writer.wait_closed()

    async with Server(net.loop, Patient) as server:
        await asyncio.gather(*(client(server.name) for _ in range(40)))


@pytest.mark.parametrize("seed", range(3))
async def test_slow_readers_and_writers(net: Net, seed: int) -> None:
    """Peers that take or give a few bytes at a time hold nobody else up, and get all of it."""
    numbers = random.Random(seed)
    data = numbers.randbytes(60_000)

    async def slow_writer(name: Any) -> None:
        with socket.create_connection(name) as peer:
            peer.setblocking(False)
            for start in range(0, 3000, 5):
                await net.loop.sock_sendall(peer, data[start : start + 5])
            assert await receive(peer, 3000) == data[:3000]

    async def slow_reader(name: Any) -> None:
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.setblocking(False)
            await net.loop.sock_connect(peer, name)
            sending = asyncio.ensure_future(net.loop.sock_sendall(peer, data))
            got = bytearray()
            while len(got) < len(data):
                got += await net.loop.sock_recv(peer, numbers.randrange(1, 4000))
                if numbers.random() < 0.2:
                    await turns(5)
            await sending
            assert got == data

    async with Server(net.loop) as server:
        await asyncio.gather(
            *(slow_writer(server.name) for _ in range(5)),
            *(slow_reader(server.name) for _ in range(10)),
            *(server.still_serves() for _ in range(20)),
        )


@pytest.mark.usefixtures("descriptors_for_idle")
async def test_idle_connections(net: Net) -> None:
    """Many that do nothing, a few that work, then all end at once."""
    count = IDLE
    async with Server(net.loop) as server:
        clients: list[tuple[Any, Recorder]] = []
        while len(clients) < count:
            clients += await asyncio.gather(
                *(
                    net.loop.create_connection(Recorder, *server.name)
                    for _ in range(min(100, count - len(clients)))
                )
            )
        await until(lambda: len(server.made) == count)
        for transport, _ in clients[:: count // 50]:
            transport.write(b"awake")
        awake = [protocol for _, protocol in clients[:: count // 50]]
        await until(lambda: all(each.received == b"awake" for each in awake))
        await server.still_serves()
        for number, (transport, _) in enumerate(clients):
            if number % 2:
                transport.abort()
            else:
                transport.close()
        await until(lambda: all(protocol.lost for _, protocol in clients))


@pytest.mark.parametrize("seed", range(5))
def test_storms_of_connections_with_cancellation(net: Net, seed: int) -> None:
    """Cancelled after a random number of turns: no descriptor, task, transport or memory stays."""
    numbers = random.Random(seed)

    async def client(name: Any, by_stream: bool) -> None:
        if by_stream:
            reader, writer = await asyncio.open_connection(*name)
            try:
                writer.write(b"question")
                assert await reader.readexactly(8) == b"question"
            finally:
                writer.close()
            return
        transport, protocol = await net.loop.create_connection(Recorder, *name)
        try:
            transport.write(b"question")
            await until(lambda: protocol.received)
            assert protocol.received == b"question"
        finally:
            transport.close()

    async def main() -> None:
        async with Server(net.loop) as server:
            for _ in range(3):
                tasks = [
                    asyncio.ensure_future(client(server.name, numbers.random() < 0.5))
                    for _ in range(STORM)
                ]
                victims = [task for task in tasks if numbers.random() < 0.6]
                numbers.shuffle(victims)
                while victims:
                    for _ in range(numbers.randrange(1, 20)):
                        if victims:
                            victims.pop().cancel()
                    await turns(numbers.randrange(0, 3))
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                for outcome in outcomes:
                    if isinstance(outcome, BaseException):
                        assert isinstance(outcome, asyncio.CancelledError), outcome
                del tasks, outcomes
            await server.still_serves()
        await other_tasks_gone()

    strangers = living_transports()  # of other tests
    blocks = []
    for _ in range(16):
        net.run(main())
        assert len(living_transports()) <= len(strangers)
        blocks.append(sys.getallocatedblocks())
    # the first runs fill the pools of dead objects; in the other eight one block of each fourth
    # connection would show
    assert blocks[-1] - blocks[7] < 6 * STORM, blocks


@pytest.mark.parametrize("seed", range(3))
async def test_storms_of_sock_methods_with_cancellation(net: Net, seed: int) -> None:
    numbers = random.Random(seed)

    async def pair_of(name: Any, number: int) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            try:
                await net.loop.sock_connect(sock, name)
                await net.loop.sock_sendall(sock, b"%08d" % number)
                got = b""
                while len(got) < 8:
                    got += await net.loop.sock_recv(sock, 8 - len(got))
                assert got == b"%08d" % number
            finally:
                assert net.loop.remove_reader(sock) is False
                assert net.loop.remove_writer(sock) is False

    async with Server(net.loop) as server:
        tasks = [asyncio.ensure_future(pair_of(server.name, n)) for n in range(STORM)]
        for task in numbers.sample(tasks, STORM // 2):
            if numbers.random() < 0.3:
                await turns(1)
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
        await server.still_serves()


def test_the_process_does_not_grow(net: Net) -> None:
    """Connections that end in many ways; blocks of memory and objects stay as many as before."""

    def act(numbers: random.Random) -> None:
        async def main() -> None:
            transport, protocol, peer = await connected(net.loop)
            way = numbers.randrange(5)
            if way == 0:
                fill(transport)
            elif way == 1:
                peer.send(b"x")
                await until(lambda: protocol.received)
            elif way == 2:
                reset(peer)
                await until(lambda: protocol.lost)
                return
            elif way == 3:
                transport.pause_reading()
                transport.write_eof()
            await closed(transport, peer)

        net.run(main())

    def count(times: int) -> int:
        numbers = random.Random(1)
        for _ in range(times):
            act(numbers)
        collect()
        return sys.getallocatedblocks()

    times = 200
    count(times)
    for _ in range(3):  # caches fill once, a leak shows every time
        before = count(times)
        grown = count(times) - before
        if grown < times // 3:
            break
    assert grown < times // 3


EXHAUSTED = """
import asyncio, errno, os, resource, socket, sys

async def main():
    loop = asyncio.get_running_loop()
    reports = []
    loop.set_exception_handler(lambda _, context: reports.append(context))
    answered = 0

    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
        def data_received(self, data):
            self.transport.write(data)

    server = await loop.create_server(Echo, "127.0.0.1", 0)
    name = server.sockets[0].getsockname()
    await asyncio.sleep(0.001)
    waiting = [socket.socket() for _ in range(3)]
    highest = max(map(int, os.listdir("/proc/self/fd")))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, hard))
    taken = []
    while True:
        try:
            taken.append(os.dup(0))
        except OSError:
            break
    for sock in waiting:
        sock.setblocking(False)
        await loop.sock_connect(sock, name)
        sock.send(b"hello")
    while not reports:
        await asyncio.sleep(0.001)
    assert all(r["message"] == "socket.accept() out of system resource" for r in reports), reports
    assert all(r["exception"].errno == errno.EMFILE for r in reports), reports
    assert all(r["socket"].fileno() == server.sockets[0].fileno() for r in reports), reports
    # what needs a descriptor of its own says so, and leaves nothing
    for making in (
        loop.create_connection(asyncio.Protocol, *name),
        loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)),
        loop.create_unix_connection(asyncio.Protocol, "/nowhere"),
    ):
        try:
            await making
        except OSError as error:
            assert error.errno in (errno.EMFILE, None), error
        else:
            raise AssertionError("it had a descriptor")
    # the loop works on meanwhile
    one, other = waiting[:2]
    ready = loop.create_future()
    loop.call_later(0.001, ready.set_result, None)
    await ready
    for descriptor in taken:
        os.close(descriptor)
    # and the server takes up again by itself
    for sock in waiting:
        assert await loop.sock_recv(sock, 5) == b"hello"
        sock.close()
    server.close()
    await asyncio.sleep(0.01)

loop = impl.new_loop()
loop.run_until_complete(main())
loop.close()
print("ok")
"""


def test_out_of_descriptors_and_back(impl: Implementation) -> None:
    done = run_script(EXHAUSTED, impl=impl.name)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.parametrize("seed", range(4))
async def test_garbage_into_a_reader(net: Net, seed: int) -> None:
    """Lines too long, separators cut in two, ends in the middle: the reader's own errors only."""
    numbers = random.Random(seed)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not reader.at_eof():
                try:
                    part = await reader.readuntil(b"\r\n\r\n")
                    assert part.endswith(b"\r\n\r\n")
                    assert len(part) <= limit + 4
                except asyncio.LimitOverrunError as error:
                    overruns.append(error.consumed)
                    await reader.readexactly(error.consumed)
                except asyncio.IncompleteReadError as error:
                    partial.append(error.partial)
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()
            served.append(1)

    limit = 1000
    served: list[int] = []
    overruns: list[int] = []
    partial: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=limit)
    name = server.sockets[0].getsockname()
    for _ in range(30):
        peer = socket.create_connection(name)
        peer.setblocking(False)
        try:
            for _ in range(numbers.randrange(0, 30)):
                part = numbers.choice(
                    [
                        numbers.randbytes(numbers.randrange(0, 3000)),
                        b"\r\n" * numbers.randrange(0, 5),
                        b"\r\n\r\n",
                        b"\r",
                        b"x" * numbers.randrange(900, 1100),
                    ]
                )
                await net.loop.sock_sendall(peer, part)
                await turns(numbers.randrange(0, 3))
        except ConnectionError:
            pass
        if numbers.random() < 0.3:
            reset(peer)
        else:
            peer.close()
    await until(lambda: len(served) == 30)
    assert not any(b"\r\n\r\n" in each for each in partial)
    assert all(0 < each <= 2 * limit + (1 << 18) for each in overruns)
    await turns(20)
    server.close()
    await server.wait_closed()
    await other_tasks_gone()


async def test_thousands_of_short_connections(net: Net) -> None:
    """Connect, ask, close; one after the other and several at a time, all numbers used again."""
    async with Server(net.loop) as server:

        async def client() -> None:
            for _ in range(200 if LARGE else 30):
                await server.still_serves()

        await asyncio.gather(*(client() for _ in range(10)))


async def test_a_flood_of_datagrams(net: Net) -> None:
    """More than anybody can take: some get lost, none is damaged, and the endpoint works after."""
    seen: list[bytes] = []

    class Counting(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            seen.append(data)

    receiving, _ = await net.loop.create_datagram_endpoint(Counting, local_addr=("127.0.0.1", 0))
    name = receiving.get_extra_info("sockname")
    sending, _ = await net.loop.create_datagram_endpoint(Counting, remote_addr=name)
    for number in range(20_000):
        sending.sendto(b"%08d" % number * 100)
        if number % 1000 == 0:
            await asyncio.sleep(0)
    await until(lambda: not sending.get_write_buffer_size() or seen)
    sending.sendto(b"last")
    while b"last" not in seen:
        sending.sendto(b"last")
        await asyncio.sleep(0.001)
    for data in seen:
        assert data == b"last" or data == data[:8] * 100
    for transport in (sending, receiving):
        await closed(transport)


async def test_a_pair_under_a_storm_of_pauses(net: Net) -> None:
    """Reading is paused and resumed at random, protocols switched; every byte comes once."""
    numbers = random.Random(3)
    data = numbers.randbytes(2_000_000)
    mine, peer = tcp_pair()
    received = bytearray()

    class Moody(asyncio.Protocol):
        def data_received(self, part: bytes) -> None:
            received.extend(part)
            if numbers.random() < 0.3:
                transport.pause_reading()
                net.loop.call_soon(transport.resume_reading)

    class Buffered(asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> Any:
            self.buffer = bytearray(numbers.randrange(1, 60_000))
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            received.extend(self.buffer[:nbytes])
            if numbers.random() < 0.3:
                transport.set_protocol(Moody())

    transport, _ = await net.loop.create_connection(Buffered, sock=mine)

    async def switch() -> None:
        while len(received) < len(data):
            transport.set_protocol(numbers.choice([Moody, Buffered])())
            await turns(3)

    switching = asyncio.ensure_future(switch())
    await net.loop.sock_sendall(peer, data)
    await switching
    assert received == data
    await closed(transport, peer)

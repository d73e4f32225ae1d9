"""Who owns a descriptor, and what uvloop's open issues taught about it, one test each.

A test is named after the issue; asyncio passes nearly all as well, for they are about what every
loop must hold: nothing is closed twice, nothing is closed that is a stranger's, nothing that others
do to a descriptor ends the process, nothing stays behind. What could end the process runs in one
of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import socket
import weakref
from typing import Any

import pytest

from tests.support import Implementation, check_script, run_script, unix_pair

from .peers import (
    Net,
    Recorder,
    Unreachable,
    attempt,
    closed,
    connected,
    descriptors,
    fill,
    receive,
    tcp_pair,
    turns,
    until,
    warm_up,
)


def strangers(count: int = 5) -> list[int]:
    """New descriptors, which take the numbers that have just become free."""
    return [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]


def all_open_still(numbers: list[int]) -> None:
    """Closes them; one that somebody else has closed is an OSError."""
    for number in numbers:
        os.close(number)


# --- uvloop's issues ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "abort", "peer"])
async def test_uvloop_506_685_a_write_after_the_end_raises_nothing(net: Net, end: str) -> None:
    transport, protocol, peer = await connected(net.loop)
    if end == "peer":
        peer.close()
    else:
        getattr(transport, end)()
    for _ in range(3):
        transport.write(b"late")
    await until(lambda: protocol.lost)
    for _ in range(3):
        transport.write(b"later")
    peer.close()


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
async def test_uvloop_645_738_a_cancelled_create_connection_closes_its_socket_only(
    net: Net, after: int
) -> None:
    """The number of the closed socket may be a stranger's by the time of any later clean-up."""
    for _ in range(10):
        sock, peer = tcp_pair()
        connecting = asyncio.ensure_future(net.loop.create_connection(Recorder, sock=sock))
        await turns(after)
        connecting.cancel()
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            await closed(connecting.result()[0])
        sock.close()
        others = strangers()
        del connecting, sock
        gc.collect()
        await turns(5)
        all_open_still(others)
        peer.close()


async def test_uvloop_645_646_an_answer_goes_to_the_connection_that_asked(net: Net) -> None:
    """Connections that are cancelled at any time, with numbers in use again at once; it came up
    as aiohappyeyeballs 93 and 105 as well."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(b"for " + line)
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    name = server.sockets[0].getsockname()

    async def ask(number: int) -> None:
        reader, writer = await asyncio.open_connection(*name)
        try:
            for part in range(3):
                question = b"%d.%d\n" % (number, part)
                writer.write(question)
                assert await reader.readline() == b"for " + question
        finally:
            writer.close()

    for start in range(0, 60, 20):
        tasks = [asyncio.ensure_future(ask(start + number)) for number in range(20)]
        for number, task in enumerate(tasks):
            if number % 2:
                await turns(number % 5)
                task.cancel()
        for number, outcome in enumerate(await asyncio.gather(*tasks, return_exceptions=True)):
            cancelled = number % 2 and isinstance(outcome, asyncio.CancelledError)
            assert outcome is None or cancelled, outcome
    server.close()
    await server.wait_closed()
    await turns(20)


@pytest.mark.parametrize("end", ["close", "abort", "peer"])
async def test_uvloop_653_aiohttp_10464_a_number_is_free_when_its_transport_has_ended(
    net: Net, end: str
) -> None:
    """'File descriptor N is used by transport' must not be said of a transport that is closed."""
    for _ in range(5):
        transport, protocol, peer = await connected(net.loop, kind="unix")
        number = transport.get_extra_info("socket").fileno()
        if end == "peer":
            peer.close()
        else:
            getattr(transport, end)()
        await until(lambda protocol=protocol: protocol.lost)
        pairs = [unix_pair() for _ in range(2)]
        (again,) = [pair for pair in pairs if number in (each.fileno() for each in pair)][:1]
        one, other = again if again[0].fileno() == number else again[::-1]
        reading = asyncio.ensure_future(net.loop.sock_recv(one, 1))
        await turns(3)
        other.send(b"x")
        assert await reading == b"x"
        second, protocol = await net.loop.create_connection(Recorder, sock=one)
        other.send(b"y")
        await until(lambda protocol=protocol: protocol.received == b"y")
        await closed(second, peer)
        for pair in pairs:
            for sock in pair:
                sock.close()


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
@pytest.mark.parametrize("end", ["transport", "file", "peer"])
async def test_uvloop_763_a_pipe_is_closed_once(net: Net, method: str, end: str) -> None:
    for _ in range(5):
        read_end, write_end = os.pipe()
        numbers = (read_end, write_end)
        if method == "connect_write_pipe":
            numbers = numbers[::-1]
        file = os.fdopen(numbers[0], "rb" if method == "connect_read_pipe" else "wb", 0)
        transport, protocol = await getattr(net.loop, method)(Recorder, file)
        if end == "peer":
            os.close(numbers[1])
        else:
            transport.close()
        await until(lambda protocol=protocol: protocol.lost)
        others = strangers()
        if end == "file":
            file.close()
        del transport, protocol, file
        gc.collect()
        await turns(3)
        all_open_still(others)
        if end != "peer":
            os.close(numbers[1])


def test_uvloop_706_649_538_the_loop_is_closed_while_connections_end(
    impl: Implementation,
) -> None:
    """In every state of ending, with callbacks that end others; in a process of its own."""
    done = run_script(
        """
        import asyncio, gc, socket, warnings
        warnings.simplefilter("ignore", ResourceWarning)

        class Ending(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport
            def connection_lost(self, error):
                for other in all_of_them:
                    other.transport.abort()

        for turns in range(6):
            for end in ("close", "abort", "nothing", "peer"):
                loop = impl.new_loop()
                all_of_them, peers = [], []
                async def start():
                    for _ in range(5):
                        one, peer = socket.socketpair()
                        peers.append(peer)
                        _, protocol = await loop.create_connection(Ending, sock=one)
                        all_of_them.append(protocol)
                        protocol.transport.write(b"x" * 1_000_000)
                loop.run_until_complete(start())
                for number, protocol in enumerate(all_of_them[:3]):
                    if end == "peer":
                        peers[number].close()
                    elif end != "nothing":
                        getattr(protocol.transport, end)()
                for _ in range(turns):
                    loop.call_soon(loop.stop)
                    loop.run_forever()
                loop.close()
                for peer in peers:
                    peer.close()
                del all_of_them, peers, protocol, loop
                gc.collect()
        print("ok")
        """,
        impl=impl.name,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


def test_uvloop_100_closed_before_the_next_turn(impl: Implementation) -> None:
    """A socket is closed right after it was given away: an error at most, no core dump."""
    done = run_script(
        """
        import asyncio, gc, socket, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        loop = impl.new_loop()
        loop.set_exception_handler(lambda *_: None)

        async def main():
            for waiting in range(4):
                for give in (
                    lambda sock: loop.create_connection(asyncio.Protocol, sock=sock),
                    lambda sock: loop.connect_accepted_socket(asyncio.Protocol, sock),
                    lambda sock: loop.sock_recv(sock, 1),
                    lambda sock: loop.sock_sendall(sock, b"x" * 10_000_000),
                ):
                    sock, peer = socket.socketpair()
                    sock.setblocking(False)
                    task = asyncio.ensure_future(give(sock))
                    for _ in range(waiting):
                        await asyncio.sleep(0)
                    sock.close()
                    for _ in range(5):
                        await asyncio.sleep(0)
                    task.cancel()
                    await asyncio.wait([task])
                    if not task.cancelled() and task.exception() is None:
                        for one in task.result() or ():
                            if hasattr(one, "abort"):
                                one.abort()
                    peer.close()
            await asyncio.sleep(0.01)
        loop.run_until_complete(main())
        loop.close()
        print("ok")
        """,
        impl=impl.name,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


CLOSED_BY_OTHERS = """
import asyncio, os, socket, sys, tempfile, warnings
warnings.simplefilter("ignore", ResourceWarning)
what, then = sys.argv[1:]
loop = impl.new_loop()
loop.set_exception_handler(lambda *_: None)

async def waiting_on(sock):
    if what == "transport":
        return (await loop.create_connection(asyncio.Protocol, sock=sock))[0]
    if what == "writing transport":
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
        transport.write(b"x" * 10_000_000)
        return transport
    if what == "sock_recv":
        return asyncio.ensure_future(loop.sock_recv(sock, 1))
    if what == "sock_sendall":
        return asyncio.ensure_future(loop.sock_sendall(sock, b"x" * 10_000_000))
    if what == "sock_accept":
        return asyncio.ensure_future(loop.sock_accept(sock))
    if what == "server":
        return await loop.create_server(asyncio.Protocol, sock=sock)
    if what == "pipe":
        return (await loop.connect_read_pipe(asyncio.Protocol, sock))[0]

async def main():
    peers = []
    for turns in range(4):
        if what in ("sock_accept", "server"):
            sock = peer = socket.create_server(("127.0.0.1", 0))
        else:
            sock, peer = socket.socketpair()
            peers.append(peer)
        sock.setblocking(False)
        waiting = await waiting_on(sock)
        for _ in range(turns):
            await asyncio.sleep(0)
        number = sock.fileno()
        os.close(number)
        new = None
        if then == "socket":
            new = socket.socket()
        elif then == "file":
            new = tempfile.TemporaryFile()
        elif then == "same kind":
            new, other = socket.socketpair()
            new.setblocking(False)
            peers.append(other)
            other.send(b"not yours")
        if new is not None and new.fileno() != number:
            os.dup2(new.fileno(), number)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        for end in ("cancel", "close"):
            try:
                if hasattr(waiting, end):
                    getattr(waiting, end)()
            except (OSError, ValueError):
                pass
        for _ in range(5):
            await asyncio.sleep(0)
        try:
            sock.detach()
            if new is not None:
                new.close()
        except OSError:
            pass
        try:
            os.close(number)
        except OSError:
            pass
    assert await loop.run_in_executor(None, int) == 0

loop.run_until_complete(main())
loop.run_until_complete(loop.shutdown_default_executor())
loop.close()
print("ok")
os._exit(0)  # the objects of closed descriptors have nothing to say any more
"""


@pytest.mark.parametrize("then", ["nothing", "socket", "same kind", "file"])
@pytest.mark.parametrize(
    "what",
    [
        *("transport", "writing transport", "sock_recv", "sock_sendall", "sock_accept"),
        *("server", "pipe"),
    ],
)
def test_libuv_5130_5129_a_watched_descriptor_closed_by_others(
    impl: Implementation, what: str, then: str
) -> None:
    """Closed, or closed and used again: errors are raised or dropped, the process lives on.  It
    is cpython 131111 and uvloop 438, too."""
    source = CLOSED_BY_OTHERS.replace('print("ok")', 'print("ok", flush=True)')
    done = run_script(source, what, then, impl=impl.name)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


# The next four hold by construction: servers and the attribute are asyncio's own, and so are the
# signatures.  They would fail on the day when somebody writes one of these anew.


async def test_uvloop_588_start_tls_compatible(net: Net) -> None:
    for kind in ("tcp", "unix"):
        transport, _, peer = await connected(net.loop, kind=kind)
        assert transport._start_tls_compatible is True
        await closed(transport, peer)


async def test_uvloop_131_a_server_is_an_abstract_server(net: Net, tmp_path: Any) -> None:
    for making in (
        net.loop.create_server(Recorder, "127.0.0.1", 0),
        net.loop.create_unix_server(Recorder, str(tmp_path / "socket")),
    ):
        server = await making
        assert isinstance(server, asyncio.AbstractServer)
        server.close()
        await server.wait_closed()


async def test_uvloop_683_the_methods_of_a_server(net: Net) -> None:
    server = await net.loop.create_server(Recorder, "127.0.0.1", 0)
    public = {name for name in dir(asyncio.Server) if not name.startswith("_")}
    assert public <= set(dir(server))
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "method",
    [
        *("create_connection", "create_server", "create_unix_connection", "create_unix_server"),
        *("connect_accepted_socket", "create_datagram_endpoint", "start_tls", "sendfile"),
        *("sock_sendfile", "sock_sendto", "sock_recvfrom", "sock_recvfrom_into", "getaddrinfo"),
    ],
)
def test_uvloop_406_228_549_561_605_655_every_method_and_keyword(net: Net, method: str) -> None:
    stock = inspect.signature(getattr(asyncio.SelectorEventLoop, method))
    ours = inspect.signature(getattr(type(net.loop), method))
    assert [(each.name, each.kind) for each in ours.parameters.values()] == [
        (each.name, each.kind) for each in stock.parameters.values()
    ]


@pytest.mark.parametrize(
    ("family", "protocol", "address"),
    [
        pytest.param(socket.AF_INET, socket.IPPROTO_SCTP, ("127.0.0.1", 0), id="sctp"),
        pytest.param(socket.AF_VSOCK, 0, (1, socket.VMADDR_PORT_ANY), id="vsock"),
    ],
)
async def test_uvloop_467_an_accepted_socket_of_another_family(
    net: Net, family: int, protocol: int, address: Any
) -> None:
    try:
        with socket.socket(family, socket.SOCK_STREAM, protocol) as listening:
            listening.bind(address)
            listening.listen()
            peer = socket.socket(family, socket.SOCK_STREAM, protocol)
            with contextlib.ExitStack() as undo:
                undo.callback(peer.close)
                peer.connect((address[0], listening.getsockname()[1]))
                undo.pop_all()
            sock, _ = listening.accept()
    except OSError as error:
        pytest.skip(f"this kernel has none: {error}")
    peer.setblocking(False)
    transport, protocol_ = await net.loop.connect_accepted_socket(Recorder, sock)
    peer.send(b"question")
    await until(lambda: protocol_.received == b"question")
    transport.write(b"answer")
    assert await receive(peer, 6) == b"answer"
    await closed(transport, peer)


async def test_uvloop_631_what_a_turn_wrote_is_out_before_the_next(net: Net) -> None:
    transport, _, peer = await connected(net.loop)
    for _ in range(20):
        transport.write(b"head")
        transport.write(b"body")
        await turns(1)
        assert peer.recv(100) == b"headbody"
    await closed(transport, peer)


@pytest.mark.native
def test_uvloop_760_what_was_never_initialized_raises(impl: Implementation) -> None:
    """Any method of any type, and a server of no loop: an error at most, never a crash; asyncio's
    own futures do crash."""
    done = run_script(
        """
        import asyncio, warnings
        warnings.simplefilter("ignore")
        api = impl.api

        def call(function, *arguments):
            try:
                made = function(*arguments)
            except Exception:
                return
            if hasattr(made, "close") and hasattr(made, "send"):
                made.close()

        server = asyncio.base_events.Server(None, None, None, None, 1, None)
        call(server.close)
        names = [name for name in asyncio.__all__ if isinstance(getattr(api, name, None), type)]
        names = [name for name in names if not issubclass(getattr(api, name), BaseException)]
        assert {"Future", "Task", "Queue", "StreamWriter", "Handle"} <= set(names)
        for name in names:
            kind = getattr(api, name)
            if issubclass(kind, (asyncio.AbstractEventLoop, asyncio.Runner)):
                continue
            for method in dir(kind):
                if not method.startswith("__"):
                    for arguments in ((), (None,), (None, None)):
                        made = kind.__new__(kind)
                        call(lambda: getattr(made, method)(*arguments))
            call(repr, kind.__new__(kind))
        print("ok")
        """,
        impl=impl.name,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


async def test_uvloop_528_a_client_of_an_abstract_socket(net: Net) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        name = f"\0bucle-{os.getpid()}-528\0with\0nul"
        listening.bind(name)
        listening.listen()
        transport, _ = await net.loop.create_unix_connection(Recorder, name)
        assert transport.get_extra_info("peername") == name.encode()
        await closed(transport)


async def test_uvloop_196_unix_datagrams_to_a_path(net: Net, tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        transport, _ = await net.loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, family=socket.AF_UNIX
        )
        transport.sendto(b"to a str", path)
        assert receiver.recv(100) == b"to a str"
        await closed(transport)


async def test_uvloop_595_the_pipe_of_a_pipe_transport(net: Net) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb", 0):
        file = os.fdopen(read_end, "rb", 0)
        transport, protocol = await net.loop.connect_read_pipe(Recorder, file)
        assert transport.get_extra_info("pipe") is file
        transport.close()
        await until(lambda: protocol.lost)


async def test_uvloop_61_watched_again_after_it_was_closed(net: Net) -> None:
    """A number is watched, given up, closed, and comes back as another socket, many times."""
    for _ in range(50):
        one, other = unix_pair()
        seen: list[bytes] = []
        net.loop.add_reader(one, lambda one=one, seen=seen: seen.append(one.recv(1)))
        other.send(b"x")
        await until(lambda seen=seen: seen)
        net.loop.remove_reader(one)
        one.close()
        other.close()


async def test_uvloop_471_close_closes(net: Net) -> None:
    """Also with data that nobody has read, on either side."""
    transport, protocol, peer = await connected(net.loop)
    transport.pause_reading()
    peer.send(b"never read")
    transport.close()
    await until(lambda: protocol.lost)
    with pytest.raises(ConnectionResetError):
        await receive(peer)
    peer.close()


# --- cancellation, closing, collection ------------------------------------------------------------


@pytest.mark.parametrize("name", ["sock_connect", "create_connection", "sock_accept"])
async def test_what_is_cancelled_leaves_no_descriptor_and_no_watcher(net: Net, name: str) -> None:
    with Unreachable() as hanging, socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        await asyncio.sleep(0.001)  # what a loop opens when it first waits is no leak
        before = descriptors().keys()
        for _ in range(20):
            client = socket.socket()
            client.setblocking(False)
            arguments: dict[str, tuple[Any, ...]] = {
                "sock_connect": (client, hanging.address),
                "create_connection": (Recorder, *hanging.address),
                "sock_accept": (listening,),
            }
            task = asyncio.ensure_future(getattr(net.loop, name)(*arguments[name]))
            await turns(4)
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
            assert net.loop.remove_writer(client) is False
            assert net.loop.remove_reader(listening) is False
            client.close()
            assert descriptors().keys() == before


def use_and_drop(impl: Implementation, *, close: bool) -> tuple[weakref.ref[Any], list[Any]]:
    """A loop with an open transport of each kind, a server, and waiting tasks; then let go."""
    loop = impl.new_loop()
    loop.set_exception_handler(lambda *_: None)
    protocols: list[Any] = []
    peers: list[Any] = []

    class Kept(Recorder):
        def __init__(self) -> None:
            super().__init__()
            protocols.append(weakref.ref(self))

        def datagram_received(self, data: bytes, addr: Any) -> None:
            pass

    async def main() -> None:
        for make in (tcp_pair, unix_pair):
            sock, peer = make()
            peers.append(peer)
            transport, _ = await loop.create_connection(Kept, sock=sock)
            fill(transport)
        await loop.create_datagram_endpoint(Kept, local_addr=("127.0.0.1", 0))
        server = await loop.create_server(Kept, "127.0.0.1", 0)
        peers.append(socket.create_connection(server.sockets[0].getsockname()))
        read_end, write_end = os.pipe()
        await loop.connect_read_pipe(Kept, os.fdopen(read_end, "rb", 0))
        await loop.connect_write_pipe(Kept, os.fdopen(write_end, "wb", 0))
        await until(lambda: len(protocols) == 6)
        await turns(3)

    loop.run_until_complete(main())
    if close:
        loop.close()
    for peer in peers:
        peer.close()
    return weakref.ref(loop), protocols


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("close", [True, False], ids=["closed", "dropped"])
def test_a_loop_with_open_transports_leaves_nothing(impl: Implementation, close: bool) -> None:
    warm_up(impl)
    before = descriptors()
    for _ in range(3):
        loop, protocols = use_and_drop(impl, close=close)
        gc.collect()
        gc.collect()
        assert loop() is None
        assert [each() for each in protocols] == [None] * 6
        left = {number: what for number, what in descriptors().items() if number not in before}
        assert not left


def test_a_run_that_ends_with_connections_open(impl: Implementation) -> None:
    """asyncio.run: the warnings are asyncio's, and the process ends well."""
    out = check_script(
        """
        import asyncio, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        async def main():
            server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
            for _ in range(5):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"x" * 5_000_000)
                keep.append((reader, writer))
            keep.append(server)
            print("ok")
        keep = []
        with asyncio.Runner(loop_factory=impl.new_loop) as runner:
            runner.run(main())
        """,
        impl=impl.name,
        options=("-W", "ignore::ResourceWarning"),
    )
    assert out == "ok\n"


async def test_an_exception_holds_no_transport(net: Net) -> None:
    """A failed connection leaves no cycle behind that keeps sockets until a collection."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    await asyncio.sleep(0.001)  # what a loop opens when it first waits is no leak
    gc.collect()
    gc.disable()
    try:
        before = descriptors().keys()
        for _ in range(5):
            await attempt(net.loop.create_connection(Recorder, *sock.getsockname()))
        assert descriptors().keys() == before
    finally:
        gc.enable()
    sock.close()


async def test_a_socket_taken_back(net: Net) -> None:
    """detach() of a duplicate leaves the transport its own descriptor."""
    transport, protocol, peer = await connected(net.loop)
    copy = transport.get_extra_info("socket").dup()
    await closed(transport)
    assert protocol.lost
    copy.setblocking(False)
    await net.loop.sock_sendall(copy, b"still open")
    assert await receive(peer, 10) == b"still open"
    copy.close()
    peer.close()

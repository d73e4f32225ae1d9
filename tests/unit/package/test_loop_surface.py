"""The whole surface of the loop: every AbstractEventLoop method real, every private name there.

The meta-tests look at what the running interpreter has, so that a new version that adds a method,
or an attribute that its own transports rely on, fails here first.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import os
import socket
import ssl
import sys
import weakref
from asyncio import unix_events
from typing import Any

import pytest

import bucle
from bucle import loop as completion
from tests.support import Implementation, check_script, outcome

# Private state of the stock loops that the core keeps in another form.
KEPT_BY_THE_CORE = {
    "_csock",
    "_ssock",
    "_internal_fds",
    "_old_agen_hooks",
    "_timer_cancelled_count",
    "_coroutine_origin_tracking_enabled",
    "_coroutine_origin_tracking_saved_depth",
    "_watcher",
}


def abstract_methods() -> list[str]:
    return sorted(
        name for name, value in vars(asyncio.AbstractEventLoop).items() if inspect.isfunction(value)
    )


@pytest.mark.parametrize("name", abstract_methods())
def test_every_abstract_method_is_overridden(name: str) -> None:
    assert name in vars(bucle.Loop)
    assert getattr(bucle.Loop, name) is not getattr(asyncio.AbstractEventLoop, name)


def test_what_is_borrowed_needs_no_class_cell() -> None:
    # super() in a borrowed function would look for our loop among the donors' instances.
    for name, function in completion._borrowed_methods().items():
        if vars(bucle.Loop)[name] is function:
            assert "__class__" not in function.__code__.co_freevars, name


def test_nothing_of_the_replaced_machinery_is_attached() -> None:
    donor = unix_events._UnixSelectorEventLoop  # type: ignore[attr-defined]
    for name in completion._MACHINERY:
        theirs = getattr(donor, name, None)
        assert theirs is None or getattr(bucle.Loop, name, None) is not theirs, name


def test_every_private_attribute_of_the_stock_loop_is_there() -> None:
    stock = asyncio.SelectorEventLoop()
    ours = bucle.Loop()
    try:
        missing = {name for name in vars(stock) if not hasattr(ours, name)}
        assert missing <= KEPT_BY_THE_CORE
    finally:
        stock.close()
        ours.close()


def test_a_new_loop_has_made_none_of_the_containers() -> None:
    loop = bucle.Loop()
    try:
        assert not set(vars(loop)) & set(completion._CONTAINERS)
        loop.run_until_complete(asyncio.sleep(0))
        assert "_transports" not in vars(loop)
        assert loop._transports is loop._transports
        assert "_transports" in vars(loop)
    finally:
        loop.close()


def test_signatures_are_asyncios() -> None:
    # The C methods carry theirs as text; those that have one must agree with the stock names.
    stock = asyncio.SelectorEventLoop
    for name in abstract_methods():
        if not hasattr(stock, name) or name.startswith("_"):
            continue
        try:
            ours = inspect.signature(getattr(bucle.Loop, name))
        except ValueError:
            continue
        theirs = inspect.signature(getattr(stock, name))
        assert list(ours.parameters) == list(theirs.parameters), name


def test_arguments_by_name(loop: Any) -> None:
    ran: list[str] = []
    read_fd, write_fd = os.pipe()
    loop.set_debug(enabled=False)
    loop.set_task_factory(factory=None)
    loop.call_soon(callback=lambda: ran.append("soon"))
    loop.call_soon_threadsafe(callback=lambda: ran.append("threadsafe"))
    loop.call_at(when=loop.time(), callback=lambda: ran.append("at"))
    loop.call_later(delay=0.001, callback=lambda: ran.append("later"))
    loop.add_reader(fd=read_fd, callback=print)
    loop.add_writer(fd=write_fd, callback=lambda: ran.append("writer"))
    task = loop.create_task(coro=asyncio.sleep(0.01, "slept"))
    assert loop.run_until_complete(future=task) == "slept"
    assert loop.remove_reader(fd=read_fd)
    assert loop.remove_writer(fd=write_fd)
    os.close(read_fd)
    os.close(write_fd)
    assert set(ran) == {"soon", "threadsafe", "at", "later", "writer"}


def test_the_coroutine_by_name_among_other_keywords(loop: Any) -> None:
    context = contextvars.copy_context()
    task = loop.create_task(name="named", coro=asyncio.sleep(0, "slept"), context=context)
    assert task.get_name() == "named"
    assert loop.run_until_complete(task) == "slept"
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'coro'$"):
        loop.create_task(name="named")


async def echo_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


def test_streams_over_tcp_and_unix(impl: Implementation, loop: Any, tmp_path: Any) -> None:
    async def main() -> list[bytes]:
        lines = []
        server = await asyncio.start_server(echo_once, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"tcp\n")
            lines.append(await reader.read())
            writer.close()
            await writer.wait_closed()
        path = str(tmp_path / "socket")
        unix_server = await asyncio.start_unix_server(echo_once, path)
        async with unix_server:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"unix\n")
            lines.append(await reader.read())
            writer.close()
            await writer.wait_closed()
        return lines

    assert loop.run_until_complete(main()) == [b"tcp\n", b"unix\n"]


def test_a_unix_server_leaves_the_path_as_stock_does(tmp_path: Any) -> None:
    def left_behind(loop: Any, name: str) -> bool:
        path = tmp_path / name

        async def main() -> None:
            server = await loop.create_unix_server(asyncio.Protocol, str(path))
            server.close()
            await server.wait_closed()

        loop.run_until_complete(main())
        loop.close()
        return path.exists()

    assert left_behind(bucle.Loop(), "ours") == left_behind(asyncio.SelectorEventLoop(), "stock")


def test_a_unix_path_that_somebody_else_took_is_kept(tmp_path: Any) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(asyncio.Protocol, str(path))
        path.unlink()
        path.write_text("not ours")
        server.close()
        await server.wait_closed()

    bucle.run(main())
    assert path.read_text() == "not ours"


def test_datagrams(loop: Any) -> None:
    class Receiver(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.received: asyncio.Future[bytes] = loop.create_future()

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.received.set_result(data)

    async def main() -> bytes:
        receiving, protocol = await loop.create_datagram_endpoint(
            Receiver, local_addr=("127.0.0.1", 0)
        )
        sending, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=receiving.get_extra_info("sockname")
        )
        sending.sendto(b"datagram")
        try:
            return await protocol.received
        finally:
            sending.close()
            receiving.close()
            await asyncio.sleep(0)

    assert loop.run_until_complete(main()) == b"datagram"


def test_sock_methods(loop: Any) -> None:
    async def main() -> list[bytes]:
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
            listening.setblocking(False)
            client.setblocking(False)
            accepting = asyncio.ensure_future(loop.sock_accept(listening))
            await loop.sock_connect(client, listening.getsockname())
            accepted, _ = await accepting
            with accepted:
                reading = asyncio.ensure_future(loop.sock_recv(accepted, 10))
                await asyncio.sleep(0)
                await loop.sock_sendall(client, b"later")
                buffer = bytearray(10)
                received = [await reading]
                await loop.sock_sendall(client, b"at once")
                count = await loop.sock_recv_into(accepted, buffer)
                return [*received, bytes(buffer[:count])]

    assert loop.run_until_complete(main()) == [b"later", b"at once"]


def test_a_cancelled_sock_recv_leaves_no_reader(loop: Any) -> None:
    async def main() -> bool:
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            reading = asyncio.ensure_future(loop.sock_recv(one, 1))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            return bool(loop.remove_reader(one))

    assert loop.run_until_complete(main()) is False


def test_a_transports_descriptor_is_refused_with_asyncios_text(loop: Any) -> None:
    async def main() -> tuple[str, list[tuple[str, str, str]]]:
        one, other = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
        fd = transport.get_extra_info("socket").fileno()
        said = [outcome(call, fd, print) for call in (loop.add_reader, loop.add_writer)] + [
            outcome(call, fd) for call in (loop.remove_reader, loop.remove_writer)
        ]
        text = f"File descriptor {fd!r} is used by transport {transport!r}"
        transport.close()
        other.close()
        await asyncio.sleep(0)
        return text, said

    text, said = loop.run_until_complete(main())
    assert "read=polling" in text
    assert said == [("raised", "RuntimeError", text)] * 4


def test_pipes_and_their_repr(loop: Any) -> None:
    class Reader(asyncio.Protocol):
        def __init__(self) -> None:
            self.done: asyncio.Future[bytes] = loop.create_future()

        def data_received(self, data: bytes) -> None:
            self.done.set_result(data)

    async def main() -> tuple[bytes, str, str]:
        read_fd, write_fd = os.pipe()
        reading, protocol = await loop.connect_read_pipe(Reader, os.fdopen(read_fd, "rb", 0))
        writing, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(write_fd, "wb", 0))
        await asyncio.sleep(0)
        polling = repr(reading)
        reading.pause_reading()
        idle = repr(reading)
        reading.resume_reading()
        writing.write(b"pipe")
        data = await protocol.done
        writing.close()
        reading.close()
        await asyncio.sleep(0)
        return data, polling, idle

    data, polling, idle = loop.run_until_complete(main())
    assert data == b"pipe"
    assert " polling" in polling
    assert " idle" in idle


def test_subprocess(loop: Any) -> None:
    async def main() -> tuple[bytes, int | None, int]:
        program = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdin=-1, stdout=-1
        )
        out, _ = await process.communicate(b"shout")
        shell = await asyncio.create_subprocess_shell("exit 5")
        return out, process.returncode, await shell.wait()

    assert loop.run_until_complete(main()) == (b"SHOUT", 3, 5)


def test_subprocess_on_a_loop_of_another_thread() -> None:
    async def main() -> int:
        process = await asyncio.create_subprocess_exec("true")
        return await process.wait()

    async def elsewhere() -> int:
        return await asyncio.to_thread(bucle.run, main())

    assert bucle.run(elsewhere()) == 0


WATCHER = """
import asyncio, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
asyncio.set_child_watcher(getattr(asyncio, sys.argv[1])())
async def main():
    processes = [await asyncio.create_subprocess_exec("sh", "-c", f"exit {n}") for n in range(5)]
    print([await process.wait() for process in processes])
if impl.native:
    import bucle as library
else:
    library = asyncio
library.run(main())
"""


@pytest.mark.skipif(not hasattr(asyncio, "set_child_watcher"), reason="watchers are gone")
@pytest.mark.parametrize(
    "watcher",
    [
        "FastChildWatcher",
        "MultiLoopChildWatcher",
        "PidfdChildWatcher",
        "SafeChildWatcher",
        "ThreadedChildWatcher",
    ],
)
def test_subprocess_with_every_child_watcher(impl: Implementation, watcher: str) -> None:
    assert check_script(WATCHER, watcher, impl=impl.name) == "[0, 1, 2, 3, 4]\n"


def test_sendfile(loop: Any, tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)

    async def main() -> tuple[int, int]:
        received = 0

        async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            while data := await reader.read(65536):
                received += len(data)
            writer.close()
            done.set()

        done = asyncio.Event()
        async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            with path.open("rb") as file:
                sent = await loop.sendfile(writer.transport, file)
            writer.close()
            await done.wait()
        return sent, received

    assert loop.run_until_complete(main()) == (100_000, 100_000)


def test_start_tls_refuses_what_asyncio_refuses(loop: Any) -> None:
    async def main() -> tuple[str, str, str]:
        context = ssl.create_default_context()
        try:
            await loop.start_tls(asyncio.Transport(), asyncio.Protocol(), context)
        except Exception as error:
            return ("raised", type(error).__name__, str(error).partition(" object at")[0])
        raise AssertionError

    assert loop.run_until_complete(main()) == (
        "raised",
        "TypeError",
        "transport <asyncio.transports.Transport",
    )


def test_getaddrinfo_and_getnameinfo(loop: Any) -> None:
    async def main() -> tuple[Any, Any]:
        return (
            await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM),
            await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST),
        )

    addresses, (host, _) = loop.run_until_complete(main())
    assert addresses == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
    assert host == "127.0.0.1"


def test_a_replaced_getaddrinfo_is_asked_by_connections(loop: Any) -> None:
    async def main() -> tuple[str, list[Any]]:
        asked: list[Any] = []

        async def getaddrinfo(host: Any, port: Any, **options: Any) -> Any:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", real_port))]

        async with await asyncio.start_server(echo_once, "127.0.0.1", 0) as server:
            real_port = server.sockets[0].getsockname()[1]
            loop.getaddrinfo = getaddrinfo
            reader, writer = await asyncio.open_connection("nowhere.invalid", 1)
            writer.write(b"found\n")
            line = await reader.read()
            writer.close()
            del loop.getaddrinfo
        return line.decode(), asked

    assert loop.run_until_complete(main()) == ("found\n", ["nowhere.invalid"])


def use_and_close_a_loop_with_a_transport() -> weakref.ref[Any]:
    loop = bucle.Loop()
    one, other = socket.socketpair()

    async def main() -> None:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=one)
        transport.close()
        await asyncio.sleep(0)

    with other:
        loop.run_until_complete(main())
        loop.close()
    return weakref.ref(loop)


def test_a_dropped_loop_that_had_a_transport_is_collected() -> None:
    dropped = use_and_close_a_loop_with_a_transport()
    gc.collect()
    assert dropped() is None

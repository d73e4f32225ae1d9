"""anyio's asyncio backend by its `loop_factory` option: scopes, groups, streams, threads, files,
processes, signals; and its pytest plugin's fixture machinery by way of the test runner.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_process
import anyio.to_thread
from anyio.abc import SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSStream

from .common import client_tls, digest, pattern, server_tls

if TYPE_CHECKING:
    from tests.frameworks.launch import World


async def said(call: Any, *arguments: Any) -> str:
    try:
        return f"returned {await call(*arguments)!r}"
    except Exception as error:
        return type(error).__name__


async def scopes() -> None:
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(10)
    print("moved on", scope.cancelled_caught)
    try:
        with anyio.fail_after(0.01):
            await anyio.sleep_forever()
    except TimeoutError:
        print("failed after")
    order: list[str] = []

    async def child(name: str, delay: float, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        try:
            task_status.started(name)
            await anyio.sleep(delay)
            order.append(f"{name} ends")
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            order.append(f"{name} cancelled")
            raise

    async with anyio.create_task_group() as group:
        print("started", await group.start(child, "first", 0.01))
        group.start_soon(child, "second", 100)
        await anyio.sleep(0.05)
        group.cancel_scope.cancel()
    print(order)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(child, "third", 100)
            await anyio.sleep(0.01)
            raise ValueError("as intended")
    except* ValueError as errors:
        print("group", [str(error) for error in errors.exceptions], order[-1])
    # a scope that is cancelled again and again delivers until the task reacts
    with anyio.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            outer.cancel()
            try:
                await anyio.sleep(1)
            except anyio.get_cancelled_exc_class():
                print("outer", outer.cancel_called, "inner", inner.cancel_called)
                raise
    print("caught", outer.cancelled_caught)
    send, receive = anyio.create_memory_object_stream[int](3)

    async def produce() -> None:
        async with send:
            for number in range(50):
                await send.send(number)

    async with anyio.create_task_group() as group:
        group.start_soon(produce)
        async with receive:
            print("stream", sum([number async for number in receive]))
    limiter = anyio.CapacityLimiter(2)
    event, condition, semaphore = anyio.Event(), anyio.Condition(), anyio.Semaphore(1)
    async with limiter, condition, semaphore:
        event.set()
        await event.wait()
    print("limiter", limiter.borrowed_tokens, limiter.total_tokens)


async def echo(stream: Any) -> None:
    async with stream:
        try:
            async for data in stream:
                await stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
            pass


async def exchange(stream: Any, size: int) -> str:
    received = bytearray()
    async with anyio.create_task_group() as group:
        group.start_soon(stream.send, pattern(size))
        while len(received) < size:
            received += await stream.receive()
    return digest(received)


async def use_stream(stream: Any) -> None:
    for size in (1, 70_000, 2_000_000):
        print("echo", await exchange(stream, size))
    with anyio.move_on_after(0.02) as scope:
        await stream.receive()
    print("nothing came", scope.cancelled_caught)
    print("echo", await exchange(stream, 10))


async def sockets(folder: str) -> None:
    for title, listener in (
        ("tcp", await anyio.create_tcp_listener(local_host="127.0.0.1")),
        ("unix", await anyio.create_unix_listener(f"{folder}/socket")),
    ):
        print("--", title)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            if title == "tcp":
                port = listener.extra(SocketAttribute.local_port)
                client: Any = await anyio.connect_tcp("127.0.0.1", port)
            else:
                client = await anyio.connect_unix(f"{folder}/socket")
            family = client.extra(SocketAttribute.family)
            print(socket.AddressFamily(family).name)
            await use_stream(client)
            await client.send(b"line one\nline two\n")
            buffered = BufferedByteReceiveStream(client)
            print([await buffered.receive_until(b"\n", 100) for _ in range(2)])
            await client.send_eof()
            print("end", await said(client.receive))
            await client.aclose()
            print("closed", await said(client.receive), await said(client.send, b"x"))
            group.cancel_scope.cancel()
        await listener.aclose()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as plain:
        async with anyio.create_task_group() as group:

            async def secure(stream: Any) -> None:
                wrapped = await TLSStream.wrap(
                    stream, server_side=True, ssl_context=server_tls(), standard_compatible=False
                )
                await echo(wrapped)

            group.start_soon(plain.serve, secure)
            port = plain.extra(SocketAttribute.local_port)
            async with await anyio.connect_tcp(
                "localhost", port, ssl_context=client_tls(), tls_standard_compatible=False
            ) as client:
                print("-- TLS")
                await use_stream(client)
            group.cancel_scope.cancel()
    async with await anyio.create_udp_socket(local_host="127.0.0.1") as server:
        port = server.extra(SocketAttribute.local_port)
        async with await anyio.create_connected_udp_socket("127.0.0.1", port) as client:
            for number in range(100):
                await client.send(b"datagram %d" % number)
                data, peer = await server.receive()
                await server.sendto(data.upper(), *peer)
                data = await client.receive()
            print("udp", data)
            with anyio.move_on_after(0.02):
                await client.receive()
            print("udp", await said(client.send, b"x" * 100_000))
    left, right = socket.socketpair()
    left.setblocking(False)
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.wait_writable, right)
        group.start_soon(anyio.wait_readable, left)
        await anyio.sleep(0.01)
        right.send(b"!")
    print("readable", left.recv(10))
    left.close()
    right.close()


async def outside(folder: str, world: World) -> None:
    print("thread", await anyio.to_thread.run_sync(sum, [1, 2, 3]))

    def inside_thread() -> str:
        kind = anyio.from_thread.run(in_loop)
        return anyio.from_thread.run_sync(str.upper, kind)

    async def in_loop() -> str:
        world.look()
        await anyio.sleep(0)
        return "from a thread"

    print(await anyio.to_thread.run_sync(inside_thread))
    async with await anyio.open_file(f"{folder}/file", "w+b") as file:
        await file.write(pattern(100_000))
        await file.seek(0)
        print("file", digest(await file.read()))
    print("resolved", await anyio.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))
    copied = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)"
    done = await anyio.run_process([sys.executable, "-c", copied], input=b"in and out", check=False)
    print("process", done.returncode, done.stdout)
    big = "import sys; sys.stdout.write('x' * 1_000_000); sys.stderr.write('y' * 300_000)"
    done = await anyio.run_process([sys.executable, "-c", big])
    print("process", digest(done.stdout), digest(done.stderr))
    async with await anyio.open_process([sys.executable, "-c", "input()"]) as process:
        with anyio.move_on_after(0.05):
            await process.wait()
        process.terminate()
        print("terminated", await process.wait())
    with anyio.open_signal_receiver(signal.SIGUSR1, signal.SIGUSR2) as signals:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
            async for got in signals:
                print("signal", got.name)
                break


def main(world: World) -> None:
    async def everything() -> None:
        world.look()
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            await scopes()
            await sockets(folder)
            await outside(folder, world)

    options: dict[str, Any] = {"debug": world.debug}
    if world.factory is not None:
        options["loop_factory"] = world.factory
    anyio.run(everything, backend="asyncio", backend_options=options)

    async def through_portal() -> str:
        world.look()
        await anyio.sleep(0)
        return "portal"

    with anyio.from_thread.start_blocking_portal("asyncio", options) as portal:
        print(portal.call(through_portal), portal.start_task_soon(through_portal).result())
        started, value = portal.start_task(waits)
        print(value, started.cancel())


async def waits(task_status: Any) -> None:
    task_status.started("started")
    await anyio.sleep_forever()

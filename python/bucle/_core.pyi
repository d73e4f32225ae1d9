"""Types of the extension, as they are once the package is imported.

The methods of Loop that `bucle.loop` attaches are listed with the native ones: a user sees one
class. What asyncio's own stubs already say of the base classes is not repeated.
"""

import asyncio
from abc import ABCMeta
from asyncio import as_completed as as_completed
from asyncio import create_task as create_task
from asyncio import ensure_future as ensure_future
from asyncio import gather as gather
from asyncio import run_coroutine_threadsafe as run_coroutine_threadsafe
from asyncio import shield as shield
from asyncio import sleep as sleep
from asyncio import to_thread as to_thread
from asyncio import wait as wait
from asyncio import wrap_future as wrap_future
from asyncio.trsock import TransportSocket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import Executor
from contextvars import Context
from socket import AddressFamily, AddressInfo, SocketKind, socket
from ssl import SSLContext
from typing import IO, Any, Literal, TypeAlias, TypeVar, TypeVarTuple, Unpack, final

from _typeshed import (
    FileDescriptorLike,
    ReadableBuffer,
    StrPath,
    SupportsRichComparisonT,
    WriteableBuffer,
)
from typing_extensions import disjoint_base

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_Ts = TypeVarTuple("_Ts")
_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

_Context: TypeAlias = dict[str, Any]
_ExceptionHandler: TypeAlias = Callable[[asyncio.AbstractEventLoop, _Context], object]
_ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]
_Ssl: TypeAlias = bool | SSLContext | None
_Seconds: TypeAlias = float | None
_Ipv4Info: TypeAlias = tuple[Literal[AddressFamily.AF_INET], SocketKind, int, str, tuple[str, int]]
_Ipv6Info: TypeAlias = tuple[
    Literal[AddressFamily.AF_INET6],
    SocketKind,
    int,
    str,
    tuple[str, int, int, int] | tuple[int, bytes],
]

@disjoint_base
class Future(asyncio.Future[_T]): ...

@disjoint_base
class Task(asyncio.Task[_T_co]): ...

@disjoint_base
class Lock(asyncio.Lock, metaclass=ABCMeta): ...

@disjoint_base
class Event(asyncio.Event, metaclass=ABCMeta): ...

@disjoint_base
class Condition(asyncio.Condition, metaclass=ABCMeta): ...

@disjoint_base
class Semaphore(asyncio.Semaphore, metaclass=ABCMeta): ...

class BoundedSemaphore(Semaphore, asyncio.BoundedSemaphore): ...

@disjoint_base
class Barrier(asyncio.Barrier, metaclass=ABCMeta): ...

@final
class Timeout(asyncio.Timeout, metaclass=ABCMeta): ...  # type: ignore[misc]

@disjoint_base
class TaskGroup(asyncio.TaskGroup, metaclass=ABCMeta): ...

@disjoint_base
class StreamReader(asyncio.StreamReader, metaclass=ABCMeta): ...

@disjoint_base
class StreamWriter(asyncio.StreamWriter, metaclass=ABCMeta): ...

@disjoint_base
class StreamReaderProtocol(asyncio.StreamReaderProtocol, metaclass=ABCMeta): ...

@disjoint_base
class Handle(asyncio.Handle, metaclass=ABCMeta): ...

@disjoint_base
class TimerHandle(asyncio.TimerHandle, metaclass=ABCMeta): ...

@disjoint_base
class Loop(asyncio.AbstractEventLoop, metaclass=ABCMeta):
    slow_callback_duration: float
    _thread_id: int | None
    _debug: bool
    _closed: bool
    _stopping: bool
    _task_factory: Callable[..., asyncio.Future[Any]] | None
    _clock_resolution: float
    _current_handle: asyncio.Handle | None
    _default_executor: Executor | None
    _executor_shutdown_called: bool
    _may_nest: bool
    _exception_handler: _ExceptionHandler | None

    def __init__(self) -> None: ...

    # Native: running.
    def run_forever(self) -> None: ...
    def run_until_complete(self, future: Awaitable[_T]) -> _T: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def is_running(self) -> bool: ...
    def is_closed(self) -> bool: ...
    def get_debug(self) -> bool: ...
    def set_debug(self, enabled: bool) -> None: ...
    def metrics(self) -> dict[str, int]: ...

    # Native: scheduling.
    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle: ...
    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle: ...
    def time(self) -> float: ...
    def create_future(self) -> asyncio.Future[Any]: ...
    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[_T]: ...
    def set_task_factory(self, factory: Callable[..., asyncio.Future[Any]] | None) -> None: ...
    def get_task_factory(self) -> Callable[..., asyncio.Future[Any]] | None: ...

    # Native: readiness.
    def add_reader(
        self,
        fd: FileDescriptorLike,
        callback: Callable[[Unpack[_Ts]], Any],
        *args: *_Ts,
    ) -> None: ...
    def add_writer(
        self,
        fd: FileDescriptorLike,
        callback: Callable[[Unpack[_Ts]], Any],
        *args: *_Ts,
    ) -> None: ...
    def remove_reader(self, fd: FileDescriptorLike) -> bool: ...
    def remove_writer(self, fd: FileDescriptorLike) -> bool: ...
    def _add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> asyncio.Handle: ...
    def _add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> asyncio.Handle: ...
    def _remove_reader(self, fd: int, /) -> bool: ...
    def _remove_writer(self, fd: int, /) -> bool: ...
    def _watched_events(self, fd: int, /) -> int: ...
    def _check_closed(self) -> None: ...
    def _check_running(self) -> None: ...
    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle, /) -> None: ...
    @property
    def _ready(self) -> list[asyncio.Handle]: ...
    @property
    def _scheduled(self) -> list[asyncio.TimerHandle]: ...

    # Attached: signals.
    _signal_handlers: dict[int, asyncio.Handle]
    def _check_signal(self, sig: object) -> None: ...
    def _handle_signal(self, sig: int) -> None: ...
    def add_signal_handler(
        self, sig: int, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts
    ) -> None: ...
    def remove_signal_handler(self, sig: int) -> bool: ...

    # Attached: errors, executors, asynchronous generators.
    def set_exception_handler(self, handler: _ExceptionHandler | None) -> None: ...
    def get_exception_handler(self) -> _ExceptionHandler | None: ...
    def default_exception_handler(self, context: _Context) -> None: ...
    def call_exception_handler(self, context: _Context) -> None: ...
    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]: ...
    def set_default_executor(self, executor: Executor) -> None: ...
    async def shutdown_default_executor(self, timeout: _Seconds = None) -> None: ...
    async def shutdown_asyncgens(self) -> None: ...
    def _close_resources(self) -> None: ...

    # Attached: names.
    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[_Ipv4Info | _Ipv6Info]: ...
    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int = 0
    ) -> tuple[str, str]: ...

    # Attached: connections and servers.
    _unix_server_sockets: dict[socket, int]
    def _stop_serving(self, sock: socket) -> None: ...
    async def create_connection(
        self,
        protocol_factory: Callable[[], _Protocol],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: _Ssl = None,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        sock: socket | None = None,
        local_addr: tuple[str, int] | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: _Seconds = None,
        ssl_shutdown_timeout: _Seconds = None,
        happy_eyeballs_delay: _Seconds = None,
        interleave: int | None = None,
        all_errors: bool = False,
    ) -> tuple[asyncio.Transport, _Protocol]: ...
    async def create_server(
        self,
        protocol_factory: _ProtocolFactory,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        family: int = AddressFamily.AF_UNSPEC,
        flags: int = AddressInfo.AI_PASSIVE,
        sock: socket | None = None,
        backlog: int = 100,
        ssl: _Ssl = None,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        keep_alive: bool | None = None,
        ssl_handshake_timeout: _Seconds = None,
        ssl_shutdown_timeout: _Seconds = None,
        start_serving: bool = True,
    ) -> asyncio.Server: ...
    async def create_unix_connection(
        self,
        protocol_factory: Callable[[], _Protocol],
        path: StrPath | None = None,
        *,
        ssl: _Ssl = None,
        sock: socket | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: _Seconds = None,
        ssl_shutdown_timeout: _Seconds = None,
    ) -> tuple[asyncio.Transport, _Protocol]: ...
    async def create_unix_server(
        self,
        protocol_factory: _ProtocolFactory,
        path: StrPath | None = None,
        *,
        sock: socket | None = None,
        backlog: int = 100,
        ssl: _Ssl = None,
        ssl_handshake_timeout: _Seconds = None,
        ssl_shutdown_timeout: _Seconds = None,
        start_serving: bool = True,
        cleanup_socket: bool = True,
    ) -> asyncio.Server: ...
    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], _Protocol],
        sock: socket,
        *,
        ssl: _Ssl = None,
        ssl_handshake_timeout: _Seconds = None,
        ssl_shutdown_timeout: _Seconds = None,
    ) -> tuple[asyncio.Transport, _Protocol]: ...
    async def create_datagram_endpoint(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], _Protocol],
        local_addr: tuple[str, int] | str | None = None,
        remote_addr: tuple[str, int] | str | None = None,
        *,
        family: int = 0,
        proto: int = 0,
        flags: int = 0,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: socket | None = None,
    ) -> tuple[asyncio.DatagramTransport, _Protocol]: ...
    async def start_tls(
        self,
        transport: asyncio.WriteTransport,
        protocol: asyncio.BaseProtocol,
        sslcontext: SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: _Seconds = None,
        ssl_shutdown_timeout: _Seconds = None,
    ) -> asyncio.Transport | None: ...
    async def sendfile(
        self,
        transport: asyncio.WriteTransport,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool = True,
    ) -> int: ...

    # Attached: pipes and processes.
    async def connect_read_pipe(
        self, protocol_factory: Callable[[], _Protocol], pipe: Any
    ) -> tuple[asyncio.ReadTransport, _Protocol]: ...
    async def connect_write_pipe(
        self, protocol_factory: Callable[[], _Protocol], pipe: Any
    ) -> tuple[asyncio.WriteTransport, _Protocol]: ...
    async def subprocess_shell(
        self,
        protocol_factory: Callable[[], _Protocol],
        cmd: bytes | str,
        *,
        stdin: int | IO[Any] | None = -1,
        stdout: int | IO[Any] | None = -1,
        stderr: int | IO[Any] | None = -1,
        universal_newlines: Literal[False] = False,
        shell: Literal[True] = True,
        bufsize: Literal[0] = 0,
        encoding: None = None,
        errors: None = None,
        text: Literal[False] | None = None,
        **kwargs: Any,
    ) -> tuple[asyncio.SubprocessTransport, _Protocol]: ...
    async def subprocess_exec(
        self,
        protocol_factory: Callable[[], _Protocol],
        program: Any,
        *args: Any,
        stdin: int | IO[Any] | None = -1,
        stdout: int | IO[Any] | None = -1,
        stderr: int | IO[Any] | None = -1,
        universal_newlines: Literal[False] = False,
        shell: Literal[False] = False,
        bufsize: Literal[0] = 0,
        encoding: None = None,
        errors: None = None,
        text: Literal[False] | None = None,
        **kwargs: Any,
    ) -> tuple[asyncio.SubprocessTransport, _Protocol]: ...

    # Attached: plain sockets.
    async def sock_recv(self, sock: socket, n: int) -> bytes: ...
    async def sock_recv_into(self, sock: socket, buf: WriteableBuffer) -> int: ...
    async def sock_recvfrom(self, sock: socket, bufsize: int) -> tuple[bytes, Any]: ...
    async def sock_recvfrom_into(
        self, sock: socket, buf: WriteableBuffer, nbytes: int = 0
    ) -> tuple[int, Any]: ...
    async def sock_sendall(self, sock: socket, data: ReadableBuffer) -> None: ...
    async def sock_sendto(self, sock: socket, data: ReadableBuffer, address: Any) -> int: ...
    async def sock_sendfile(
        self,
        sock: socket,
        file: IO[bytes],
        offset: int = 0,
        count: int | None = None,
        *,
        fallback: bool | None = True,
    ) -> int: ...
    async def sock_connect(self, sock: socket, address: Any) -> None: ...
    async def sock_accept(self, sock: socket) -> tuple[socket, Any]: ...

@final
class SocketTransport(asyncio.transports._FlowControlMixin, asyncio.Transport): ...

@final
class DatagramTransport(asyncio.transports._FlowControlMixin, asyncio.DatagramTransport):
    max_size: int

@final
class ReadPipeTransport(asyncio.ReadTransport):
    max_size: int

@final
class WritePipeTransport(asyncio.transports._FlowControlMixin, asyncio.WriteTransport): ...

class QueueShutDown(Exception): ...

@disjoint_base
class Queue(asyncio.Queue[_T], metaclass=ABCMeta):
    def shutdown(self, immediate: bool = False) -> None: ...
    def __getstate__(self) -> dict[str, Any]: ...
    def __setstate__(self, state: dict[str, Any], /) -> None: ...

class LifoQueue(Queue[_T], asyncio.LifoQueue[_T], metaclass=ABCMeta): ...
class PriorityQueue(
    Queue[SupportsRichComparisonT],
    asyncio.PriorityQueue[SupportsRichComparisonT],
    metaclass=ABCMeta,
): ...

def timeout(delay: _Seconds) -> Timeout: ...
def timeout_at(when: _Seconds) -> Timeout: ...
async def wait_for(fut: Awaitable[_T], timeout: _Seconds) -> _T: ...

profile_guided: bool

def libuv_version() -> str: ...
def self_test() -> dict[str, object]: ...
def native_tasks() -> list[asyncio.Task[Any]]: ...
def signal_wakeup_fd() -> int: ...
def set_signal_dispatcher(dispatcher: Callable[[bytes], object], /) -> None: ...
def set_connection_socket(kind: type[TransportSocket], /) -> None: ...
def claim_wakeup_fd(claimed: bool, /) -> None: ...
def after_fork_child() -> None: ...
def send_gathered() -> None: ...

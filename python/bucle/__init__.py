"""bucle: asyncio's core, native.

An event loop on epoll and libuv, and native futures, tasks, locks, queues, combinators and streams,
behind asyncio's own names and with asyncio's semantics. `bucle.run(main())` runs on such a loop;
`bucle.install()` makes asyncio itself native.
"""

from __future__ import annotations

import os
from asyncio import all_tasks
from typing import TYPE_CHECKING, Any

from . import _all_tasks, _compat, _signals
from . import loop as _loop  # noqa: F401 (completes the Loop type)
from ._combine import as_completed, current_task
from ._core import (
    Barrier,
    BoundedSemaphore,
    Condition,
    Event,
    Future,
    Handle,
    LifoQueue,
    Lock,
    Loop,
    PriorityQueue,
    Queue,
    QueueShutDown,
    Semaphore,
    StreamReader,
    StreamReaderProtocol,
    StreamWriter,
    Task,
    TaskGroup,
    Timeout,
    TimerHandle,
    after_fork_child,
    create_task,
    ensure_future,
    gather,
    libuv_version,
    run_coroutine_threadsafe,
    send_gathered,
    shield,
    sleep,
    timeout,
    timeout_at,
    to_thread,
    wait,
    wait_for,
    wrap_future,
)
from ._streams import open_connection, open_unix_connection, start_server, start_unix_server
from ._subprocess import create_subprocess_exec, create_subprocess_shell
from .eager import eager_task_factory
from .installation import install, uninstall
from .nesting import allow_nesting
from .runner import Runner, new_event_loop, run

if TYPE_CHECKING:
    from .policy import EventLoopPolicy

__version__ = "0.1.0"

__all__ = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "Future",
    "Handle",
    "LifoQueue",
    "Lock",
    "Loop",
    "PriorityQueue",
    "Queue",
    "QueueShutDown",
    "Runner",
    "Semaphore",
    "StreamReader",
    "StreamReaderProtocol",
    "StreamWriter",
    "Task",
    "TaskGroup",
    "Timeout",
    "TimerHandle",
    "all_tasks",
    "allow_nesting",
    "as_completed",
    "create_subprocess_exec",
    "create_subprocess_shell",
    "create_task",
    "current_task",
    "ensure_future",
    "gather",
    "install",
    "libuv_version",
    "new_event_loop",
    "open_connection",
    "open_unix_connection",
    "run",
    "run_coroutine_threadsafe",
    "shield",
    "sleep",
    "start_server",
    "start_unix_server",
    "timeout",
    "timeout_at",
    "to_thread",
    "uninstall",
    "wait",
    "wait_for",
    "wrap_future",
]
if _compat.HAS_POLICIES:
    __all__ += ["EventLoopPolicy"]
if eager_task_factory is None:
    del eager_task_factory
else:
    __all__ += ["eager_task_factory"]


def __getattr__(name: str) -> Any:
    # The policy is made when it is asked for: its base class is slow to reach, deprecated from
    # 3.14 on, and gone where the interpreter has no policies.
    if name == "EventLoopPolicy":
        if not _compat.HAS_POLICIES:
            raise AttributeError(
                "this version of Python has no event loop policies, so bucle has no "
                "EventLoopPolicy; use bucle.run(main()) or "
                "asyncio.run(main(), loop_factory=bucle.new_event_loop)"
            )
        from .policy import EventLoopPolicy

        globals()[name] = EventLoopPolicy
        return EventLoopPolicy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


os.register_at_fork(before=send_gathered, after_in_child=after_fork_child)
os.register_at_fork(after_in_child=_signals.forget_after_fork)
_all_tasks.show_native_tasks()

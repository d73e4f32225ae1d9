"""Names of the upstream test modules and the named sets that the command line knows.

`core` is what the native loop core, Future, Task and Handle must pass; `all` adds the modules that
need connections, servers, subprocesses and TLS.  A name that a version does not have is passed
over in silence: test_graph, for one, came with 3.14.
"""

from __future__ import annotations

CORE = (
    "test_tasks",
    "test_futures",
    "test_futures2",
    "test_eager_task_factory",
    "test_free_threading",
    "test_graph",
    "test_context",
    "test_runners",
    "test_threads",
    "test_timeouts",
    "test_taskgroups",
    "test_waitfor",
    "test_locks",
    "test_queues",
    "test_pep492",
    "test_staggered",
    "test_events",
    "test_base_events",
)

NET = (
    "test_unix_events",
    "test_sock_lowlevel",
    "test_sendfile",
    "test_server",
    "test_server_context",
    "test_streams",
    "test_subprocess",
    "test_buffered_proto",
    "test_ssl",
    "test_sslproto",
)

SETS = {"core": CORE, "net": NET, "all": CORE + NET}

PREFIX = "test.test_asyncio."


def select(names: str) -> list[str]:
    """The modules that a comma-separated list of modules and sets stands for, each once."""
    chosen: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        members = SETS.get(name)
        if members is None and name not in SETS["all"]:
            raise ValueError(f"no module or set {name!r}; sets: {', '.join(SETS)}")
        chosen.update(dict.fromkeys(members or (name,)))
    return list(chosen) or list(SETS["all"])


def short_id(test_id: str) -> str:
    """`test_tasks.MTask_MFuture_Tests.test_cancel`: the form in which the registry names a test."""
    return test_id.removeprefix(PREFIX)

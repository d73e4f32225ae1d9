"""Who is compared: event loops by name, each loaded only inside its own sampling process.

Nothing here imports a contender at module level: some of them patch asyncio when they are
imported, and would then be measured in each other's place.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.programs import LIBUV_SERVER, version_of

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

REFERENCE = "asyncio"


@dataclass(frozen=True, slots=True)
class Contender:
    """An event loop, or a pairing of one loop's scheduling with another's tasks.

    A limit is a program of ours instead, which serves where a workload needs a server.
    """

    name: str
    distribution: str | None
    load: Callable[[], LoopFactory]
    by_default: bool = True
    limit: str | None = None

    def version(self) -> str:
        """Return the installed version; raises ImportError when it is not there."""
        if self.limit is not None:
            return version_of(self.limit)
        if self.distribution is None:
            return "standard library"
        module = importlib.import_module(self.distribution)
        try:
            version = importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            version = str(getattr(module, "__version__", "in place"))
        guided = getattr(getattr(module, "_core", None), "profile_guided", False)
        return f"{version} profile-guided" if guided else version


def _peer(name: str) -> Contender:
    def load() -> LoopFactory:
        factory: LoopFactory = importlib.import_module(name).new_event_loop
        return factory

    return Contender(name, name, load)


def _bucle() -> Any:
    return importlib.import_module("bucle")


def _load_bucle() -> LoopFactory:
    factory: LoopFactory = _bucle().new_event_loop
    return factory


def _load_installed() -> LoopFactory:
    _bucle().install()
    return _load_bucle()


def _with_tasks(make_loop: LoopFactory, task_type: Any) -> LoopFactory:
    def make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        return task_type(coro, loop=loop, **options)

    def factory() -> asyncio.AbstractEventLoop:
        loop = make_loop()
        loop.set_task_factory(make_task)
        return loop

    return factory


def _load_stock_tasks() -> LoopFactory:
    return _with_tasks(_load_bucle(), asyncio.Task)


def _load_native_tasks() -> LoopFactory:
    return _with_tasks(asyncio.SelectorEventLoop, _bucle().Task)


def _load_native_names() -> LoopFactory:
    stock_task = asyncio.Task
    _bucle().install()
    return _with_tasks(asyncio.SelectorEventLoop, stock_task)


def _load_stock_factory() -> LoopFactory:
    return _with_tasks(asyncio.SelectorEventLoop, asyncio.Task)


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(REFERENCE, None, lambda: asyncio.SelectorEventLoop),
        _peer("uvloop"),
        _peer("zuvloop"),
        _peer("rsloop"),
        _peer("rloop"),
        Contender("bucle", "bucle", _load_bucle),
        Contender("bucle+install", "bucle", _load_installed),
        Contender("bucle, stock Task", "bucle", _load_stock_tasks, by_default=False),
        Contender("asyncio, native Task", "bucle", _load_native_tasks, by_default=False),
        Contender("asyncio, native names", "bucle", _load_native_names, by_default=False),
        Contender("asyncio, task factory", None, _load_stock_factory, by_default=False),
        Contender(
            "libuv in C",
            None,
            lambda: asyncio.SelectorEventLoop,
            by_default=False,
            limit=LIBUV_SERVER,
        ),
    )
}

DEFAULT = [name for name, contender in CONTENDERS.items() if contender.by_default]
LIMITS = [name for name, contender in CONTENDERS.items() if contender.limit]
PAIRS = [name for name in CONTENDERS if name not in DEFAULT and name not in LIMITS]

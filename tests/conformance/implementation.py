"""The implementation under test, and the `asyncio` that the upstream modules are shown.

What a module exposes decides what is run: Future and Task bring the type tests, new_event_loop the
loop tests, any other public asyncio name replaces that name as the test modules see it.  Nothing
is patched globally unless the caller asks for install(): a proxy module stands in for `asyncio`, so
stock and foreign objects can be compared inside one process.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = sys.version_info[:2]

_TASK_BOOKKEEPING = ("_register_task", "_unregister_task", "_enter_task", "_leave_task")


class Implementation:
    """One importable module seen as a replacement of asyncio."""

    def __init__(self, name: str, *, install: bool = False) -> None:
        self.name = name
        self.is_stock = name == "stdlib"
        self.installed = install
        self.module = self._import(name, install)
        self.future_type: Any = getattr(self.module, "Future", None)
        self.task_type: Any = getattr(self.module, "Task", None)
        self.loop_factory: Callable[[], Any] | None = getattr(self.module, "new_event_loop", None)
        self.has_types = self.future_type is not None and self.task_type is not None
        # With install() asyncio itself carries the names, so there is nothing to proxy.
        self.overrides = {} if self.is_stock or install else self._overrides()

    @staticmethod
    def _import(name: str, install: bool) -> Any:
        if name == "stdlib":
            names = {public: getattr(asyncio, public) for public in asyncio.__all__}
            private = {name: getattr(asyncio.tasks, name) for name in _TASK_BOOKKEEPING}
            return types.SimpleNamespace(**names | private)
        module = importlib.import_module(name)
        if install:
            module.install()
        return module

    def _overrides(self) -> dict[str, Any]:
        found = {
            name: getattr(self.module, name)
            for name in dir(self.module)
            if name in asyncio.__all__
            and getattr(self.module, name) is not getattr(asyncio, name, None)
        }
        factory = self.loop_factory
        if factory is not None:
            found["new_event_loop"] = factory
            # A class where there is one: the tests ask isinstance(loop, asyncio.EventLoop).
            loop_type = getattr(self.module, "Loop", None) or (lambda *args, **kwargs: factory())
            found["EventLoop"] = found["SelectorEventLoop"] = loop_type
            if "run" in found:
                found["run"] = _asking_the_policy(found["run"])
            else:
                found["run"] = _run_on(factory)
            if "Runner" in found:
                found["Runner"] = _runner_asking_the_policy(found["Runner"])
        return found

    def get(self, name: str) -> Any:
        """The implementation's object of that name, else asyncio's."""
        for owner in (self.module, asyncio, asyncio.tasks):
            found = getattr(owner, name, None)
            if found is not None:
                return found
        return None

    def has(self, *names: str) -> bool:
        return all(hasattr(self.module, name) for name in names)


def _run_on(factory: Callable[[], Any]) -> Callable[..., Any]:
    """asyncio.run for an implementation that brings a loop only."""

    def run(main: Any, *, debug: bool | None = None, loop_factory: Any = None) -> Any:
        with asyncio.Runner(debug=debug, loop_factory=loop_factory or factory) as runner:
            return runner.run(main)

    return run


def _asking_the_policy(run: Callable[..., Any]) -> Callable[..., Any]:
    """A run() that asks the policy for its loop, as asyncio's does: test_runners sets one."""

    def run_on_policy(main: Any, *, debug: bool | None = None, loop_factory: Any = None) -> Any:
        return run(main, debug=debug, loop_factory=loop_factory)

    return run_on_policy


def _runner_asking_the_policy(runner: Any) -> Any:
    """The same for Runner."""

    def __init__(self: Any, *, debug: bool | None = None, loop_factory: Any = None) -> None:
        runner.__init__(self, debug=debug, loop_factory=loop_factory)

    return type("Runner", (runner,), {"__init__": __init__})


class AsyncioProxy(types.ModuleType):
    """`asyncio` with some names replaced; tests that patch a name patch it here or there."""

    def __init__(self, overrides: dict[str, Any]) -> None:
        super().__init__("asyncio")
        self.__dict__["_overrides"] = dict(overrides)

    def __getattribute__(self, name: str) -> Any:
        if name in ("__dict__", "__class__", "_overrides"):
            return super().__getattribute__(name)
        overrides = super().__getattribute__("__dict__")["_overrides"]
        return overrides[name] if name in overrides else getattr(asyncio, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._overrides:
            self._overrides[name] = value
        else:
            setattr(asyncio, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._overrides:
            del self._overrides[name]
        else:
            delattr(asyncio, name)

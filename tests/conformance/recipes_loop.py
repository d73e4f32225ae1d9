"""Recipes for the upstream modules that test loops, servers, subprocesses and runners.

The selector loop's own cases are the base: they make their loop by a factory method, which is all
that has to be replaced.  Cases of other loops (proactor, poll, kqueue) add nothing here.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

from .deriving import Case, TestModule, cases_of, derive, generic, loop_case
from .implementation import VERSION, Implementation

Recipe = Callable[[TestModule, Implementation], list[Case]]


def _selector_case(class_name: str, *more: str) -> Recipe:
    """One class with the loop replaced, and further classes of the module as they are."""

    def recipe(module: TestModule, impl: Implementation) -> list[Case]:
        cases = generic(module, impl, more)
        if impl.loop_factory is not None:
            base = getattr(module, class_name)
            cases.insert(0, loop_case(module, impl, base, f"M{class_name}"))
        return cases

    return recipe


test_sendfile = _selector_case("SelectEventLoopTests")
test_sock_lowlevel = _selector_case("SelectEventLoopTests")
test_buffered_proto = _selector_case("BufferedProtocolSelectorTests")
test_server = _selector_case("SelectorStartServerTests", "TestServer2", "UnixServerCleanupTests")
test_sslproto = _selector_case("SelectorStartTLSTests", "SslProtoHandshakeTests")


def test_events(module: TestModule, impl: Implementation) -> list[Case]:
    cases = []
    if impl.loop_factory is not None:
        cases.append(loop_case(module, impl, module.SelectEventLoopTests, "MEventLoopTests"))
    if impl.has("Handle", "TimerHandle"):
        cases += generic(module, impl, ("HandleTests", "TimerTests"))
    cases += generic(
        module, impl, ("TestServer", "TestAbstractServer", "UnixPipeObjectSupportTests")
    )
    if impl.installed or impl.has("get_event_loop", "get_running_loop"):
        cases.append(derive(module, "M_TestCGetEventLoop", module.TestCGetEventLoop))
    return cases


def test_base_events(module: TestModule, impl: Implementation) -> list[Case]:
    """Most of this module tests BaseEventLoop's own insides by mocks; they are left out."""
    names = ["RunningLoopTests", "BaseEventLoopWithSelectorTests"]
    return generic(module, impl, names)


def test_unix_events(module: TestModule, impl: Implementation) -> list[Case]:
    return generic(module, impl, ("TestFunctional", "TestFork", "SelectorEventLoopUnixSocketTests"))


def test_server_context(module: TestModule, impl: Implementation) -> list[Case]:
    factory = impl.loop_factory
    if factory is None:
        return []
    return [
        derive(module, f"M_{case.__name__}", case, loop_factory=staticmethod(factory))
        for case in cases_of(module)
        if "roactor" not in case.__name__
    ]


def test_subprocess(module: TestModule, impl: Implementation) -> list[Case]:
    factory = impl.loop_factory
    if factory is None:
        return []

    def set_up(self: Any) -> None:
        super(case, self).setUp()
        self.loop = factory()
        self.set_event_loop(self.loop)
        if VERSION < (3, 14) and isinstance(self.loop, asyncio.SelectorEventLoop):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                watcher = asyncio.get_event_loop_policy().get_child_watcher()
                watcher.attach_loop(self.loop)

    bases = (module.SubprocessMixin, module.test_utils.TestCase)
    case = derive(module, "MSubprocessTests", bases, setUp=set_up)
    return [case, *(_watched(module, impl) if impl.installed else [])]


def _watched(module: TestModule, impl: Implementation) -> list[Case]:
    """The same with each kind of child watcher, on the loops of a policy; upstream skips one."""

    def set_up_class(cls: Any) -> None:
        # what the last class tore down
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.set_event_loop_policy(impl.module.EventLoopPolicy())

    skipped = "SubprocessMultiLoopWatcherTests"
    names = [name for name in vars(module) if "Watcher" in name and name != skipped]
    cases = generic(module, impl, names)
    for case in cases:
        case.setUpClass = classmethod(set_up_class)  # type: ignore[assignment]
    return cases


def test_runners(module: TestModule, impl: Implementation) -> list[Case]:
    return generic(module, impl) if impl.has("Runner") or impl.has("run") else []

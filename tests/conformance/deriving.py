"""How one upstream TestCase becomes a test case of the implementation.

Derived classes keep the upstream module's name, so that an id reads like the original's.  Classes
that reach the implementation through names in `asyncio` are merely derived; loop cases get a
factory; IsolatedAsyncioTestCase gets the implementation's loop by the hook of its version.
"""

from __future__ import annotations

import asyncio
import unittest
from typing import TYPE_CHECKING, Any

from .implementation import VERSION, Implementation

if TYPE_CHECKING:
    from collections.abc import Collection

TestModule = Any  # an upstream module object: its classes are looked up by name
Case = type[unittest.TestCase]


def derive(module: TestModule, name: str, base: Any, **namespace: Any) -> Case:
    bases = base if isinstance(base, tuple) else (base,)
    namespace["__module__"] = module.__name__
    case = type(name, bases, namespace)
    case.__qualname__ = name
    return case


def isolated(module: TestModule, impl: Implementation, base: Case, name: str = "") -> Case:
    """An IsolatedAsyncioTestCase bound to the implementation's loop."""
    namespace: dict[str, Any] = {}
    factory = impl.loop_factory
    if factory is not None and VERSION >= (3, 13):
        namespace["loop_factory"] = staticmethod(factory)
    elif factory is not None:
        # Before 3.13 the case has no loop_factory; its private set-up is what there is.
        def set_up_runner(self: Any) -> None:
            assert self._asyncioRunner is None
            self._asyncioRunner = asyncio.Runner(debug=True, loop_factory=factory)

        namespace["_setupAsyncioRunner"] = set_up_runner
    return derive(module, name or f"M_{base.__name__}", base, **namespace)


def cases_of(module: TestModule) -> list[Case]:
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, unittest.TestCase)
        and found.__module__ == module.__name__
    ]


def generic(
    module: TestModule,
    impl: Implementation,
    only: Collection[str] | None = None,
    skip: Collection[str] = (),
) -> list[Case]:
    """Every TestCase of the module (or those named): they see the proxied `asyncio`."""
    derived = []
    for case in cases_of(module):
        name = case.__name__
        if (only is not None and name not in only) or name in skip or "roactor" in name:
            continue
        if issubclass(case, unittest.IsolatedAsyncioTestCase):
            derived.append(isolated(module, impl, case))
        else:
            derived.append(derive(module, f"M_{name}", case))
    return derived


def loop_case(module: TestModule, impl: Implementation, base: Any, name: str) -> Case:
    """A case that makes its loop by create_event_loop() or new_loop()."""
    factory = impl.loop_factory
    assert factory is not None

    def make_loop(self: Any) -> Any:
        return factory()

    return derive(module, name, base, create_event_loop=make_loop, new_loop=make_loop)

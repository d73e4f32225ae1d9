"""Recipes for the upstream modules that test Future, Task and their bookkeeping.

Each takes the upstream module and the implementation and returns test cases.  The mixed classes
(our Task on the Python Future, asyncio's C Task on our Future, ...) are what shows that objects of
either kind work together.
"""

from __future__ import annotations

import asyncio
import unittest
from asyncio import futures, tasks
from typing import Any

from .deriving import Case, TestModule, derive, generic, isolated
from .implementation import VERSION, Implementation

_stock_tasks: Any = tasks  # the private C and Python twins are not in the stubs
_stock_futures: Any = futures


def _introspection(impl: Implementation, task_type: Any = None) -> dict[str, Any]:
    """Class attributes by which the tests of 3.14 and later ask for all and current tasks."""
    if VERSION < (3, 14):
        return {}
    if task_type is _stock_tasks._PyTask:
        found = _stock_tasks._py_all_tasks, _stock_tasks._py_current_task
    elif task_type is _stock_tasks._CTask:
        found = _stock_tasks._c_all_tasks, _stock_tasks._c_current_task
    else:
        found = impl.get("all_tasks"), impl.get("current_task")
    return {"all_tasks": staticmethod(found[0]), "current_task": staticmethod(found[1])}


def _task_pairs(module: TestModule, impl: Implementation) -> list[Case]:
    ours, our_future = impl.task_type, impl.future_type
    py_task, c_task = _stock_tasks._PyTask, _stock_tasks._CTask
    py_future, c_future = _stock_futures._PyFuture, _stock_futures._CFuture
    bases = (module.BaseTaskTests, module.test_utils.TestCase)
    cases = [
        derive(
            module,
            "MTask_MFuture_Tests",
            module.CTask_CFuture_Tests,
            Task=ours,
            Future=our_future,
            **_introspection(impl),
        )
    ]
    for name, task, future in (
        ("MTask_MFuture_SubclassTests", ours, our_future),
        ("MTaskSubclass_PyFuture_Tests", ours, py_future),
        ("PyTask_MFutureSubclass_Tests", py_task, our_future),
    ):
        case = derive(module, name, bases, Task=task, Future=future, **_introspection(impl, task))
        cases.append(module.add_subclass_tests(case))
    for name, task, future in (
        ("MTask_PyFuture_Tests", ours, py_future),
        ("MTask_CFuture_Tests", ours, c_future),
        ("CTask_MFuture_Tests", c_task, our_future),
        ("PyTask_MFuture_Tests", py_task, our_future),
    ):
        cases.append(
            derive(module, name, bases, Task=task, Future=future, **_introspection(impl, task))
        )
    return cases


def test_tasks(module: TestModule, impl: Implementation) -> list[Case]:
    cases: list[Case] = []
    if impl.has_types:
        cases += _task_pairs(module, impl)
        current: dict[str, Any] = {}
        if VERSION >= (3, 12):
            current = {"current_task": staticmethod(impl.get("current_task"))}
        names = ("_register_task", "_unregister_task", "_enter_task", "_leave_task")
        bookkeeping = {name: staticmethod(impl.get(name)) for name in names} | current
        if VERSION >= (3, 14):
            bookkeeping |= _introspection(impl) | {"Task": impl.task_type}
        cases.append(
            derive(module, "MIntrospectionTests", module.CIntrospectionTests, **bookkeeping)
        )
        base = getattr(module, "CCurrentLoopTests", None) or getattr(
            module, "CurrentLoopTests", None
        )
        if base is not None:

            def new_task(self: Any, coro: Any) -> Any:
                return impl.task_type(coro, loop=self.loop)

            cases.append(derive(module, "MCurrentLoopTests", base, new_task=new_task, **current))
    through_asyncio = (
        "GenericTaskTests",
        "FutureGatherTests",
        "CoroutineGatherTests",
        "RunCoroutineThreadsafeTests",
        "SleepTests",
        "CompatibilityTests",
    )
    if impl.has_types or impl.has("gather") or impl.loop_factory:
        cases += generic(module, impl, through_asyncio)
    return cases


def test_futures(module: TestModule, impl: Implementation) -> list[Case]:
    if not impl.has_types:
        return []
    ours = impl.future_type
    subclass = type("MSubFuture", (ours,), {})

    def made_by(future_type: Any) -> dict[str, Any]:
        return {"_new_future": lambda self: future_type(loop=self.loop)}

    return [
        derive(module, "MFutureTests", module.CFutureTests, cls=ours),
        derive(module, "MSubFutureTests", module.CSubFutureTests, cls=subclass),
        derive(
            module,
            "MFutureDoneCallbackTests",
            module.CFutureDoneCallbackTests,
            **made_by(ours),
        ),
        derive(
            module,
            "MSubFutureDoneCallbackTests",
            module.CSubFutureDoneCallbackTests,
            **made_by(subclass),
        ),
        derive(
            module,
            "MFutureInheritanceTests",
            module.CFutureInheritanceTests,
            _get_future_cls=lambda self: ours,
        ),
        *generic(module, impl, ("DuckTests",)),
    ]


def test_futures2(module: TestModule, impl: Implementation) -> list[Case]:
    cases = []
    if impl.has_types:
        base = getattr(module, "CFutureTests", None) or module.FutureTests
        case: Any = isolated(module, impl, base, "MFutureTests")
        case.cls = impl.task_type
        cases.append(case)
    return cases + generic(module, impl, ("FutureReprTests",))


def test_eager_task_factory(module: TestModule, impl: Implementation) -> list[Case]:
    if not impl.has_types:
        return []
    ours = {"Task": impl.task_type}
    return [
        derive(
            module,
            "MEagerTaskFactoryLoopTests",
            module.CEagerTaskFactoryLoopTests,
            **ours,
        ),
        derive(module, "NonEagerMTaskTests", module.NonEagerCTaskTests, **ours),
        derive(module, "EagerMTaskTests", module.EagerCTaskTests, **ours),
        *generic(module, impl, ("DefaultTaskFactoryEagerStart",)),
    ]


def _swapping_names(impl: Implementation) -> dict[str, Any]:
    """setUp and tearDown for cases that construct through asyncio.Task and asyncio.Future."""
    places = ((asyncio, "Task"), (tasks, "Task"), (asyncio, "Future"), (futures, "Future"))

    def set_up(self: Any) -> None:
        self._stock_names = [getattr(owner, name) for owner, name in places]
        ours = {"Task": impl.task_type, "Future": impl.future_type}
        for owner, name in places:
            setattr(owner, name, ours[name])

    def tear_down(self: Any) -> None:
        for (owner, name), stock in zip(places, self._stock_names, strict=True):
            setattr(owner, name, stock)

    return {"setUp": set_up, "tearDown": tear_down}


def test_free_threading(module: TestModule, impl: Implementation) -> list[Case]:
    if not impl.has_types:
        return []
    make = impl.task_type

    def lazy(self: Any, loop: Any, coro: Any, **kwargs: Any) -> Any:
        return make(coro, loop=loop, **kwargs)

    def eager(self: Any, loop: Any, coro: Any, eager_start: bool = True, **kwargs: Any) -> Any:
        return make(coro, loop=loop, eager_start=eager_start, **kwargs)

    bases = (module.TestFreeThreading, unittest.TestCase)
    swapped = _swapping_names(impl)
    return [
        derive(module, "TestMFreeThreading", bases, **swapped, factory=lazy),
        derive(module, "TestEagerMFreeThreading", bases, **swapped, factory=eager),
    ]


def test_graph(module: TestModule, impl: Implementation) -> list[Case]:
    if not impl.has_types:
        return []
    bases = (module.CallStackTestBase, unittest.IsolatedAsyncioTestCase)
    case = derive(module, "TestCallStackM", bases, **_swapping_names(impl))
    return [isolated(module, impl, case, "TestCallStackM")]


def test_taskgroups(module: TestModule, impl: Implementation) -> list[Case]:
    cases = generic(module, impl, skip=("TestEagerTaskTaskGroup",))
    factory = impl.loop_factory
    if hasattr(module, "TestEagerTaskTaskGroup") and factory is not None:

        def eager_loop() -> Any:
            loop = factory()
            loop.set_task_factory(
                asyncio.create_eager_task_factory(impl.task_type)
                if impl.has_types
                else asyncio.eager_task_factory
            )
            return loop

        case: Any = isolated(module, impl, module.TestEagerTaskTaskGroup)
        case.loop_factory = staticmethod(eager_loop)
        cases.append(case)
    return cases

"""`install()` and `uninstall()`: what becomes native, and that all of it goes back exactly.

In subprocesses, since what is swapped belongs to the whole process.
"""

from __future__ import annotations

import asyncio
import importlib
import sys

import pytest

from bucle.installation import LOOP_NAMES, NAMES, native_form
from tests.support import check_script

STATE = """
import asyncio, asyncio.events, asyncio.futures, asyncio.tasks, asyncio.unix_events, sys
import bucle
from bucle import _compat
MODULES = [module for name, module in sorted(sys.modules.items())
           if name == "asyncio" or name.startswith("asyncio.")]
def state():
    return {(module.__name__, name): id(value)
            for module in MODULES for name, value in vars(module).items()
            if not name.startswith("__")}
import asyncio.unix_events
"""


def test_uninstall_restores_every_name() -> None:
    source = (
        STATE
        + """
before = state()
for _ in range(3):
    bucle.install()
    changed = sorted(key for key, value in state().items() if before.get(key) != value)
    bucle.uninstall()
    assert state() == before
print(*(f"{module}.{name}" for module, name in changed))
"""
    )
    changed = set(check_script(source).split())
    expected = set()
    for path, names in {**NAMES, **LOOP_NAMES}.items():
        for name in names:
            stock = getattr(importlib.import_module(path), name, None)
            if stock is not None and native_form(name) is not stock:
                expected.add(f"{path}.{name}")
                if hasattr(asyncio, name):
                    expected.add(f"asyncio.{name}")
    if not LOOP_NAMES["asyncio.events"]:
        expected.add("asyncio.events._event_loop_policy")
    assert expected <= changed
    # Other modules of asyncio that took one of the names from where it is defined.
    known = {name.rpartition(".")[2] for name in expected}
    assert {name.rpartition(".")[2] for name in changed} <= known


def test_the_loop_alone() -> None:
    source = """
    import asyncio, bucle
    names = {name: getattr(asyncio, name) for name in ("Future", "Task", "Queue", "sleep")}
    async def main():
        return type(asyncio.get_running_loop()), type(asyncio.current_task())
    bucle.install(loop_only=True)
    bucle.install(loop_only=True)
    assert all(getattr(asyncio, name) is stock for name, stock in names.items())
    assert asyncio.run(main()) == (bucle.Loop, bucle.Task)
    bucle.install()
    assert asyncio.Queue is bucle.Queue and asyncio.sleep is bucle.sleep
    bucle.install(loop_only=True)
    assert asyncio.Queue is bucle.Queue
    assert asyncio.run(main()) == (bucle.Loop, bucle.Task)
    bucle.uninstall()
    assert all(getattr(asyncio, name) is stock for name, stock in names.items())
    assert asyncio.run(main()) != (bucle.Loop, bucle.Task)
    """
    assert check_script(source) == ""


def test_from_many_threads() -> None:
    source = """
    import asyncio, threading, bucle
    stock = asyncio.Queue
    barrier = threading.Barrier(8)
    def work(number):
        for _ in range(50):
            barrier.wait()
            bucle.install(loop_only=number % 2 == 0)
            barrier.wait()
            if number == 0:
                assert asyncio.Queue is bucle.Queue
            barrier.wait()
            bucle.uninstall()
            barrier.wait()
            if number == 0:
                assert asyncio.Queue is stock
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
    assert check_script(source) == ""


def test_install_is_idempotent() -> None:
    source = (
        STATE
        + """
before = state()
bucle.install()
once = state()
bucle.install()
assert state() == once != before
bucle.uninstall()
assert state() == before
bucle.uninstall()
assert state() == before
"""
    )
    assert check_script(source) == ""


def test_what_asyncio_makes_is_native() -> None:
    source = """
    import asyncio, bucle, unittest
    bucle.install()
    async def main():
        loop = asyncio.get_running_loop()
        return [type(loop), type(asyncio.create_task(asyncio.sleep(0))),
                type(asyncio.ensure_future(asyncio.sleep(0))), type(asyncio.Future()),
                type(asyncio.Task(asyncio.sleep(0))), type(loop.create_future())]
    kinds = [bucle.Loop, bucle.Task, bucle.Task, bucle.Future, bucle.Task, bucle.Future]
    assert asyncio.run(main()) == kinds
    with asyncio.Runner() as runner:
        assert runner.run(main()) == kinds
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test(self):
            assert type(asyncio.get_running_loop()) is bucle.Loop
    Case("test").debug()
    loop = asyncio.new_event_loop()
    assert type(loop) is bucle.Loop
    asyncio.set_event_loop(loop)
    assert asyncio.get_event_loop() is loop
    loop.close()
    if hasattr(asyncio, "EventLoop"):
        assert asyncio.EventLoop is bucle.Loop
    if hasattr(asyncio, "eager_task_factory"):
        with asyncio.Runner() as runner:
            runner.get_loop().set_task_factory(asyncio.eager_task_factory)
            async def eager():
                task = asyncio.create_task(asyncio.sleep(0, "slept"))
                return type(task), await task
            assert runner.run(eager()) == (bucle.Task, "slept")
    bucle.uninstall()
    assert not isinstance(asyncio.SelectorEventLoop, type(None))
    async def stock():
        return type(asyncio.get_running_loop()) is not bucle.Loop
    assert asyncio.run(stock())
    """
    assert check_script(source) == ""


def test_stock_names_imported_before_keep_working() -> None:
    source = """
    import asyncio
    from asyncio import Future, Task, create_task
    class Early(asyncio.Task):
        pass
    import bucle
    bucle.install()
    async def main():
        loop = asyncio.get_running_loop()
        stock = Future()
        loop.call_soon(stock.set_result, 1)
        task = create_task(asyncio.sleep(0, 2))
        early = Early(asyncio.sleep(0, 3), loop=loop)
        for value in (task, early):
            assert isinstance(value, Task) and isinstance(value, asyncio.Task)
            assert isinstance(value, Future) and isinstance(value, asyncio.Future)
        assert isinstance(stock, asyncio.Future) and not isinstance(stock, asyncio.Task)
        assert issubclass(Early, asyncio.Task) and issubclass(asyncio.Task, Task)
        return [await stock, await task, await early]
    assert asyncio.run(main()) == [1, 2, 3]
    """
    assert check_script(source) == ""


def test_a_policy_of_the_user_comes_back() -> None:
    source = """
    import asyncio, warnings
    from bucle import _compat
    import bucle
    class Mine(_compat.default_policy_class()):
        pass
    mine = Mine()
    _compat.set_policy(mine)
    bucle.install()
    assert type(_compat.current_policy()) is bucle.EventLoopPolicy
    bucle.uninstall()
    assert _compat.current_policy() is mine
    bucle.install()
    other = Mine()
    _compat.set_policy(other)
    bucle.uninstall()
    assert _compat.current_policy() is other
    """
    assert check_script(source) == ""


def test_what_others_swapped_in_between_is_left() -> None:
    source = """
    import asyncio, bucle
    stock = asyncio.Future
    bucle.install()
    class Patched(asyncio.Task):
        pass
    asyncio.Task = Patched
    bucle.uninstall()
    assert asyncio.Task is Patched
    assert asyncio.Future is stock and asyncio.tasks.Task is not bucle.Task
    """
    assert check_script(source) == ""


def test_many_threads_may_install_at_once() -> None:
    source = (
        STATE
        + """
import random, threading
before = state()
def work(seed):
    choose = random.Random(seed).choice
    for _ in range(200):
        choose([bucle.install, bucle.uninstall])()
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
sys.setswitchinterval(1e-5)
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
bucle.uninstall()
assert state() == before
"""
    )
    assert check_script(source) == ""


def test_all_tasks_sees_native_tasks_from_the_import_on() -> None:
    source = """
    import asyncio, bucle
    async def main(kind):
        loop = asyncio.get_running_loop()
        native = bucle.Task(asyncio.sleep(0), loop=loop, name="native")
        stock = stock_task(asyncio.sleep(0), loop=loop, name="stock")
        tasks = asyncio.all_tasks()
        assert {native, stock, asyncio.current_task()} == tasks, tasks
        await native
        assert asyncio.all_tasks() <= {stock, asyncio.current_task()}
        await stock
    stock_task = asyncio.Task
    for install in (False, True):
        if install:
            bucle.install()
        for factory in (bucle.new_event_loop, asyncio.SelectorEventLoop):
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(main(factory))
                assert asyncio.all_tasks(runner.get_loop()) == set()
    """
    assert check_script(source) == ""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the registry is the interpreter's")
def test_the_registry_is_still_asyncios_weak_set() -> None:
    source = """
    import _asyncio, asyncio, gc, weakref, bucle
    from bucle import _compat
    registry = getattr(asyncio.tasks, _compat.TASK_REGISTRY)
    assert isinstance(registry, weakref.WeakSet)
    loop = bucle.new_event_loop()
    stock = asyncio.Task(asyncio.sleep(0), loop=loop)
    native = bucle.Task(asyncio.sleep(0), loop=loop)
    assert stock in registry and native in registry
    assert len(registry) == 2 and set(registry) == {stock, native}
    assert stock in getattr(_asyncio, _compat.TASK_REGISTRY)
    class Foreign:
        def get_loop(self): return loop
        def done(self): return False
    foreign = Foreign()
    asyncio._register_task(foreign)
    assert foreign in registry and foreign in asyncio.all_tasks(loop)
    asyncio._unregister_task(foreign)
    assert foreign not in registry
    loop.run_until_complete(stock)
    loop.run_until_complete(native)
    del stock, native
    gc.collect()
    assert len(registry) == 0
    loop.close()
    """
    assert check_script(source) == ""

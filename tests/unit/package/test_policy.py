"""`bucle.EventLoopPolicy` beside the default policy: the same answers, with native loops.

`get_event_loop` without a loop differs from version to version (makes one, warns, raises); each
script is run with both policies and must print the same.
"""

from __future__ import annotations

import asyncio
import sys

import pytest

import bucle
from bucle import _compat
from tests.support import check_script

pytestmark = pytest.mark.skipif(not _compat.HAS_POLICIES, reason="no policies in this Python")

PRELUDE = """
import asyncio, io, sys, threading, unittest, warnings
from bucle import _compat
warnings.simplefilter("always")
if impl.native:
    import bucle
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy = bucle.EventLoopPolicy()
        _compat.set_policy(policy)
import collections.abc
def attempt(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except BaseException as error:
            print(type(error).__name__, error)
            result = None
        else:
            kind = type(result).__name__
            native = kind in ("Loop", "_UnixSelectorEventLoop")
            print("a loop of ours" if native else repr(result))
    for warning in caught:
        print(warning.category.__name__, warning.message)
    return result
"""

GET_EVENT_LOOP = """
first = attempt(asyncio.get_event_loop)
second = attempt(asyncio.get_event_loop)
print(first is second)
if first is not None:
    first.close()
asyncio.set_event_loop(None)
attempt(asyncio.get_event_loop)
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
print(asyncio.get_event_loop() is loop)
def in_thread():
    attempt(asyncio.get_event_loop)
    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    print(asyncio.get_event_loop() is mine is not loop)
    mine.close()
thread = threading.Thread(target=in_thread, name="side")
thread.start()
thread.join()
asyncio.run(asyncio.sleep(0))
attempt(asyncio.get_event_loop)
loop.close()
"""

AFTER_RUN = """
async def main():
    return asyncio.get_event_loop() is asyncio.get_running_loop()
print(asyncio.run(main()))
with asyncio.Runner() as runner:
    print(runner.run(main()), asyncio.get_event_loop() is runner.get_loop())
class Case(unittest.IsolatedAsyncioTestCase):
    async def test(self):
        print("in a test", await main())
unittest.TextTestRunner(stream=io.StringIO()).run(Case("test"))
attempt(asyncio.get_event_loop)
"""


@pytest.mark.parametrize("source", [GET_EVENT_LOOP, AFTER_RUN], ids=["get", "after_run"])
def test_get_event_loop_answers_as_the_default_policy(source: str) -> None:
    ours = check_script(PRELUDE + source, impl="bucle")
    assert ours == check_script(PRELUDE + source, impl="stock")
    assert "True" in ours


def test_all_loops_of_the_policy_are_native() -> None:
    source = """
    import asyncio, bucle, unittest
    from bucle import _compat
    _compat.set_policy(bucle.EventLoopPolicy())
    async def main():
        print(type(asyncio.get_running_loop()) is bucle.Loop)
    asyncio.run(main())
    with asyncio.Runner() as runner:
        runner.run(main())
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test(self):
            await main()
    Case("test").debug()
    loop = asyncio.new_event_loop()
    print(type(loop) is bucle.Loop)
    loop.close()
    """
    assert check_script(source) == "True\n" * 4


def test_the_policy_only_changes_the_loop() -> None:
    base = _compat.default_policy_class()
    assert base is not None
    assert bucle.EventLoopPolicy.__bases__ == (base,)
    own = set(vars(bucle.EventLoopPolicy)) - {"__module__", "__doc__", "__qualname__"}
    assert {name for name in own if not name.startswith("__")} == {"_loop_factory"}
    assert bucle.EventLoopPolicy._loop_factory is bucle.Loop


def test_making_a_policy_does_not_warn() -> None:
    # pytest turns every warning into an error.
    policy = bucle.EventLoopPolicy()
    loop = policy.new_event_loop()
    assert type(loop) is bucle.Loop
    loop.close()


def test_absent_policies_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compat, "HAS_POLICIES", False)
    monkeypatch.delitem(vars(bucle), "EventLoopPolicy", raising=False)
    with pytest.raises(AttributeError, match=r"no event loop policies.*bucle\.run\(main\(\)\)"):
        _ = bucle.EventLoopPolicy
    assert not hasattr(bucle, "EventLoopPolicy")


def test_a_thread_of_ours_has_a_child_watcher_where_policies_have_one() -> None:
    if not hasattr(asyncio, "get_child_watcher") or sys.version_info >= (3, 14):
        pytest.skip("child watchers are gone")
    source = """
    import asyncio, bucle, sys, warnings
    warnings.simplefilter("ignore")
    asyncio.set_event_loop_policy(bucle.EventLoopPolicy())
    print(type(asyncio.get_child_watcher()).__name__)
    """
    stock = source.replace("bucle.EventLoopPolicy()", "None")
    assert check_script(source) == check_script(stock)

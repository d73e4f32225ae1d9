"""`import uvloop` answered by bucle: uvloop's names, in the ways in which programs ask for them."""

from __future__ import annotations

import pytest

from bucle import _compat
from tests.support import check_script

ACTIVATE = "import sys; import bucle.as_uvloop; bucle.as_uvloop.activate()\n"


def test_importing_the_module_alone_changes_nothing() -> None:
    source = "import sys, bucle, bucle.as_uvloop; print('uvloop' in sys.modules)"
    assert check_script(source) == "False\n"


def test_run_and_new_event_loop() -> None:
    source = (
        ACTIVATE
        + """
import asyncio, uvloop
from uvloop import Loop, run
async def main():
    return type(asyncio.get_running_loop())
assert uvloop.run(main()) is run(main(), debug=True) is uvloop.Loop is bucle.Loop
assert uvloop.run(main(), loop_factory=asyncio.SelectorEventLoop) is asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    assert runner.run(main()) is bucle.Loop
"""
    )
    assert check_script(source) == ""


def test_probes_of_programs() -> None:
    source = (
        ACTIVATE
        + """
import importlib, importlib.util, uvloop, uvloop.loop
assert importlib.util.find_spec("uvloop").name == "uvloop"
assert importlib.util.find_spec("uvloop.loop") is not None
assert importlib.import_module("uvloop") is uvloop
assert uvloop.loop.Loop is bucle.Loop
assert tuple(map(int, uvloop.__version__.split("."))) >= (0, 22)
assert sys.modules["uvloop"] is bucle.as_uvloop.activate()
try:
    uvloop.nonsense
except AttributeError as error:
    assert str(error) == "module 'uvloop' has no attribute 'nonsense'"
else:
    raise AssertionError
"""
    )
    assert check_script(source) == ""


@pytest.mark.skipif(not _compat.HAS_POLICIES, reason="no policies in this Python")
def test_install_and_policy() -> None:
    source = (
        ACTIVATE
        + """
import asyncio, uvloop
from bucle import _compat
async def main():
    return type(asyncio.get_running_loop())
_compat.set_policy(uvloop.EventLoopPolicy())
assert asyncio.run(main()) is bucle.Loop
_compat.set_policy(None)
assert asyncio.run(main()) is not bucle.Loop
uvloop.install()
assert asyncio.run(main()) is bucle.Loop
"""
    )
    assert check_script(source) == ""


def test_a_real_uvloop_is_replaced_only_for_later_imports() -> None:
    source = """
    import sys, types
    real = sys.modules["uvloop"] = types.ModuleType("uvloop")
    import bucle, bucle.as_uvloop
    stand_in = bucle.as_uvloop.activate()
    assert stand_in is not real
    import uvloop
    assert uvloop is stand_in and uvloop.Loop is bucle.Loop
    """
    assert check_script(source) == ""

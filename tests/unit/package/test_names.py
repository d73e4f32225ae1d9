"""Every name of asyncio that has a native form: subclasses, signatures and mocks as with asyncio's.

A table over all names, so that a new one cannot be forgotten: what `install()` re-points is what
`bucle` has.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pickle
import re
import types
import typing
from unittest import mock

import pytest

import bucle
from bucle.installation import NAMES
from tests.support import BEFORE_MENDED, ROOT, check_script

Any = typing.Any

STOCK = {
    name: getattr(module, name)
    for path, names in NAMES.items()
    for module in (importlib.import_module(path),)
    for name in names
    if hasattr(module, name)
}
CLASSES = [name for name, stock in STOCK.items() if isinstance(stock, type)]
FUNCTIONS = [name for name, stock in STOCK.items() if not isinstance(stock, type)]
# eager_task_factory is asyncio's own function, made for the native Task; current_task and
# all_tasks are C in some versions, without a signature.
SIGNED = [
    name
    for name in FUNCTIONS
    if isinstance(STOCK[name], types.FunctionType) and name != "eager_task_factory"
]
# asyncio's own, which is C in some versions.
SHARED = {"all_tasks", "current_task"}


@pytest.mark.parametrize("name", list(STOCK))
def test_bucle_has_it(name: str) -> None:
    native = getattr(bucle, name)
    assert native is not STOCK[name] or name in SHARED
    assert name in bucle.__all__


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_a_subclass_of_its_twin(name: str) -> None:
    native, stock = getattr(bucle, name), STOCK[name]
    assert stock in native.__mro__
    assert issubclass(native, stock)
    assert issubclass(stock, native)
    assert native.__name__ == stock.__name__
    assert native.__module__ == "bucle"


@pytest.mark.parametrize("name", CLASSES)
def test_a_subclass_is_of_the_module_that_makes_it(name: str) -> None:
    for base in (getattr(bucle, name), STOCK[name]):
        assert type("Made", (base,), {}).__module__ == __name__
        assert type("Made", (base,), {"__module__": "other"}).__module__ == "other"
        assert types.new_class("Made", (base,)).__module__ == "types"
        body = {"mark": 1}
        assert type(base)("Made", (base,), body).mark == 1  # type: ignore[attr-defined]
        assert body == {"mark": 1}


@pytest.mark.parametrize("name", CLASSES)
def test_subclasses_of_asyncios_tree_are_kept(name: str) -> None:
    for other in CLASSES:
        assert issubclass(getattr(bucle, name), getattr(bucle, other)) == issubclass(
            STOCK[name], STOCK[other]
        ), other


@pytest.mark.parametrize("name", SIGNED)
def test_a_function_looks_like_its_twin(name: str) -> None:
    native, stock = getattr(bucle, name), STOCK[name]
    assert inspect.signature(native) == inspect.signature(stock)
    assert inspect.iscoroutinefunction(native) == inspect.iscoroutinefunction(stock)
    assert native.__name__ == stock.__name__
    assert native.__qualname__ == stock.__qualname__
    assert pickle.loads(pickle.dumps(native)) is native


@pytest.mark.parametrize("name", SIGNED)
def test_a_function_takes_attributes(name: str) -> None:
    for function in (getattr(bucle, name), STOCK[name]):
        assert "mark" not in vars(function)
        function.mark = function

        @functools.wraps(function)
        def wrapper() -> None:
            pass

        assert (wrapper.mark, wrapper.__name__) == (function, name)  # type: ignore[attr-defined]
        assert function.mark is vars(function)["mark"] is function
        del function.mark
        with pytest.raises(AttributeError):
            del function.mark


def test_a_method_takes_attributes() -> None:
    for lock in (bucle.Lock, STOCK["Lock"]):
        lock.acquire.mark = 1
        assert lock().acquire.mark == lock.acquire.mark == 1
        del lock.acquire.mark


def public_functions(stock: type) -> list[str]:
    return [
        name
        for name in dir(stock)
        if isinstance(inspect.getattr_static(stock, name), types.FunctionType)
        and (not name.startswith("_") or name in ("__aenter__", "__aexit__", "__init__"))
    ]


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ("Future", "Task")])
def test_methods_look_like_their_twins(name: str) -> None:
    native, stock = getattr(bucle, name), STOCK[name]
    if not BEFORE_MENDED:  # its inspect finds no signature of a class with a native __new__
        assert inspect.signature(native) == inspect.signature(stock)
    for method in public_functions(stock):
        ours, theirs = getattr(native, method), getattr(stock, method)
        assert ours is not theirs, method
        assert inspect.signature(ours) == inspect.signature(theirs), method
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(theirs), method


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ("Future", "Task")])
def test_mocks_of_it_are_like_mocks_of_its_twin(name: str) -> None:
    native, stock = getattr(bucle, name), STOCK[name]
    for method in public_functions(stock):
        if method.startswith("_"):
            continue
        of_ours = getattr(mock.Mock(spec=native), method)
        of_theirs = getattr(mock.Mock(spec=stock), method)
        assert isinstance(of_ours, mock.AsyncMock) == isinstance(of_theirs, mock.AsyncMock), method
        ours = mock.create_autospec(native)
        theirs = mock.create_autospec(stock)
        assert isinstance(getattr(ours, method), mock.AsyncMock) == isinstance(
            getattr(theirs, method), mock.AsyncMock
        ), method


def test_generic_aliases() -> None:
    assert typing.get_origin(bucle.Queue[int]) is bucle.Queue
    assert typing.get_args(bucle.Queue[int]) == (int,)


@pytest.mark.parametrize("early", [True, False], ids=["stock first", "bucle first"])
def test_isinstance_in_both_orders_of_import(early: bool) -> None:
    imports = ["import asyncio", "import bucle"]
    source = (
        "\n".join(imports if early else imports[::-1])
        + """
from bucle.installation import NAMES
import importlib
stock = {name: getattr(importlib.import_module(path), name)
         for path, names in NAMES.items() for name in names
         if isinstance(getattr(importlib.import_module(path), name, None), type)}
class Closed(asyncio.Transport):
    def is_closing(self): return True
ARGUMENTS = {"Barrier": (2,), "Timeout": (None,), "StreamReaderProtocol": (None,)}
async def nothing(): pass
async def main():
    ARGUMENTS["StreamWriter"] = (Closed(), None, None, asyncio.get_running_loop())
    def make(name, kind):
        if name == "Task":
            return kind(nothing())
        return kind(*ARGUMENTS.get(name, ()))
    before = {name: make(name, kind) for name, kind in stock.items()}
    bucle.install()
    for name, kind in stock.items():
        now = getattr(asyncio, name, None) or getattr(asyncio.timeouts, name)
        assert now is getattr(bucle, name) is not kind, name
        made = make(name, now)
        assert type(made) is now
        assert isinstance(made, kind) and isinstance(made, now), name
        assert isinstance(before[name], now) and isinstance(before[name], kind), name
        assert not isinstance(object(), now)
    bucle.uninstall()
    for name, kind in stock.items():
        assert isinstance(make(name, getattr(bucle, name)), kind)
    await asyncio.wait([t for t in asyncio.all_tasks() if t is not asyncio.current_task()])
bucle.run(main())
"""
    )
    assert check_script(source) == ""


def test_the_page_of_names_has_every_name_and_counter() -> None:
    said = set(re.findall(r"`(\w+)", (ROOT / "docs/api.md").read_text()))
    loop = bucle.new_event_loop()
    assert said >= {*bucle.__all__, *loop.metrics()}
    loop.close()

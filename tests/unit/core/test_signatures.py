"""inspect.signature() and help() say of native methods what they say of asyncio's own."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import bucle

PAIRS: list[tuple[type[Any], type[Any]]] = [
    (bucle.Future, asyncio.Future),
    (bucle.Task, asyncio.Task),
    (bucle.Handle, asyncio.Handle),
    (bucle.TimerHandle, asyncio.TimerHandle),
    (bucle.Loop, asyncio.SelectorEventLoop),
]
# Its keywords differ between the versions, and are checked when it is called.
KEYWORDS_ONLY_WHEN_CALLED = {"create_task"}


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def cases() -> list[Any]:
    found = []
    for ours, stock in PAIRS:
        for name, value in vars(ours).items():
            if (
                name.startswith("__")
                or not callable(value)
                or not inspect.ismethoddescriptor(value)
            ):
                continue
            found.append(
                pytest.param(value, getattr(stock, name, None), id=f"{ours.__name__}.{name}")
            )
    return found


@pytest.mark.parametrize(("ours", "stock"), cases())
def test_a_native_method_has_the_signature_of_its_twin(ours: Any, stock: Any) -> None:
    signature = inspect.signature(ours)
    assert ours.__doc__ or not stock.__doc__
    assert next(iter(signature.parameters)) == "self"
    try:
        expected = parameters(stock)
    except (TypeError, ValueError):  # no twin, or one that does not tell
        return
    if ours.__name__ in KEYWORDS_ONLY_WHEN_CALLED:
        assert parameters(ours)[:2] == expected[:2]
    else:
        assert parameters(ours) == expected


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_a_native_type_says_what_it_is(ours: type[Any], stock: type[Any]) -> None:
    said = vars(ours)["__doc__"]
    assert said.endswith(".")
    assert said != stock.__doc__
    if stock is not asyncio.SelectorEventLoop:  # takes a selector
        assert parameters(ours) == parameters(stock)

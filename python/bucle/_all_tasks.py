"""Shows native tasks to `asyncio.all_tasks()` where that is Python code, up to 3.13.

Native tasks live in a list of the core, since adding each to asyncio's WeakSet would cost more
than the task. all_tasks() iterates that set by its global name, so the name gets a set which is the
stock one, with the same storage, and whose iteration goes on with the native tasks.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

from . import _compat, _core

if TYPE_CHECKING:
    from collections.abc import Iterator

_Task = asyncio.Task[Any]


class _TaskRegistry(weakref.WeakSet[_Task]):
    """The stock registry and, when iterated, counted or asked, the native tasks as well."""

    def __init__(self, stock: weakref.WeakSet[_Task]) -> None:
        # Shared, not copied: what _asyncio adds to its own object must be seen here. The stock set
        # is kept since its removal callbacks know it weakly.
        self.__dict__ = stock.__dict__
        self.__dict__["_stock_registry"] = stock

    def __iter__(self) -> Iterator[_Task]:
        yield from super().__iter__()
        yield from _core.native_tasks()

    def __len__(self) -> int:
        return super().__len__() + len(_core.native_tasks())

    def __contains__(self, item: object) -> bool:
        return super().__contains__(item) or any(item is task for task in _core.native_tasks())


def show_native_tasks() -> None:
    """Make `asyncio.all_tasks()` list native tasks; nothing to do where it already does."""
    name = _compat.TASK_REGISTRY
    if name is None:
        return
    stock = vars(asyncio.tasks)[name]
    if not isinstance(stock, _TaskRegistry):
        setattr(asyncio.tasks, name, _TaskRegistry(stock))

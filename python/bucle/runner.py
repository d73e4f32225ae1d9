"""`run` and `Runner`: asyncio's own, with the native loop as the default loop factory.

Both behave as those of the running version, error texts included; `run` takes a loop factory on
3.11 too, where `asyncio.run` has none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from ._core import Loop
from .nesting import nests, run_inside

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_T = TypeVar("_T")


def new_event_loop() -> Loop:
    """Make a native event loop; to be given to whatever asks for a loop factory."""
    return Loop()


def _new_current_loop() -> Loop:
    loop = Loop()
    asyncio.set_event_loop(loop)
    return loop


class Runner(asyncio.Runner):  # type: ignore[misc]  # final for type checkers only
    """`asyncio.Runner` on a native loop.

    Without a factory of the caller's the loop is made the current one, and none is at the end, as
    asyncio does with its own default: child watchers of 3.11 and later calls of get_event_loop()
    depend on it.
    """

    def __init__(
        self,
        *,
        debug: bool | None = None,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = new_event_loop,
    ) -> None:
        default = loop_factory is new_event_loop
        super().__init__(debug=debug, loop_factory=_new_current_loop if default else loop_factory)
        if default:
            self._set_event_loop = True  # close() is to unset it


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = new_event_loop,
) -> _T:
    """Run `main` on a new native loop and return its result, as `asyncio.run` does.

    Inside a loop that allows nesting, and without arguments that ask for another: on that loop.
    """
    running = asyncio._get_running_loop()
    if running is not None:
        if debug is None and loop_factory is new_event_loop and nests(running):
            return run_inside(running, main)
        # asyncio's own text, which names its function: programs and people search for it.
        raise RuntimeError("asyncio.run() cannot be called from a running event loop")
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)

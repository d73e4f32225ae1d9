"""Runs one program in one world: `python -m tests.frameworks.launch WORLD PROGRAM [VARIANT]`.

A program is a module of programs/ with a `main`: a coroutine function is run on the world's loop,
a plain function is handed the world and starts loops in its library's own way.  Invariant: what a
program prints does not depend on the world; that it was the right world is checked here, so that a
library which makes a loop of its own cannot pass unseen.  The closing lines say what was left
behind: a descriptor or a transport that outlives the loop is a difference like any other.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

# asyncio: the control.  bucle: its loop by loop_factory.  debug: the same in asyncio's debug mode.
# installed: bucle.install() before anything of the program is imported.  late: after that, so that
# names which the libraries took at import are asyncio's own.
WORLDS = ("asyncio", "bucle", "debug", "installed", "late")


class World:
    """Which loop is to run, and the ways in which libraries ask for it."""

    def __init__(self, name: str, variant: str = "") -> None:
        self.name = name
        self.variant = variant
        self.native = name != "asyncio"
        self.debug = name == "debug"
        self.seen = 0

    @property
    def factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """A loop factory to hand over; None where asyncio's default is the world's loop."""
        if self.name not in ("bucle", "debug"):
            return None
        import bucle

        return bucle.new_event_loop

    @property
    def new_loop(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """A function that makes the world's loop, found by name in another process, too."""
        if self.native:
            import bucle

            return bucle.new_event_loop
        return asyncio.new_event_loop

    def install(self) -> None:
        import bucle

        bucle.install()

    def look(self) -> asyncio.AbstractEventLoop:
        """The running loop, which must be the world's; called in every loop of a program."""
        loop = asyncio.get_running_loop()
        assert type(loop).__module__.startswith("bucle") is self.native, type(loop)
        if self.native:
            import bucle

            task: Any = asyncio.current_task()
            assert task is None or isinstance(task, bucle.Task), type(task)
            assert (asyncio.Queue is bucle.Queue) is (self.name in ("installed", "late"))
        if self.debug:
            assert loop.get_debug()
            loop.slow_callback_duration = 3600  # how quick this machine is is not the question
        self.seen += 1
        return loop

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine as asyncio.run does, on the world's loop."""

        async def seen() -> Any:
            self.look()
            return await main

        with asyncio.Runner(loop_factory=self.factory, debug=self.debug) as runner:
            return runner.run(seen())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def of_note(record: logging.LogRecord) -> bool:
    """Whether asyncio says it outside debug mode, too: there it also speaks of handshakes that
    failed, as the programs mean some to."""
    return not record.getMessage().startswith("Error on transport creation for incoming")


def open_for_good() -> None:
    """What the first native loop opens once for the process: the two ends that signals go through,
    and libuv's own pair."""
    loop = importlib.import_module("bucle").new_event_loop()
    loop.run_until_complete(asyncio.sleep(0.001))
    loop.close()


def transports() -> int:
    return sum(issubclass(type(object_), asyncio.BaseTransport) for object_ in gc.get_objects())


def launch(name: str, program: str, variant: str = "") -> None:
    world = World(name, variant)
    if name == "installed":
        world.install()
    main = importlib.import_module(f"tests.frameworks.programs.{program}").main
    if name == "late":
        world.install()
    if world.debug:
        logging.getLogger("asyncio").addFilter(of_note)
    if world.native:
        open_for_good()
    opened = descriptors()
    arguments = (world,) if inspect.signature(main).parameters else ()
    if inspect.iscoroutinefunction(main):
        world.run(main(*arguments))
    else:
        main(*arguments)
    assert world.seen, "the program never looked at its loop"
    gc.collect()
    gc.collect()
    print("descriptors left:", descriptors() - opened)
    print("transports left:", transports())
    print("end")


if __name__ == "__main__":
    launch(*sys.argv[1:])

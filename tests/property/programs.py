"""Random programs of tasks about one primitive, run in several worlds that must not differ.

A program is data, read off a string of bytes: an example costs a millisecond, so that thousands
are a matter of seconds, and hypothesis shrinks the string.  It is run once with stock primitives,
stock tasks and the stock loop (the oracle), and again with native ones in place of some or all of
these; the histories must be equal: every step's outcome in order, and after every turn what can be
seen of the primitive and the tasks.  Time is ours: a tick moves all clocks by a second, each
deadline is one of its own, and nothing waits.

The loops live as long as a test; a program that fails costs them their lives, so that shrinking
never starts from what an earlier failure left behind.
"""

from __future__ import annotations

import asyncio
import gc
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.support import implementation, library

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STOCK_EAGER = getattr(asyncio, "eager_task_factory", None)

LARGE, EVERYDAY = 10_000, 300
MOST_ACTS, MOST_TASKS, DEPTH = 24, 8, 2
MESSAGES = (None, "m", 5)
MANNERS = ("goes on", "lets all out", "swallows one cancellation", "returns when cancelled")

# (name, number, steps inside)
Step = tuple[str, int, tuple[Any, ...]]


@dataclass(frozen=True)
class Kinds:
    """Whose primitives, whose tasks and whose loop a world has."""

    primitives: str
    tasks: str
    loop: str

    def __str__(self) -> str:
        return f"{self.primitives} primitives, {self.tasks} tasks, {self.loop} loop"


ORACLE = Kinds("stock", "stock", "stock")
SUBJECTS = (
    Kinds("bucle", "bucle", "bucle"),
    Kinds("bucle", "stock", "stock"),
    Kinds("stock", "bucle", "bucle"),
    Kinds("bucle", "stock", "bucle"),
    Kinds("bucle", "bucle", "stock"),
)


class Failure(Exception):
    """What a failing step raises; compared by its text."""


class Choices:
    """Decisions read off bytes; when these are used up, each is the first of its options."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        if not self.left:
            return 0
        self._at += 1
        return self._data[self._at - 1] % below

    def one_of(self, options: Any) -> Any:
        return options[self.number(len(options))]


def weights(**each: int) -> MappingProxyType[str, int]:
    """How often each step is chosen, the simplest first."""
    return MappingProxyType(each)


def weighted(weights: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(name for name, weight in weights.items() for _ in range(weight))


ACTS = weighted(weights(turn=6, spawn=4, cancel=2, call=2, tick=1, uncancel=1))


def decode(data: bytes, kind: type[Run]) -> tuple[int, list[Any]]:
    """A number to set the primitive up with, and what happens from outside the tasks."""
    choices = Choices(data)
    setup = choices.number(256)
    acts = [spawn(choices, kind), spawn(choices, kind)]
    spawned = 2
    while choices.left and len(acts) < MOST_ACTS:
        name = choices.one_of(ACTS)
        if name == "spawn" and spawned < MOST_TASKS:
            acts.append(spawn(choices, kind))
            spawned += 1
        elif name == "call":
            acts.append(("call", choices.one_of(kind.calls), choices.number(8)))
        else:
            acts.append(("turn" if name == "spawn" else name, choices.number(24), None))
    return setup, acts


def spawn(choices: Choices, kind: type[Run]) -> tuple[Any, ...]:
    manner = choices.one_of(MANNERS)
    return ("spawn", manner, steps(choices, kind, 1 + choices.number(5), DEPTH))


def steps(choices: Choices, kind: type[Run], count: int, depth: int) -> tuple[Step, ...]:
    found = []
    for _ in range(count):
        name = choices.one_of(kind.menu)
        inside: tuple[Step, ...] = ()
        if name in kind.nesting:
            if depth == 0:
                name = "sleep"
            else:
                inside = steps(choices, kind, choices.one_of((1, 2, 3, 4, 0)), depth - 1)
        found.append((name, choices.number(24), inside))
    return tuple(found)


# What differs from run to run, where a function of Python stands, and the module of a class.  Some
# stock versions call a task "None" when a factory makes it and it was given no name.
PERSONAL = re.compile(
    r" at 0x[0-9a-f]+| at [^\s,\]>]+:\d+|(?<=name=')(?:Task-\d+|None)(?=')| coro=<.*?>(?= |>)"
)
# What 3.11's wait_for hangs on its task shows its argument there, a partial of asyncio's.
RELEASE = re.compile(r"_release_waiter\(.*?\)\(\)(?=[],])")
MODULE = re.compile(r"<(?:\w+\.)+(?=\w+ object|_?[A-Z])")


def plain(text: str) -> str:
    return RELEASE.sub("_release_waiter()", MODULE.sub("<", PERSONAL.sub("", text)))


def show(value: Any) -> Any:
    if value is None or type(value) in (int, bool, str, tuple):
        return value
    return plain(repr(value))


def describe(error: BaseException | None, depth: int = 3) -> Any:
    """An exception with what it holds, what caused it and what it came out of."""
    if error is None or not depth:
        return None
    inside = [describe(each, depth) for each in getattr(error, "exceptions", ())]
    cause, context = error.__cause__, error.__context__
    chain = (describe(cause, depth - 1), describe(context, depth - 1), error.__suppress_context__)
    return (type(error).__name__, plain(str(error)), *inside, *(chain if any(chain) else ()))


class Side:
    """One world: its loop, whose clock is ours, and the primitives and tasks used on it."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.api = library(kinds.primitives)
        self.types = implementation(kinds.tasks)
        self.loop = implementation(kinds.loop).new_loop()
        self.now = 0.0
        self.loop.time = lambda: self.now
        self.messages: list[Any] = []
        self.loop.set_exception_handler(self._note_error)
        # 3.14 asks for an eager task by a keyword, which a factory passes on
        self.plain_factory = None if kinds.tasks == kinds.loop else self._make_task
        self.loop.set_task_factory(self.plain_factory)

    def _make_task(self, loop: Any, coro: Any, **options: Any) -> Any:
        return self.types.Task(coro, loop=loop, **options)

    def _make_eager_task(self, loop: Any, coro: Any, **options: Any) -> Any:
        return self.types.Task(coro, loop=loop, **{"eager_start": True, **options})

    def set_eager(self, eager: bool) -> None:
        factory = self._make_eager_task if eager and STOCK_EAGER else self.plain_factory
        self.loop.set_task_factory(factory)

    def _note_error(self, loop: Any, context: dict[str, Any]) -> None:
        message = plain(context["message"]).split("(")[0]
        self.messages.append((message, describe(context.get("exception"))))

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def close(self) -> None:
        self.loop.close()


class Run:
    """One program in one world, with its history; a subclass a primitive has that one's steps.

    A step is a coroutine method of its name; `calls` are plain methods, for outside of tasks, too.
    """

    common = weights(
        sleep=3, pause=1, fail=1, cancel=2, cleanup=1, handle=1, swallow=1, in_time=2, waited_for=1
    )
    own = weights()
    own_nesting: ClassVar[frozenset[str]] = frozenset()
    calls: ClassVar[tuple[str, ...]] = ("nothing",)

    def __init_subclass__(cls) -> None:
        cls.menu = weighted(cls.common | cls.own)
        cls.nesting = cls.own_nesting | {"cleanup", "handle", "swallow", "in_time", "waited_for"}

    menu: ClassVar[tuple[str, ...]]
    nesting: ClassVar[frozenset[str]]

    def __init__(self, side: Side, setup: int) -> None:
        self.side = side
        self.api = side.api
        self.history: list[Any] = []
        self.tasks: list[Any] = []
        self.inner_tasks: dict[Any, None] = {}
        self.swallowed: set[str] = set()
        self.deadlines = 0
        # A look at private containers makes the native ones Python objects for good: seldom.
        self.looks = setup % 4 == 3
        self.thing: Any = None
        self.begin(setup)

    def begin(self, setup: int) -> None:
        """Makes what the program is about."""

    def state(self) -> Any:
        """What can be seen of it."""

    def look(self, name: str) -> int | None:
        """The length of a private container, in a program that looks at such."""
        return len(getattr(self.thing, name) or ()) if self.looks else None

    def note(self, *what: Any) -> None:
        self.history.append(what)

    def delay(self, number: int) -> float:
        """Some ticks and a bit: no two deadlines are equal, for a heap promises no order then."""
        self.deadlines += 1
        return number % 3 + self.deadlines * 1e-6

    def over(self) -> float:
        """A delay that is over at once, with a deadline of its own all the same."""
        return -self.delay(0)

    # From outside the tasks.

    def act(self, name: str, first: Any, second: Any) -> None:
        if name == "spawn":
            label = f"t{len(self.tasks)}"
            task = self.side.loop.create_task(self.body(label, first, second), name=label)
            task.add_done_callback(lambda done: self.note(label, "done", done._state))
            self.tasks.append(task)
        elif name == "turn":
            for _ in range(1 + first % 3):
                self.turn()
        elif name == "tick":
            self.side.now += 1.0
            self.turn()
        elif name == "cancel":
            task = self.tasks[first % len(self.tasks)]
            self.note(name, task.cancel(MESSAGES[first % 3]))
        elif name == "uncancel":
            self.note(name, self.tasks[first % len(self.tasks)].uncancel())
        else:
            self.attempt(first, second)

    def attempt(self, name: str, number: int) -> None:
        try:
            self.note("outside", name, show(getattr(self, name)(number)))
        except Exception as error:
            self.note("outside", name, describe(error))

    def turn(self) -> None:
        self.side.turn()
        self.note(
            self.state(),
            [(task._state, task.cancelling(), task._must_cancel) for task in self.tasks],
        )

    def nothing(self, number: int) -> None:
        pass

    # Inside a task.

    async def body(self, label: str, manner: str, steps: tuple[Step, ...]) -> str:
        self.note(label, "starts")
        try:
            await self.block(label, steps, manner)
        except asyncio.CancelledError as error:
            me = asyncio.current_task()
            assert me is not None
            self.note(label, describe(error), me.cancelling())
            if manner == "returns when cancelled":
                return "returned"
            raise
        finally:
            self.note(label, "ends")
        return f"result of {label}"

    async def block(
        self, label: str, steps: tuple[Step, ...], manner: str = "lets all out"
    ) -> None:
        for name, number, inside in steps:
            try:
                got = await getattr(self, name)(label, number, inside)
            except asyncio.CancelledError as error:
                self.note(label, name, describe(error))
                if manner != "swallows one cancellation" or label in self.swallowed:
                    raise
                self.swallowed.add(label)
            except Exception as error:
                self.note(label, name, describe(error))
                if manner == "lets all out":
                    raise
            else:
                self.note(label, name, show(got))

    async def sleep(self, label: str, number: int, inside: Any) -> None:
        for _ in range(1 + number % 3):
            await self.api.sleep(0)

    async def pause(self, label: str, number: int, inside: Any) -> None:
        await self.api.sleep(self.delay(number))

    async def fail(self, label: str, number: int, inside: Any) -> None:
        raise Failure(label)

    async def cancel(self, label: str, number: int, inside: Any) -> Any:
        return self.tasks[number % len(self.tasks)].cancel(MESSAGES[number % 3])

    async def cleanup(self, label: str, number: int, inside: Any) -> None:
        try:
            await self.block(label, inside)
        finally:
            self.note(label, "cleans up")
            await self.api.sleep(0)

    async def swallow(self, label: str, number: int, inside: Any) -> Any:
        try:
            await self.block(label, inside)
        except asyncio.CancelledError as error:
            me = asyncio.current_task()
            assert me is not None
            return ("swallowed", describe(error), me.uncancel() if number % 2 else None)

    async def handle(self, label: str, number: int, inside: Any) -> None:
        """What goes wrong meanwhile has what is being handled for its context."""
        try:
            raise Failure("handled")
        except Failure:
            await self.block(label, inside)

    async def in_time(self, label: str, number: int, inside: Any) -> Any:
        async with self.api.timeout(self.delay(number)) as timeout:
            await self.block(label, inside)
        return timeout.expired()

    async def waited_for(self, label: str, number: int, inside: Any) -> Any:
        return await self.api.wait_for(self.inner(label, inside), self.delay(number))

    async def inner(self, label: str, steps: tuple[Step, ...]) -> str:
        """What runs in a task of its own, or not, as whoever gets it likes."""
        self.inner_tasks[asyncio.current_task()] = None
        await self.block(label, steps)
        return f"inner of {label}"

    def drive(self, awaitable: Any, number: int) -> Any:
        """Takes one step of an awaitable by hand, then ends it."""
        try:
            future = awaitable.send(None)
        except StopIteration as stop:
            return ("returns", show(stop.value))
        if future is not None:
            future._asyncio_future_blocking = False
        if number % 2:
            return awaitable.close()
        try:
            return awaitable.throw(Failure("thrown") if number % 4 else asyncio.CancelledError("t"))
        except (Failure, asyncio.CancelledError) as error:
            return describe(error)

    # The end.

    def finish(self) -> list[Any]:
        for _ in range(3):
            self.act("tick", 0, None)
        quiet = 0
        for _ in range(12):
            # What a last step has scheduled may make one more.
            quiet = 0 if asyncio.all_tasks(self.side.loop) else quiet + 1
            if quiet == 2:
                break
            self.rescue()
            for task in (*self.tasks, *self.inner_tasks):
                task.cancel()
            self.side.now += 4.0
            for _ in range(3):
                self.turn()
        self.note("left", sorted(show(task) for task in asyncio.all_tasks(self.side.loop)))
        for task in self.tasks:
            self.note(outcome(task))
        return self.history

    def rescue(self) -> None:
        """Gives way to tasks that no cancellation ends."""


def outcome(future: Any) -> Any:
    if not future.done():
        return "pending"
    if future.cancelled():
        try:
            future.result()
        except asyncio.CancelledError as error:
            return describe(error)
    error = future.exception()
    return describe(error) if error is not None else show(future.result())


class Arena:
    """The worlds of a test; the first one is the oracle."""

    def __init__(self, *subjects: Kinds) -> None:
        self.kinds = (ORACLE, *subjects)
        self.start = 1000.0
        self.sides: list[Side] = []
        self.examples = 0

    def history(self, side: Side, kind: type[Run], program: tuple[int, list[Any]]) -> list[Any]:
        setup, acts = program
        side.now = self.start
        side.set_eager(setup % 4 == 3)
        run = kind(side, setup)
        for act in acts:
            run.act(*act)
        history = run.finish()
        del run
        # An unretrieved exception is reported when its future dies, perhaps in a cycle: when that
        # is, depends on the collector; that it was, does not.
        side.turn()
        gc.collect(0)
        history.append(sorted(map(repr, side.messages)))
        side.messages.clear()
        return history

    def compare(self, kind: type[Run], program: tuple[int, list[Any]]) -> None:
        self.examples += 1
        if self.examples % 256 == 0:
            gc.collect()
        if not self.sides:
            self.sides = [Side(kinds) for kinds in self.kinds]
        self.start += 64.0
        try:
            expected = self.history(self.sides[0], kind, program)
            assert ("left", []) in expected, "the program does not end"
            for side in self.sides[1:]:
                got = self.history(side, kind, program)
                assert got == expected, f"{side.kinds}: {difference(expected, got)}"
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for side in self.sides:
            side.messages = []
            side.close()
        self.sides = []


def difference(expected: list[Any], got: list[Any]) -> str:
    """The last common entries and the first that differ."""
    pairs = zip(expected, got, strict=False)
    at = next((n for n, (one, other) in enumerate(pairs) if one != other), -1)
    if at < 0:
        at = min(len(expected), len(got))
    common = "".join(f"\n      {entry}" for entry in expected[max(0, at - 12) : at])
    return f"{common}\nasyncio: {expected[at : at + 2]}\n  bucle: {got[at : at + 2]}"


def check(kind: type[Run], impl: str) -> None:
    """Runs many programs of one kind; `impl` "stock" compares the oracle with itself."""
    arena = Arena(*((ORACLE,) if impl == "stock" else SUBJECTS))
    large = settings().max_examples >= 500

    @settings(
        max_examples=LARGE if large else EVERYDAY,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )
    @given(data=st.binary(min_size=40, max_size=320))
    def run(data: bytes) -> None:
        program = decode(data, kind)
        note(listing(program))
        arena.compare(kind, program)

    collecting = gc.isenabled()
    gc.disable()
    try:
        run()
    finally:
        arena.close()
        if collecting:
            gc.enable()


def listing(program: tuple[int, list[Any]]) -> str:
    setup, acts = program
    return f"setup {setup}\n" + "\n".join(f"  {act}" for act in acts)


def by_name(kinds: list[type[Run]]) -> dict[str, Any]:
    """Arguments for `parametrize`."""
    make: Callable[[type[Run]], str] = lambda kind: kind.__name__  # noqa: E731
    return {"argnames": "kind", "argvalues": kinds, "ids": make}

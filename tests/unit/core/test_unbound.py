"""Unbound calls: `asyncio.Task.cancel(task)`, `map(asyncio.Future.result, tasks)` and the like.

A native object is an asyncio.Future whose base fields are inert, and unbound stock methods see
those.  With install() the names are our own classes and every call must work; without it a call
works or raises.  It never lies (returns what the bound call would not, or does nothing while it
says it did) and never crashes: hence one process a case, whose last line names a crashing method.
"""

from __future__ import annotations

import pytest

from tests.support import Implementation, run_script

SCRIPT = r"""
import asyncio, re, sys

owner_name, kind, state, mode = sys.argv[1:]
installed = mode == "installed"
stock_owner = getattr(asyncio, owner_name)
Stock = type("Stock", (), {"Future": asyncio.Future, "Task": asyncio.Task})
if installed:
    import bucle
    bucle.install()
owner = getattr(asyncio, owner_name)
loop = impl.new_loop()
loop.set_exception_handler(lambda loop, context: None)

ARGUMENTS = {
    "set_result": ["new result"], "set_exception": [ValueError("new")], "set_name": ["new name"],
    "add_done_callback": [print], "remove_done_callback": [repr], "cancel": ["message"],
    "__eq__": [None], "__ne__": [None], "__lt__": [1], "__le__": [1], "__gt__": [1],
    "__ge__": [1], "__getattribute__": ["_state"], "__setattr__": ["note", 1],
    "__delattr__": ["absent"], "__format__": [""], "__reduce_ex__": [2],
}
NOT_CALLED = {"__new__", "__init__", "__class__", "__init_subclass__", "__subclasshook__",
              "__class_getitem__", "__doc__", "__dir__", "__sizeof__", "__getstate__", "__del__"}


def turn():
    loop.call_soon(loop.stop)
    loop.run_forever()


def make(types=impl):
    inner = types.Future(loop=loop)

    async def body():
        if state == "waiting":
            await inner
        if state == "failed":
            raise LookupError("failed")
        return "value"

    if kind == "Task":
        made = types.Task(body(), loop=loop, name="the task")
        if state == "cancelled":
            made.cancel("before")
        if state != "fresh":
            turn(), turn()
    else:
        made = inner
        if state == "failed":
            made.set_exception(LookupError("failed"))
        elif state == "finished":
            made.set_result("value")
        elif state == "cancelled":
            made.cancel("before")
    if state in ("fresh", "waiting"):
        made.add_done_callback(repr)
    return made


def masked(value):
    if isinstance(value, int) and not isinstance(value, bool) and value > 1000:
        return "hash"
    return re.sub(r"0x[0-9a-f]+|Task-\d+", "*", repr(value))[:2000]


def call(function, *arguments):
    try:
        return ("returned", masked(function(*arguments)))
    except (Exception, asyncio.CancelledError) as error:
        return ("raised", type(error).__name__)


def snapshot(thing):
    # Not _log_traceback: whether a lost exception will be logged is no part of an answer.
    seen = [thing._state, thing.done(), thing.cancelled(), repr(thing._result),
            repr(thing._exception), len(thing._callbacks or ()),
            thing.__dict__ if hasattr(thing, "__dict__") else getattr(thing, "note", None)]
    if kind == "Task":
        seen += [thing._must_cancel, thing.cancelling(), thing.get_name(),
                 thing._log_destroy_pending]
        waiter = thing._fut_waiter
        seen.append(waiter is not None and waiter.cancelled())
    return seen


bad = []
names = [name for name in dir(owner) if callable(getattr(owner, name, None))]
for name in names:
    if name in NOT_CALLED:
        continue
    print("at", name, flush=True)
    arguments = ARGUMENTS.get(name, [])
    unbound, bound = make(), make()
    before = snapshot(unbound)
    got = call(getattr(owner, name), unbound, *arguments), snapshot(unbound)
    want = [(call(getattr(bound, name), *arguments), snapshot(bound))]
    # What stock does with the same call is right too: Future.__repr__(task) shows less.
    if hasattr(stock_owner, name):
        twin = make(Stock)
        want.append((call(getattr(stock_owner, name), twin, *arguments), snapshot(twin)))
    if got in want:
        continue
    if got[0][0] == "raised" and not installed and got[1] == before:
        continue
    bad.append(f"{name}: {got}, expected one of {want}")
for name in dir(owner):
    descriptor = vars(owner).get(name)
    if hasattr(descriptor, "__get__") and not callable(descriptor):
        print("at attribute", name, flush=True)
        call(descriptor.__get__, make())
turn()
turn()
loop.close()
print("calls", len(names))
print("bad", bad)
"""

STATES = {
    "Future": ["fresh", "finished", "failed", "cancelled"],
    "Task": ["fresh", "waiting", "finished", "failed", "cancelled"],
}
CASES = [
    (owner, kind, state)
    for owner, kind in (("Future", "Future"), ("Future", "Task"), ("Task", "Task"))
    for state in STATES[kind]
]


@pytest.mark.parametrize("mode", ["plain", "installed"])
@pytest.mark.parametrize(("owner", "kind", "state"), CASES)
def test_unbound_calls_work_or_raise(
    impl: Implementation, owner: str, kind: str, state: str, mode: str
) -> None:
    if mode == "installed" and not impl.native:
        pytest.skip("stock has no install()")
    done = run_script(SCRIPT, owner, kind, state, mode, impl=impl.name)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{lines[-1:]} rc {done.returncode}\n{done.stderr[-3000:]}"
    assert int(lines[-2].split()[1]) > 30
    assert lines[-1] == "bad []"


def test_map_over_unbound_methods_after_install() -> None:
    done = run_script(
        """
        import asyncio, bucle
        bucle.install()

        async def main():
            tasks = [asyncio.create_task(asyncio.sleep(n * 0.001, n)) for n in range(3)]
            assert list(map(asyncio.Future.done, tasks)) == [False] * 3
            await asyncio.wait(tasks)
            print(list(map(asyncio.Future.result, tasks)), list(map(asyncio.Task.result, tasks)))
            more = [asyncio.create_task(asyncio.sleep(9)) for _ in range(3)]
            print(all(map(asyncio.Task.cancel, more)))
            await asyncio.wait(more)
            print(all(map(asyncio.Future.cancelled, more)))

        asyncio.run(main())
        """
    )
    assert done.stdout.splitlines() == ["[0, 1, 2] [0, 1, 2]", "True", "True"], done.stderr

"""What depends on the interpreter's version, as constants and small functions.

Invariant: this is the only Python file that asks for `sys.version_info`; the others ask this one
or probe the running standard library, since semantics also change inside a minor series.
"""

from __future__ import annotations

import sys
from asyncio import events, unix_events
from typing import Any

# Loading the extension takes the interpreter's lock by PyGILState_Ensure(), which up to 3.11 knows
# the main interpreter alone: in another one the thread would wait for itself for ever.
if sys.version_info < (3, 12):
    try:
        import _xxsubinterpreters as interpreters
    except ModuleNotFoundError:
        interpreters = None
    if interpreters is not None and interpreters.get_current() != interpreters.get_main():
        raise ImportError("bucle cannot be imported in a sub-interpreter before CPython 3.12")

# The global of asyncio.tasks that all_tasks() iterates; from 3.14 on all_tasks() is C and reads the
# interpreter's own list, in which native tasks are registered.
TASK_REGISTRY: str | None
if sys.version_info >= (3, 14):
    TASK_REGISTRY = None
elif sys.version_info >= (3, 12):
    TASK_REGISTRY = "_scheduled_tasks"
else:
    TASK_REGISTRY = "_all_tasks"

HAS_POLICIES = hasattr(events, "_event_loop_policy")


def default_policy_class() -> type[Any] | None:
    """The class of asyncio's default policy; None where the interpreter has no policies."""
    # From 3.14 on the public name warns: that is for the user to hear when he asks for it.
    names = vars(unix_events)
    found = names.get("_DefaultEventLoopPolicy") or names.get("DefaultEventLoopPolicy")
    return found if HAS_POLICIES else None


def current_policy() -> Any:
    """The policy that was set, or None when the default one has not been made yet."""
    return vars(events)["_event_loop_policy"]


def set_policy(policy: Any) -> None:
    """Set the policy, or with None go back to "not made yet", without a deprecation warning."""
    setter = getattr(events, "_set_event_loop_policy", None) or events.set_event_loop_policy
    setter(policy)


def new_child_watcher() -> Any:
    """What a loop of 3.14 and later waits for its subprocesses with; a policy's matter before."""
    kind = "_PidfdChildWatcher" if vars(unix_events)["can_use_pidfd"]() else "_ThreadedChildWatcher"
    return getattr(unix_events, kind)()

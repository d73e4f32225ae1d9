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


# The class of the watcher that a policy makes when it was given none: one of this class is no
# choice of the program's. Watchers went with 3.14.
_DEFAULT_WATCHER: str | None
if sys.version_info >= (3, 14):
    _DEFAULT_WATCHER = None
elif sys.version_info >= (3, 12):
    _DEFAULT_WATCHER = "PidfdChildWatcher"
else:
    _DEFAULT_WATCHER = "ThreadedChildWatcher"


def program_watches_children() -> bool:
    """Whether the program chose how children are watched, by a watcher or a policy of its own."""
    policy = current_policy() if HAS_POLICIES else None
    if _DEFAULT_WATCHER is None or policy is None:
        return False
    get = getattr(policy.get_child_watcher, "__func__", None)
    if get is vars(events)["AbstractEventLoopPolicy"].get_child_watcher:
        return False  # it knows of no watchers
    if get is not default_policy_class().get_child_watcher:  # type: ignore[union-attr]
        return True
    watcher = policy._watcher
    return watcher is not None and type(watcher) is not vars(unix_events)[_DEFAULT_WATCHER]

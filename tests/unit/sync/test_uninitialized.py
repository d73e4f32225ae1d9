"""Objects whose __init__ never ran: asyncio's raise AttributeError as soon as they are used."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support import World

USES: dict[str, tuple[Any, ...]] = {
    "Lock": (
        repr,
        lambda lock: lock.locked(),
        lambda lock: lock.acquire(),
        lambda lock: lock.release(),
        lambda lock: lock.__aenter__(),
        lambda lock: lock._locked,
    ),
    "Event": (
        repr,
        lambda event: event.is_set(),
        lambda event: event.set(),
        lambda event: event.wait(),
        lambda event: event._value,
    ),
    "Condition": (
        repr,
        lambda condition: condition.locked(),
        lambda condition: condition.acquire(),
        lambda condition: condition.wait(),
        lambda condition: condition.wait_for(lambda: False),
        lambda condition: condition.notify(),
        lambda condition: condition.notify_all(),
        lambda condition: condition.__aenter__(),
    ),
    "Semaphore": (
        repr,
        lambda semaphore: semaphore.locked(),
        lambda semaphore: semaphore.acquire(),
        lambda semaphore: semaphore.release(),
        lambda semaphore: semaphore.__aenter__(),
        lambda semaphore: semaphore._value,
    ),
    "BoundedSemaphore": (
        lambda semaphore: semaphore.acquire(),
        lambda semaphore: semaphore.release(),
        lambda semaphore: semaphore._bound_value,
    ),
    "Barrier": (
        repr,
        lambda barrier: barrier.wait(),
        lambda barrier: barrier.reset(),
        lambda barrier: barrier.abort(),
        lambda barrier: barrier.parties,
        lambda barrier: barrier.n_waiting,
    ),
    **dict.fromkeys(
        ("Queue", "LifoQueue", "PriorityQueue"),
        (
            repr,
            lambda queue: queue.qsize(),
            lambda queue: queue.empty(),
            lambda queue: queue.full(),
            lambda queue: queue.maxsize,
            lambda queue: queue.put_nowait(1),
            lambda queue: queue.get_nowait(),
            lambda queue: queue.put(1),
            lambda queue: queue.get(),
            lambda queue: queue.join(),
            lambda queue: queue.task_done(),
            lambda queue: queue.shutdown(),
        ),
    ),
    "TaskGroup": (
        repr,
        lambda group: group.__aenter__(),
        lambda group: group.__aexit__(None, None, None),
        lambda group: group.create_task(None),
        lambda group: group._tasks,
    ),
    "Timeout": (
        repr,
        lambda timeout: timeout.__aenter__(),
        lambda timeout: timeout.__aexit__(None, None, None),
        lambda timeout: timeout.reschedule(1),
        lambda timeout: timeout.when(),
        lambda timeout: timeout.expired(),
    ),
}


@pytest.mark.parametrize(
    ("name", "use"), [(name, use) for name, uses in USES.items() for use in uses]
)
def test_its_use_raises(world: World, api: Any, name: str, use: Any) -> None:
    async def main() -> None:
        with pytest.raises(AttributeError, match=r"^'\w+' object has no attribute '\w+'$"):
            answer = use(made)
            if inspect.isawaitable(answer):
                await answer

    made = getattr(api, name).__new__(getattr(api, name))
    world.run(main())


@pytest.mark.parametrize("name", USES)
def test_a_subclass_that_forgets_the_constructor(world: World, api: Any, name: str) -> None:
    class Forgetful(getattr(api, name)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.mine = 1

    async def main() -> None:
        with pytest.raises(AttributeError):
            answer = USES[name][1](made)
            if inspect.isawaitable(answer):
                await answer

    made = Forgetful()
    world.run(main())
    assert vars(made)["mine"] == 1


def test_what_is_deleted_is_gone(world: World, api: Any) -> None:
    lock, semaphore = api.Lock(), api.Semaphore()
    del lock._locked, semaphore._value
    for use in (lock.locked, lock.release, semaphore.locked, semaphore.release):
        with pytest.raises(AttributeError):
            use()
    lock._locked, semaphore._value = False, 1
    world.run(lock.acquire())
    world.run(semaphore.acquire())
    assert lock.locked()
    assert semaphore.locked()

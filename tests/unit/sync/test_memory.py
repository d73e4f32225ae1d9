"""What objects and waiting tasks weigh beside asyncio's, as tracemalloc sees it.

Both are weighed in one process of their own, in the way of the benchmarks.
"""

from __future__ import annotations

import sys

import pytest

from tests.support import check_script

RATIO = """
import asyncio, sys
from benchmarks.memory import weigh_traced
from tests.support import implementation

def weigh(kind):
    api = kind.api
    loop = kind.new_loop()
    asyncio.set_event_loop(loop)
    queue, lock = api.Queue(), api.Lock()
    loop.run_until_complete(lock.acquire())

    def waiting(wait):
        async def main():
            await wait()
        return lambda: loop.create_task(main())

    make = {
        "Queue": api.Queue,
        "Event": api.Event,
        "Lock": api.Lock,
        "Semaphore": api.Semaphore,
        "Future": loop.create_future,
        "waiting in get": waiting(queue.get),
        "waiting in acquire": waiting(lock.acquire),
        "waiting in sleep": waiting(lambda: api.sleep(3600)),
    }[sys.argv[1]]
    weigh_traced(loop, make, 10)
    size = weigh_traced(loop, make, 2000)
    loop.close()
    return size

print(weigh(implementation("bucle")) / weigh(implementation("stock")))
"""


# Up to 3.12 the attributes of asyncio's own take less beside the object.
SEMAPHORE = 1.3 if sys.version_info < (3, 13) else 1.2


@pytest.mark.parametrize(
    ("subject", "at_most"),
    [
        ("Queue", 0.5),
        ("Event", 0.5),
        ("Lock", 1.2),
        ("Semaphore", SEMAPHORE),
        ("Future", 1.5),
        ("waiting in get", 0.95),
        ("waiting in acquire", 0.95),
        ("waiting in sleep", 0.85),
    ],
)
def test_it_weighs_at_most(subject: str, at_most: float) -> None:
    assert 0 < float(check_script(RATIO, subject)) <= at_most

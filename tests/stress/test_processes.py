"""Children by the hundred: under a low descriptor limit, from threads, killed and cancelled.

At the end no child, no descriptor and no thread is left. Each case is a process of its own, for
the limit is the process's. BUCLE_EXAMPLES=large asks for more rounds of what is random.
"""

from __future__ import annotations

import os

import pytest

from tests.support import Implementation, check_script
from tests.unit.process.children import EARLY_PROTOCOL

pytestmark = [pytest.mark.stress, pytest.mark.timeout(600)]

ROUNDS = 30 if os.environ.get("BUCLE_EXAMPLES") == "large" else 3

PRELUDE = """
import asyncio, errno, gc, json, os, random, resource, signal, sys, threading, time, warnings
from tests.unit.process.children import children, waiting_threads

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def limit(soft):
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

def run(main, *arguments):
    with asyncio.Runner(loop_factory=impl.new_loop) as runner:
        return runner.run(main(*arguments))

async def nothing():
    await (await asyncio.create_subprocess_exec("true")).wait()

def clean():
    for thread in waiting_threads():
        thread.join(60)
    gc.collect()
    assert not children(), children()
    assert not waiting_threads()
    assert threading.active_count() == 1

run(nothing)
clean()
before = descriptors()
"""
CHECK = """
clean()
assert descriptors() == before, (descriptors(), before)
print("clean")
"""


def check(source: str, impl: Implementation) -> list[str]:
    out = check_script(PRELUDE + source + CHECK, impl=impl.name, timeout=500).splitlines()
    assert out[-1] == "clean"
    return out[:-1]


@pytest.mark.native
def test_a_thousand_children_at_once_under_a_low_limit(impl: Implementation) -> None:
    """256 descriptors: most children have a pidfd, threads wait for the rest.

    asyncio up to 3.11 has a thread for each; later it cannot start the 250th.
    """
    said = check(
        """
limit(256)
async def main():
    processes = []
    for _ in range(1000):
        processes.append(await asyncio.create_subprocess_exec("sleep", "1000"))
    print(len(children()), len(waiting_threads()) < 900, descriptors() < 256 - 32)
    for process in processes:
        process.kill()
    codes = await asyncio.gather(*[process.wait() for process in processes])
    assert codes == [-9] * 1000
run(main)
""",
        impl,
    )
    assert said == ["1000 True True"]


@pytest.mark.native
def test_a_thousand_that_end_at_once(impl: Implementation) -> None:
    """All in one turn: a process group is killed."""
    said = check(
        """
async def main():
    leader = await asyncio.create_subprocess_exec("sleep", "1000", process_group=0)
    processes = [leader]
    for _ in range(999):
        processes.append(
            await asyncio.create_subprocess_exec("sleep", "1000", process_group=leader.pid))
    waiting = [asyncio.ensure_future(process.wait()) for process in processes]
    await asyncio.sleep(0)
    os.killpg(leader.pid, signal.SIGKILL)
    print(set(await asyncio.gather(*waiting)))
limit(2048)
run(main)
""",
        impl,
    )
    assert said == ["{-9}"]


def test_a_thousand_with_pipes_one_after_the_other(impl: Implementation) -> None:
    """As a program does it whose limit is low: so many at once, a thousand in all."""
    said = check(
        """
limit(256)
async def main():
    slots = asyncio.Semaphore(20)
    async def one(n):
        async with slots:
            process = await asyncio.create_subprocess_exec(
                "cat", stdin=-1, stdout=-1, stderr=-1)
            data = b"%d" % n * 1000
            assert await process.communicate(data) == (data, b"")
            return process.returncode
    print(set(await asyncio.gather(*[one(n) for n in range(1000)])))
run(main)
""",
        impl,
    )
    assert said == ["{0}"]


@pytest.mark.native
def test_more_pipes_than_descriptors(impl: Implementation) -> None:
    """Who gets none is told so by an OSError; all others work, and later there is room again."""
    said = check(
        """
limit(100)
async def start():
    return await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
async def main():
    for _ in range(3):
        started = await asyncio.gather(*[start() for _ in range(100)], return_exceptions=True)
        refused = [each for each in started if isinstance(each, OSError)]
        assert {each.errno for each in refused} == {errno.EMFILE}, refused
        processes = [each for each in started if not isinstance(each, OSError)]
        assert len(processes) + len(refused) == 100
        assert len(children()) == len(processes) > 10
        del started, refused
        for process in processes:
            assert await process.communicate(b"data") == (b"data", None)
    print("room")
run(main)
""",
        impl,
    )
    assert said == ["room"]


def test_three_threads_spawn_at_once(impl: Implementation) -> None:
    said = check(
        """
failures = []
async def main(n):
    for round in range(5):
        async def one(k):
            process = await asyncio.create_subprocess_shell(
                f"cat; exit {k}", stdin=-1, stdout=-1)
            data = b"%d" % (n * 1000 + k) * 5000
            assert await process.communicate(data) == (data, None)
            assert process.returncode == k
        await asyncio.gather(*[one(k) for k in range(10)])
def work(n):
    try:
        run(main, n)
    except BaseException as error:
        failures.append(repr(error))
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures)
""",
        impl,
    )
    assert said == ["[]"]


@EARLY_PROTOCOL
@pytest.mark.native
@pytest.mark.parametrize("pidfds", [True, False])
def test_a_storm(impl: Implementation, pidfds: bool) -> None:
    """Starts, kills, cancellations and closings at random; every child is reaped, once."""
    said = check(
        f"""
rounds = {ROUNDS}
if not {pidfds}:
    del os.pidfd_open
chance = random.Random(6)
COMMANDS = ["cat", "sleep 1000", "exit 3", "kill -9 $$", "head -c 300000 /dev/zero",
            "exec >&- 2>&-; sleep 1000", "trap '' TERM; sleep 1000 & wait", "yes", "/no/such"]
async def one():
    process = await asyncio.create_subprocess_shell(
        chance.choice(COMMANDS), process_group=0,
        stdin=chance.choice([None, -1, -3]), stdout=chance.choice([-1, -3]),
        stderr=chance.choice([-1, -2, -3]))
    async def act():
        what = chance.randrange(5)
        if what == 0:
            await process.wait()
        elif what == 1:
            await process.communicate(b"x" * 200000 if process.stdin else None)
        elif what == 2:
            process._transport.close()
        elif what == 3 and process.stdout:
            await process.stdout.read(1000)
        else:
            process.terminate()
            await process.wait()
    acting = asyncio.ensure_future(act())
    await asyncio.wait([acting], timeout=chance.random() / 20)
    kill = chance.random() < 0.5
    if kill:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    acting.cancel()
    await asyncio.wait([acting])
    if not acting.cancelled():
        acting.exception()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process._transport.close()
    await process.wait()
    return process.returncode
async def main():
    for _ in range(rounds):
        done = await asyncio.gather(*[one() for _ in range(40)])
        assert None not in done, done
run(main)
print("over")
""",
        impl,
    )
    assert said == ["over"]

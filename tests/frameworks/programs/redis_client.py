"""redis-py against a private Redis: commands, pipelines, messages, blocking calls given up."""

from __future__ import annotations

import asyncio
import os

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .common import certificate, digest, failure, pattern, storm


async def commands(client: redis.Redis) -> None:
    await client.flushall()
    print(await client.ping(), await client.set("key", "value"), await client.get("key"))
    for size in (0, 1, 65_536, 4_000_000):
        await client.set("big", pattern(size))
        print("big", digest(await client.get("big")))
    print(await client.rpush("list", *range(10_000)), len(await client.lrange("list", 0, -1)))
    print(await client.hset("hash", mapping={"a": 1, "b": 2}), await client.hgetall("hash"))
    print(sorted([key async for key in client.scan_iter()]))
    async with client.pipeline(transaction=True) as pipeline:
        for number in range(2000):
            pipeline.set(f"number {number}", number).get(f"number {number}")
        found = await pipeline.execute()
        print("pipeline", len(found), found[-2:])
    script = client.register_script("return {KEYS[1], ARGV[1], 17}")
    print("script", await script(keys=["k"], args=["a"]))
    print("error", await failure(client.lpush("key", "x")))
    print("counted", await asyncio.gather(*(client.incr("counter") for _ in range(40))) != [])
    print(await client.get("counter"))


async def messages(client: redis.Redis) -> None:
    async with client.pubsub() as channel:
        await channel.subscribe("news")
        print("subscribed", (await channel.get_message(timeout=5))["type"])
        for number in range(200):
            await client.publish("news", f"number {number}")
        heard = [(await channel.get_message(timeout=5))["data"] for _ in range(200)]
        print("heard", len(heard), heard[0], heard[-1])
        print("silence", await channel.get_message(timeout=0.05))
        await channel.unsubscribe("news")


async def given_up(client: redis.Redis) -> None:
    """A command that is cancelled must not leave its answer to the next one."""
    print("blocked in vain", await client.blpop(["empty"], timeout=0.1))
    waiting = asyncio.create_task(client.blpop(["queue"], timeout=10))
    await asyncio.sleep(0.05)
    await client.rpush("queue", "item")
    print("woken", await waiting)
    for delay in (0, 0.001, 0.02):
        try:
            async with asyncio.timeout(delay):
                await client.blpop(["empty"], timeout=20)
        except TimeoutError:
            print("given up, then", await client.get("key"))

    async def right(number: int) -> bool:
        return bool(await client.echo(str(number)) == str(number).encode())

    await storm(right, 0.0005)


async def main() -> None:
    port = int(os.environ["BUCLE_REDIS_PORT"])
    kinds = {
        "tcp": {"host": "127.0.0.1", "port": port},
        "unix": {"unix_socket_path": os.environ["BUCLE_REDIS_SOCKET"]},
        "protocol 3": {"host": "127.0.0.1", "port": port, "protocol": 3},
    }
    if tls_port := os.environ["BUCLE_REDIS_TLS_PORT"]:
        kinds["TLS"] = {"host": "localhost", "port": int(tls_port), "ssl": True}
        kinds["TLS"] |= {"ssl_ca_certs": certificate("ca")}
    # a command that is sent twice because a busy machine was slow is no finding
    once = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 60, "socket_connect_timeout": 60}
    for kind, where in kinds.items():
        print("--", kind)
        async with redis.Redis(**where, max_connections=400, **once) as client:
            await commands(client)
            await messages(client)
            await given_up(client)
    pool = redis.BlockingConnectionPool(host="127.0.0.1", port=port, max_connections=3, timeout=20)
    async with redis.Redis(connection_pool=pool) as client:
        found = await asyncio.gather(*(client.echo(str(number)) for number in range(200)))
        print("three connections", found == [str(number).encode() for number in range(200)])
        others = await client.client_list()
        await client.client_kill_filter(_type="normal", skipme=True)
        print("killed", len(others) > 0, "then", await failure(client.echo("right")))
    await pool.aclose()
    async with redis.Redis(host="127.0.0.1", port=port, socket_timeout=0.05, retry=None) as client:
        print("timeout", (await failure(client.blpop(["empty"], timeout=5))).split(":")[0])
        print("then", await client.echo("right"))
    refused = redis.Redis(host="127.0.0.1", port=1, retry=None)
    print("refused", (await failure(refused.ping())).split(":")[0])
    await refused.aclose()

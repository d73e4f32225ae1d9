"""asyncpg against a private PostgreSQL: over TCP, a Unix socket and TLS, with cancelled queries."""

from __future__ import annotations

import asyncio
import datetime
import io
import os
import re
import uuid

import asyncpg

from .common import client_tls, digest, failure, pattern, storm


def where(kind: str) -> dict[str, object]:
    port = int(os.environ["BUCLE_POSTGRES_PORT"])
    common: dict[str, object] = {"port": port, "user": "bucle", "database": "postgres"}
    if kind == "unix":
        return common | {"host": os.environ["BUCLE_POSTGRES_SOCKETS"], "ssl": False}
    return common | {"host": "localhost", "ssl": client_tls() if kind == "TLS" else False}


async def said(awaitable: object) -> str:
    """As failure() says, without what differs between two runs."""
    return re.sub(r"\d{5,}", "-", (await failure(awaitable)).split("\n")[0])


async def values(connection: asyncpg.Connection) -> None:
    row = await connection.fetchrow(
        "select $1::int8 as i, $2::text as t, $3::bytea as b, $4::timestamptz as w, $5::uuid as u,"
        " $6::int4[] as a, $7::numeric as n, $8::bool as f, null as z",
        2**40,
        "ümläut \N{SNOWMAN}",
        pattern(100),
        datetime.datetime(2020, 2, 29, 12, tzinfo=datetime.UTC),
        uuid.UUID(int=1234),
        [1, None, 3],
        12345,
        True,
    )
    print(ascii(dict(row)))
    for size in (0, 10_000, 3_000_000):
        print("bytes", digest(await connection.fetchval("select $1::bytea", pattern(size))))
    rows = await connection.fetch(
        "select n, repeat('x', n % 100) as x from generate_series(1, 20000) n"
    )
    print("rows", len(rows), rows[-1]["n"], sum(len(row["x"]) for row in rows))
    prepared = await connection.prepare("select $1::int4 + 1")
    print("prepared", [await prepared.fetchval(n) for n in range(100)][-1])
    async with connection.transaction():
        cursor = connection.cursor("select * from generate_series(1, 1000)", prefetch=17)
        print("cursor", sum([row[0] async for row in cursor]))


async def tables(connection: asyncpg.Connection) -> None:
    await connection.execute("create temp table items (number int4, name text)")
    await connection.executemany(
        "insert into items values ($1, $2)", [(n, f"name {n}") for n in range(3000)]
    )
    print("inserted", await connection.fetchval("select count(*) from items"))
    try:
        async with connection.transaction():
            await connection.execute("delete from items")
            async with connection.transaction():
                print("inside", await connection.fetchval("select count(*) from items"))
            raise ValueError
    except ValueError:
        print("rolled back", await connection.fetchval("select count(*) from items"))
    text = io.BytesIO()
    print(await connection.copy_from_query("select * from items order by 1", output=text))
    print("copied out", digest(text.getvalue()))
    records = [(n, "copied" * (n % 50)) for n in range(20000)]
    print(await connection.copy_records_to_table("items", records=records))
    print("copied in", await connection.fetchval("select sum(length(name)) from items"))
    print(await said(connection.execute("insert into items values ('x')")))
    print(await said(connection.fetch("select 1/0")))
    print(await said(connection.fetch("select from where")))


async def notices(connection: asyncpg.Connection, kind: str) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def listener(_: object, __: int, channel: str, payload: str) -> None:
        heard.put_nowait((channel, payload))

    await connection.add_listener("news", listener)
    other = await asyncpg.connect(**where(kind))
    for number in range(5):
        await other.execute(f"notify news, 'number {number}'")
    print("heard", [await heard.get() for _ in range(5)])
    await connection.remove_listener("news", listener)
    ended: asyncio.Event = asyncio.Event()
    other.add_termination_listener(lambda _: ended.set())
    await connection.execute("select pg_terminate_backend($1)", other.get_server_pid())
    await asyncio.wait_for(ended.wait(), 10)
    print("ended", other.is_closed(), (await said(other.fetch("select 1"))).split(":")[0])


async def cancelled(kind: str) -> None:
    """A cancelled query is cancelled on the server by a second connection, then all goes on."""
    connection = await asyncpg.connect(**where(kind))
    print(await said(connection.fetch("select pg_sleep(20)", timeout=0.05)))
    for delay in (0, 0.001, 0.01, 0.05):
        try:
            async with asyncio.timeout(delay):
                await connection.fetch("select pg_sleep(20)")
        except TimeoutError:
            print("given up, then", await connection.fetchval("select 'right'"))
    await connection.close()
    async with asyncpg.create_pool(min_size=2, max_size=6, **where(kind)) as pool:

        async def right(number: int) -> bool:
            async with pool.acquire() as one:
                query = "select $1::int4 from pg_sleep($2)"
                return bool(await one.fetchval(query, number, 0.001 * (number % 4)) == number)

        await storm(right, 0.002, count=60, rounds=1)
        print("pool", await pool.fetchval("select 'right'"))


async def main() -> None:
    for kind in ("tcp", "unix", "TLS"):
        if kind == "TLS" and not os.environ["BUCLE_POSTGRES_TLS"]:
            continue
        print("--", kind)
        connection = await asyncpg.connect(**where(kind))
        transport = connection._transport
        print(isinstance(transport, asyncio.Transport), connection.is_closed())
        print("TLS", transport.get_extra_info("ssl_object") is not None)
        await values(connection)
        await tables(connection)
        await notices(connection, kind)
        await connection.close()
        print(await said(connection.fetch("select 1")))
        await cancelled(kind)
    print(await said(asyncpg.connect(**(where("tcp") | {"user": "nobody here"}))))
    print((await said(asyncpg.connect(**(where("tcp") | {"port": 1, "timeout": 5})))).split(":")[0])
    doomed = await asyncpg.connect(**where("tcp"))
    doomed.terminate()
    print("terminated", doomed.is_closed())
    many = [asyncpg.connect(**where("unix")) for _ in range(20)]
    connections = await asyncio.gather(*many)
    print("twenty", {await one.fetchval("select 1") for one in connections})
    await asyncio.gather(*(one.close() for one in connections))

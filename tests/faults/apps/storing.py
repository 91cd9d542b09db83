"""Planted faults of an event loop that has stores behind it: pools of one connection, many queries, costly set-ups.

Pools are opened in the loop that runs, at the first request that needs them. Each function takes how long it shall
last, and returns the answer.
"""

from __future__ import annotations

import asyncio
import os
import ssl

from suspending import HEAD
from truth import awaited

PG = os.environ.get("FAULTY_PG", "")
"""`postgresql://postgres@127.0.0.1:5432/postgres`"""
REDIS = os.environ.get("FAULTY_REDIS", "")
SECURE_WEB = os.environ.get("FAULTY_SECURE_WEB", "")
AUTHORITY = os.environ.get("FAULTY_AUTHORITY", "")
TIMEOUT_S = 30
ITEM = "SELECT name, pg_sleep(0.001) FROM items WHERE id = $1"
"""Takes a millisecond and more in the database, as a query over a network would."""
ITEMS = "SELECT name FROM items, pg_sleep(0.001) WHERE id = ANY($1)"

_opening = {}


async def opened(name, make):
    """Return what is made once in this process, by whoever comes first."""
    if name not in _opening:
        _opening[name] = asyncio.ensure_future(make())
    return await asyncio.shield(_opening[name])


async def _psycopg_pool():
    from psycopg_pool import AsyncConnectionPool

    pool = AsyncConnectionPool(PG, min_size=1, max_size=1, kwargs={"autocommit": True}, open=False)
    await pool.open(wait=True)
    return pool


async def _asyncpg_pool():
    import asyncpg

    return await asyncpg.create_pool(PG, min_size=1, max_size=1)


async def _redis():
    import redis.asyncio

    pool = redis.asyncio.BlockingConnectionPool.from_url(REDIS, max_connections=1, timeout=TIMEOUT_S)
    return redis.asyncio.Redis(connection_pool=pool)


async def psycopg_hold(seconds):
    """Have psycopg_pool's only connection for a slow query."""
    pool = await opened("psycopg", _psycopg_pool)
    async with pool.connection() as connection:
        with awaited("calls"):
            await connection.execute("SELECT pg_sleep(%s)", (seconds,))
    return b"ok"


async def psycopg_quick(seconds):
    """Wait for psycopg_pool's only connection."""
    pool = await opened("psycopg", _psycopg_pool)
    with awaited("permit"):
        connection = await pool.getconn()
    try:
        await connection.execute("SELECT 1")
    finally:
        await pool.putconn(connection)
    return b"ok"


async def asyncpg_hold(seconds):
    """Have asyncpg's only connection for a slow query."""
    pool = await opened("asyncpg", _asyncpg_pool)
    async with pool.acquire() as connection:
        with awaited("calls"):
            await connection.fetch("SELECT pg_sleep($1)", seconds)
    return b"ok"


async def asyncpg_quick(seconds):
    """Wait for asyncpg's only connection."""
    pool = await opened("asyncpg", _asyncpg_pool)
    with awaited("permit"):
        connection = await pool.acquire()
    try:
        await connection.fetch("SELECT 1")
    finally:
        await pool.release(connection)
    return b"ok"


async def redis_hold(seconds):
    """Have the only connection to Redis, waiting for a list that stays empty. A timeout of 0 would be none."""
    client = await opened("redis", _redis)
    with awaited("calls"):
        await (client.blpop(["nothing"], timeout=seconds) if seconds else client.get("nothing"))
    return b"ok"


async def redis_quick(seconds):
    """Wait for the only connection to Redis; what the command itself takes is next to nothing."""
    client = await opened("redis", _redis)
    with awaited("permit"):
        await client.get("something")
    return b"ok"


async def chatty(seconds):
    """One query for each of many rows, one after the other."""
    pool = await opened("asyncpg", _asyncpg_pool)
    async with pool.acquire() as connection:
        with awaited("calls"):
            for number in range(round(seconds * 1000)):
                await connection.fetch(ITEM, number)
    return b"ok"


async def connecting(seconds):
    """A connection of its own for each query: asyncpg also waits until the server has closed it."""
    import asyncpg

    for _ in range(round(seconds * 100)):
        with awaited("connect"):
            connection = await asyncpg.connect(PG)
        with awaited("calls"):
            await connection.execute("SELECT 1")
        with awaited("connect"):
            await connection.close()
    return b"ok"


async def slow_query(seconds):
    """One slow query, on a pool that has room."""
    return await asyncpg_hold(seconds)


async def secured(seconds):
    """A TLS handshake for each call."""
    host, _, port = SECURE_WEB.rpartition(":")
    context = ssl.create_default_context(cafile=AUTHORITY)
    for _ in range(round(seconds * 100)):
        with awaited("tls"):
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        with awaited("calls"):
            writer.write(HEAD.format("/wait", "close").encode())
            await reader.readuntil(b"ok")
        writer.close()
    return b"ok"


async def chatty_mended(seconds):
    """The same rows by one query."""
    pool = await opened("asyncpg", _asyncpg_pool)
    async with pool.acquire() as connection:
        with awaited("calls"):
            await connection.fetch(ITEMS, list(range(round(seconds * 1000))))
    return b"ok"


async def connecting_mended(seconds):
    """The same queries on a connection of a pool."""
    pool = await opened("asyncpg", _asyncpg_pool)
    async with pool.acquire() as connection:
        for _ in range(round(seconds * 100)):
            with awaited("calls"):
                await connection.execute("SELECT 1")
    return b"ok"


async def secured_mended(seconds):
    """The same calls on one connection."""
    reader, writer = await opened("secure", _secure)
    for _ in range(round(seconds * 100)):
        with awaited("calls"):
            writer.write(HEAD.format("/wait", "keep-alive").encode())
            await reader.readuntil(b"ok")
    return b"ok"


async def _secure():
    host, _, port = SECURE_WEB.rpartition(":")
    return await asyncio.open_connection(host, int(port), ssl=ssl.create_default_context(cafile=AUTHORITY))


STORING = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(psycopg_hold, psycopg_quick, asyncpg_hold, asyncpg_quick, redis_hold, redis_quick),
        *(chatty, connecting, slow_query, secured),
        *(chatty_mended, connecting_mended, secured_mended),
    )
}

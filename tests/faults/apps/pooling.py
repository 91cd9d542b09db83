"""Planted faults of threads that have stores behind them: pools of one connection, many queries, costly set-ups.

Each takes how long it shall last and a function that reads the request's body, and returns the answer's.
"""

from __future__ import annotations

import functools
import http.client
import os
import ssl
import threading

from truth import measured

PG = os.environ.get("FAULTY_PG", "")
"""`postgresql://postgres@127.0.0.1:5432/postgres`"""
REDIS = os.environ.get("FAULTY_REDIS", "")
SECURE_WEB = os.environ.get("FAULTY_SECURE_WEB", "")
WEB = os.environ.get("FAULTY_WEB", "")
AUTHORITY = os.environ.get("FAULTY_AUTHORITY", "")
TIMEOUT_S = 30
_kept = threading.local()
ITEM = "SELECT name, pg_sleep(0.001) FROM items WHERE id = %s"
ITEMS = "SELECT name FROM items, pg_sleep(0.001) WHERE id = ANY(%s)"


@functools.lru_cache(None)
def _psycopg_pool():
    from psycopg_pool import ConnectionPool

    pool = ConnectionPool(PG, min_size=1, max_size=1, kwargs={"autocommit": True}, open=True)
    pool.wait(TIMEOUT_S)
    return pool


@functools.lru_cache(None)
def _engine():
    import sqlalchemy

    return sqlalchemy.create_engine(PG.replace("postgresql:", "postgresql+psycopg:"), pool_size=1, max_overflow=0)


@functools.lru_cache(None)
def _redis():
    import redis

    return redis.Redis(
        connection_pool=redis.BlockingConnectionPool.from_url(REDIS, max_connections=1, timeout=TIMEOUT_S)
    )


def psycopg_hold(seconds, body):
    """Have psycopg_pool's only connection for a slow query."""
    with _psycopg_pool().connection() as connection, measured("calls"):
        connection.execute("SELECT pg_sleep(%s)", (seconds,))
    return b"ok"


def psycopg_quick(seconds, body):
    """Wait for psycopg_pool's only connection."""
    with measured("permit"):
        connection = _psycopg_pool().getconn()
    try:
        connection.execute("SELECT 1")
    finally:
        _psycopg_pool().putconn(connection)
    return b"ok"


def sqlalchemy_hold(seconds, body):
    """Have the only connection of SQLAlchemy's pool for a slow query."""
    import sqlalchemy

    with _engine().connect() as connection, measured("calls"):
        connection.execute(sqlalchemy.text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
    return b"ok"


def sqlalchemy_quick(seconds, body):
    """Wait for the only connection of SQLAlchemy's pool."""
    import sqlalchemy

    with measured("permit"):
        connection = _engine().connect()
    with connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    return b"ok"


def redis_hold(seconds, body):
    """Have the only connection to Redis, waiting for a list that stays empty. A timeout of 0 would be none."""
    with measured("calls"):
        _redis().blpop(["nothing"], timeout=seconds) if seconds else _redis().get("nothing")
    return b"ok"


def redis_quick(seconds, body):
    """Wait for the only connection to Redis; what the command itself takes is next to nothing."""
    with measured("permit"):
        _redis().get("something")
    return b"ok"


def chatty(seconds, body):
    """One query for each of many rows, one after the other."""
    with _psycopg_pool().connection() as connection, measured("calls"):
        for number in range(round(seconds * 1000)):
            connection.execute(ITEM, (number,))
    return b"ok"


def connecting(seconds, body):
    """A connection of its own for each query."""
    import psycopg

    for _ in range(round(seconds * 100)):
        with measured("connect"):
            connection = psycopg.connect(PG, autocommit=True)
        with measured("calls"):
            connection.execute("SELECT 1")
        with measured("connect"):
            connection.close()
    return b"ok"


def secured(seconds, body):
    """A TLS handshake for each call."""
    host, _, port = SECURE_WEB.rpartition(":")
    context = ssl.create_default_context(cafile=AUTHORITY)
    for _ in range(round(seconds * 100)):
        connection = http.client.HTTPSConnection(host, int(port), timeout=TIMEOUT_S, context=context)
        with measured("tls"):
            connection.connect()
        with measured("calls"):
            _get(connection, "/wait")
        connection.close()
    return b"ok"


def transfer(seconds, body):
    """Call for an answer that is large and comes slowly."""
    host, _, port = WEB.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    with measured("calls"):
        _get(connection, f"/bytes?kb=2048&ms={seconds * 1000:.0f}")
    connection.close()
    return b"ok"


def web_call(seconds, body):
    """Call another web service."""
    host, _, port = WEB.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    with measured("calls"):
        _get(connection, f"/wait?ms={seconds * 1000:.0f}")
    connection.close()
    return b"ok"


def chatty_mended(seconds, body):
    """The same rows by one query."""
    with _psycopg_pool().connection() as connection, measured("calls"):
        connection.execute(ITEMS, (list(range(round(seconds * 1000))),)).fetchall()
    return b"ok"


def connecting_mended(seconds, body):
    """The same queries on a connection that this thread keeps."""
    import psycopg

    if not hasattr(_kept, "postgres"):
        _kept.postgres = psycopg.connect(PG, autocommit=True)
    for _ in range(round(seconds * 100)):
        with measured("calls"):
            _kept.postgres.execute("SELECT 1")
    return b"ok"


def secured_mended(seconds, body):
    """The same calls on a connection that this thread keeps."""
    if not hasattr(_kept, "secure"):
        host, _, port = SECURE_WEB.rpartition(":")
        context = ssl.create_default_context(cafile=AUTHORITY)
        _kept.secure = http.client.HTTPSConnection(host, int(port), timeout=TIMEOUT_S, context=context)
    for _ in range(round(seconds * 100)):
        with measured("calls"):
            _get(_kept.secure, "/wait")
    return b"ok"


def _get(connection, path):
    connection.request("GET", path)
    connection.getresponse().read()


POOLING = (
    *(psycopg_hold, psycopg_quick, sqlalchemy_hold, sqlalchemy_quick, redis_hold, redis_quick),
    *(chatty, connecting, secured, transfer, web_call),
    *(chatty_mended, connecting_mended, secured_mended),
)

"""What a stack waits for: which frames are a pool's, a permit's, a signal's, and which are not."""

import json
import subprocess

import coding as c
import looped as lo
import pytest
from serving import interpreters

from perfwatch.agent.correlator.permits import POOLS, awaited
from perfwatch.agent.model import Frame

HANDLER = c.own("order", "shop.py", 41)


def site(function, file):
    return Frame(function, f"{c.SITE}/{file}", 100)


def std(function, file):
    return Frame(function, f"{c.STDLIB}/{file}", 100)


CONDITION, EVENT = std("Condition.wait", "threading.py"), std("Event.wait", "threading.py")
A_GET, A_EVENT = std("Queue.get", "asyncio/queues.py"), site("Event.wait", "anyio/_backends/_asyncio.py")
A_CONDITION, A_LOCK = std("Condition.wait", "asyncio/locks.py"), std("Lock.acquire", "asyncio/locks.py")
WAIT_FOR = std("wait_for", "asyncio/tasks.py")

POOLED = {
    "psycopg_pool": lo.PSYCOPG[:3],
    "psycopg_pool, asynchronous": (
        A_CONDITION,
        WAIT_FOR,
        site("ACondition.wait_timeout", "psycopg_pool/_acompat.py"),
        site("WaitingClient.wait", "psycopg_pool/pool_async.py"),
        site("AsyncConnectionPool._getconn_unchecked", "psycopg_pool/pool_async.py"),
    ),
    "asyncpg": (
        A_GET,
        site("Pool._acquire.<locals>._acquire_impl", "asyncpg/pool.py"),
        site("Pool._acquire", "asyncpg/pool.py"),
    ),
    "SQLAlchemy": (
        CONDITION,
        site("Queue.get", "sqlalchemy/util/queue.py"),
        site("QueuePool._do_get", "sqlalchemy/pool/impl.py"),
    ),
    "SQLAlchemy, asynchronous": (A_GET, site("greenlet_spawn", "sqlalchemy/util/concurrency.py")),
    "urllib3": (
        CONDITION,
        std("Queue.get", "queue.py"),
        site("HTTPConnectionPool._get_conn", "urllib3/connectionpool.py"),
    ),
    "urllib3, as pip has it": (
        CONDITION,
        std("Queue.get", "queue.py"),
        site("HTTPConnectionPool._get_conn", "pip/_vendor/urllib3/connectionpool.py"),
    ),
    "httpx": (
        A_EVENT,
        site("AsyncEvent.wait", "httpcore/_synchronization.py"),
        site("AsyncPoolRequest.wait_for_connection", "httpcore/_async/connection_pool.py"),
        site("AsyncConnectionPool.handle_async_request", "httpcore/_async/connection_pool.py"),
    ),
    "httpx of threads": (
        CONDITION,
        EVENT,
        site("Event.wait", "httpcore/_synchronization.py"),
        site("PoolRequest.wait_for_connection", "httpcore/_sync/connection_pool.py"),
    ),
    "redis": (
        CONDITION,
        std("Queue.get", "queue.py"),
        site("BlockingConnectionPool.get_connection", "redis/connection.py"),
    ),
    "redis, asynchronous": (
        A_CONDITION,
        std("Condition.wait_for", "asyncio/locks.py"),
        site("BlockingConnectionPool.get_connection", "redis/asyncio/connection.py"),
    ),
    "aiohttp": (
        site("BaseConnector._wait_for_available_connection", "aiohttp/connector.py"),
        site("BaseConnector.connect", "aiohttp/connector.py"),
    ),
    "DBUtils": (CONDITION, site("PooledDB.connection", "dbutils/pooled_db.py")),
    "pymongo": (
        CONDITION,
        site("_cond_wait", "pymongo/lock.py"),
        site("Pool._get_conn", "pymongo/synchronous/pool.py"),
    ),
    "before 3.11": (
        std("wait", "threading.py"),
        site("wait", "psycopg_pool/pool.py"),
        site("_getconn_unchecked", "psycopg_pool/pool.py"),
        site("getconn", "psycopg_pool/pool.py"),
    ),
}
OTHERS = {
    "a permit": ("permit", lo.SEMAPHORE),
    "a permit of threads": ("permit", (c.native("lock.acquire"), CONDITION, std("Semaphore.acquire", "threading.py"))),
    "a permit of anyio": ("permit", (A_EVENT, site("Semaphore.acquire", "anyio/_backends/_asyncio.py"))),
    "a limiter": (
        "permit",
        (A_EVENT, site("CapacityLimiter.acquire_on_behalf_of", "anyio/_backends/_asyncio.py")),
    ),
    "a stream of HTTP/2": (
        "permit",
        (
            A_EVENT,
            site("AsyncSemaphore.acquire", "httpcore/_synchronization.py"),
            site("f", "httpcore/_async/http2.py"),
        ),
    ),
    "room in a queue": ("room", (CONDITION, std("Queue.put", "queue.py"))),
    "an item of a queue": ("item", (CONDITION, std("Queue.get", "queue.py"))),
    "an item of asyncio's queue": ("item", (A_GET,)),
    "a queue's own mutex": ("lock", (std("Queue.get", "queue.py"), site("X._get_conn", "urllib3/connectionpool.py"))),
    "a lock": ("lock", lo.MUTEX),
    "a condition's own lock": ("lock", (std("Condition.__enter__", "threading.py"),)),
    "an asyncio lock before 3.11": ("lock", (std("acquire", "asyncio/locks.py"),)),
    "an asyncio semaphore before 3.11": ("permit", (Frame("acquire", f"{c.STDLIB}/asyncio/locks.py", 390),)),
    "an event": ("signal", (CONDITION, EVENT)),
    "a result": ("signal", c.RESULT[:2]),
    "an asyncio event": ("signal", (std("Event.wait", "asyncio/locks.py"),)),
    "a timer": ("sleep", lo.TIMER),
    "a thread of anyio": ("worker", lo.TO_THREAD),
    "a job that a thread of anyio does": ("job", lo.TO_THREAD[2:]),
    "a job of a thread of asyncio": ("job", (std("to_thread", "asyncio/threads.py"),)),
    "a job of a thread of asgiref": ("job", (site("SyncToAsync.__call__", "asgiref/sync.py"),)),
    "data of a stream": (
        "answer",
        (
            std("StreamReader._wait_for_data", "asyncio/streams.py"),
            std("StreamReader.read", "asyncio/streams.py"),
            site("Connection.read_response", "redis/asyncio/connection.py"),
            site("BlockingConnectionPool.get_connection", "redis/asyncio/connection.py"),
        ),
    ),
    "an answer to httpx": (
        "answer",
        (
            A_EVENT,
            site("SocketStream.receive", "anyio/_backends/_asyncio.py"),
            site("AnyIOStream.read", "httpcore/_backends/anyio.py"),
            site("AsyncConnectionPool.handle_async_request", "httpcore/_async/connection_pool.py"),
        ),
    ),
    "an answer to psycopg": (
        "answer",
        (std("Event.wait", "asyncio/locks.py"), WAIT_FOR, site("wait_async", "psycopg/waiting.py")),
    ),
    "the body of a request": (
        "upload",
        (
            std("Event.wait", "asyncio/locks.py"),
            site("RequestResponseCycle.receive", "uvicorn/protocols/http/h11_impl.py"),
        ),
    ),
    "a statement's mutex in SQLAlchemy": (
        "lock",
        (
            A_LOCK,
            site("AsyncAdapt_asyncpg_cursor._prepare_and_execute", "sqlalchemy/dialects/postgresql/asyncpg.py"),
            site("greenlet_spawn", "sqlalchemy/util/concurrency.py"),
        ),
    ),
}
UNTOLD = {
    "a lock of its own": c.GET,
    "nothing known": (),
    "a bare future": lo.UNTOLD,
    "a pool that connects": (
        site("connect_tcp", "asyncpg/connect_utils.py"),
        site("connect", "asyncpg/connection.py"),
        site("PoolConnectionHolder.acquire", "asyncpg/pool.py"),
        site("Pool._acquire.<locals>._acquire_impl", "asyncpg/pool.py"),
    ),
    "a pool's own mutex": (site("ConnectionPool.get_connection", "redis/connection.py"),),
}


@pytest.mark.parametrize("name", POOLED)
def test_a_pool_is_known_by_its_frames(name):
    found = awaited((*POOLED[name], HANDLER, *c.SERVER))
    known = {"psycopg_pool", "asyncpg", "SQLAlchemy", "urllib3", "httpx", "redis", "aiohttp", "DBUtils", "pymongo"}
    pool = next((one for one in known if name.startswith(one)), "psycopg_pool")
    assert found[:3] == ("pool", f"a connection of {pool}", True)


@pytest.mark.parametrize("name", OTHERS)
def test_primitives_say_what_they_are_for(name):
    kind, frames = OTHERS[name]
    found = awaited((*frames, HANDLER, *c.SERVER))
    assert found.kind == kind
    assert found.is_permit == (kind in ("permit", "room"))


@pytest.mark.parametrize("name", UNTOLD)
def test_what_frames_do_not_tell_is_not_guessed(name):
    assert awaited((*UNTOLD[name], HANDLER, *c.SERVER) if UNTOLD[name] else ()) is None


def test_whose_event_it_is_is_told():
    event = std("Event.wait", "asyncio/locks.py")
    assert awaited((event, HANDLER)).by_own
    assert not awaited((event, site("f", "some_driver/client.py"), HANDLER)).by_own


def test_a_connection_that_is_opened_under_a_pools_lock_is_no_wait_for_the_pool():
    connecting = (A_LOCK, site("Connection.connect", "redis/asyncio/connection.py"), *POOLED["redis, asynchronous"][2:])
    assert awaited((*connecting, HANDLER)).kind == "lock"


def test_the_table_names_functions_that_are_there():
    """Of the pools that are installed here: their functions can be found in their sources."""
    import importlib.util
    from pathlib import Path

    found = 0
    for module, (_, functions) in POOLS.items():
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            continue
        if spec is not None and spec.origin is not None:
            source = Path(spec.origin).read_text()
            assert any(f"def {function}(" in source for function in functions), module
            found += 1
    assert found >= 7


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10"])
def test_lines_tell_a_semaphore_from_a_lock_where_names_are_bare(version):
    """What the standard library of each says of itself."""
    python = interpreters().get(version)
    if python is None:
        pytest.skip(f"no CPython {version} under pyenv")
    script = (
        "import asyncio.locks as l, json, inspect;"
        "print(json.dumps([[n, *[a + b for b in (0, len(s) - 1)]] for n in ('Lock', 'Semaphore')"
        " for s, a in [inspect.getsourcelines(getattr(l, n).acquire)]] + [l.__file__]))"
    )
    shown = subprocess.run([python, "-c", script], capture_output=True, check=True)
    *lines, file = json.loads(shown.stdout)
    for name, first, last in lines:
        for line in (first, last):
            told = awaited([Frame("acquire", file, line), HANDLER])
            assert told.kind == {"Lock": "lock", "Semaphore": "permit"}[name]

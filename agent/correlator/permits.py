"""What a stack waits for: a pooled connection, a permit, an item of a queue, a free thread, a signal, a lock, a timer.

Libraries wait for events and items for all kinds of reasons, such as data of a socket: only the program's own are
signals to it (`by_own`). A job is one that a thread does, or has not begun: the frames of who waits for it do not tell.

The frames tell: innermost a primitive of a standard library (`Condition.wait`), then who uses it. A pool's frame
outside of it names the pool; one that connects meanwhile has none. Up to Python 3.10 frames have bare names: there an
asyncio `acquire` is told for a lock's or a semaphore's by its line.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from perfwatch.agent.correlator.places import module_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfwatch.agent.model import Frame

Kind: TypeAlias = Literal[
    "pool", "permit", "room", "item", "worker", "job", "signal", "lock", "sleep", "answer", "upload", "download"
]

_SPAWNS: Final = "sqlalchemy.util.concurrency sqlalchemy.util._concurrency_py3k"
"""Its asynchronous engine gets a connection from a queue in there, and the pool's own frames are on a greenlet."""
POOLS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    module: (name, frozenset(functions.split()))
    for modules, name, functions in (
        (
            "psycopg_pool.pool psycopg_pool.pool_async",
            "psycopg_pool",
            "getconn _getconn_unchecked",
        ),
        ("asyncpg.pool", "asyncpg", "acquire _acquire _acquire_impl"),
        ("aiomysql.pool", "aiomysql", "acquire _acquire"),
        ("aiopg.pool", "aiopg", "acquire _acquire"),
        ("httpcore._async.connection_pool httpcore._sync.connection_pool", "httpx", "wait_for_connection"),
        ("redis.connection redis.asyncio.connection", "redis", "get_connection"),
        ("aioredis.pool aioredis.connection", "aioredis", "acquire get get_connection"),
        ("sqlalchemy.pool.impl", "SQLAlchemy", "_do_get"),
        (_SPAWNS, "SQLAlchemy", "greenlet_spawn"),
        ("aiohttp.connector", "aiohttp", "_wait_for_available_connection"),
        ("urllib3.connectionpool requests.packages.urllib3.connectionpool", "urllib3", "_get_conn"),
        ("dbutils.pooled_db DBUtils.PooledDB", "DBUtils", "connection dedicated_connection"),
        ("mysql.connector.pooling", "mysql.connector", "get_connection"),
        ("pymongo.pool pymongo.synchronous.pool pymongo.asynchronous.pool", "pymongo", "checkout _get_conn"),
        ("oracledb.pool", "oracledb", "acquire"),
        ("tortoise.backends.base.client", "tortoise", "acquire_connection __aenter__"),
    )
    for module in modules.split()
}
"""By module: what the pool is called, and its functions that wait for a connection."""
_ALONE: Final = frozenset({"_wait_for_available_connection"})
"""They await a future of their own, and no primitive."""
_CONNECTS: Final = ("connect", "_connect", "open", "_open", "create_connection", "_create_connection", "getaddrinfo")
_PEER: Final[Kind] = "answer"
_PRIMITIVES: Final[dict[str, dict[str, Kind]]] = {
    "threading": {
        "Semaphore.acquire": "permit",
        "BoundedSemaphore.acquire": "permit",
        "acquire": "permit",
        "_RLock.acquire": "lock",
        "__enter__": "lock",
        "*": "signal",
    },
    "queue": {"get": "item", "put": "room"},
    "concurrent.futures": {"*": "signal"},
    "asyncio.locks": {"Semaphore.acquire": "permit", "acquire": "lock", "wait": "signal", "wait_for": "signal"},
    "asyncio.queues": {"get": "item", "put": "room", "join": "signal"},
    "asyncio.tasks": {"sleep": "sleep"},
    "asyncio.threads": {"to_thread": "worker"},
    "asyncio.streams": dict.fromkeys(
        ("_wait_for_data", "read", "readexactly", "readuntil", "readline", "drain"), _PEER
    ),
    "psycopg.waiting": {"wait_async": "answer", "wait_conn_async": "answer"},
    "aiohttp.client_proto": {"*": "answer"},
    "uvicorn.protocols": {"RequestResponseCycle.receive": "upload", "FlowControl.drain": "download"},
    "anyio": {
        "Semaphore.acquire": "permit",
        "CapacityLimiter.acquire": "permit",
        "acquire_on_behalf_of": "permit",
        "acquire": "lock",
        "wait": "signal",
        "sleep": "sleep",
        "run_sync_in_worker_thread": "worker",
        **{f"{end}.{way}": _PEER for end in ("SocketStream", "UNIXSocketStream") for way in ("receive", "send")},
    },
    "anyio.to_thread": {"run_sync": "worker"},
    "starlette.concurrency": {"run_in_threadpool": "worker"},
    "asgiref.sync": {"SyncToAsync.__call__": "worker"},
    "gevent.lock": {"acquire": "permit"},
    "sqlalchemy.util.queue": {"get": "item"},
    "httpcore._synchronization": {
        "Semaphore.acquire": "permit",
        "AsyncSemaphore.acquire": "permit",
        "__enter__": "lock",
        "__aenter__": "lock",
        "wait": "signal",
    },
    "psycopg_pool._acompat": {},
    "async_timeout": {},
}
"""By module: what a function waits for, by its qualified name or the last part of it; `*` is any other."""
_SAID: Final[dict[Kind, str]] = {"permit": "a permit", "room": "room in a queue", "item": "an item of a queue"}
_NO_POOL: Final = frozenset({"sleep", "worker", "job", "answer", "upload", "download"})
_PERMITS: Final = frozenset({"pool", "permit", "room"})
_MUTEXES: Final = frozenset({"queue", "sqlalchemy.util.queue"})
"""Innermost, they wait for their own lock, which nobody holds for long."""
_ROOTS: Final = frozenset(module.partition(".")[0] for module in POOLS)
_SEMAPHORES_FROM: Final = 300
"""In `asyncio/locks.py` of Python 3.8 to 3.10 a lock's `acquire` ends by line 203, and a semaphore's begins at 367."""
_INNERMOST: Final = 32
"""So many frames tell what is waited for."""


class Awaited(NamedTuple):
    """What a stack waits for."""

    kind: Kind
    """`answer`: of a peer; `upload`, `download`: its client is slow to send, or to read."""
    what: str
    """`a connection of psycopg_pool`; empty where the kind says it all."""
    is_permit: bool
    """Whether somebody else has it, and gives it back."""
    by_own: bool
    """Whether the program's own code waits for it, and no library: that may use it for anything."""


def awaited(frames: Sequence[Frame]) -> Awaited | None:
    """Return what a stack waits for, the innermost frame first; None where its frames do not tell."""
    return _awaited(tuple((module_of(one), _name(one)) for one in frames[:_INNERMOST] if not one.is_native))


def _name(frame: Frame) -> str:
    is_bare = frame.function == "acquire" and frame.line >= _SEMAPHORES_FROM
    return "Semaphore.acquire" if is_bare and module_of(frame) == "asyncio.locks" else frame.function


@lru_cache(1024)
def _awaited(inner: tuple[tuple[str, str], ...]) -> Awaited | None:
    kind, at = _primitive(inner)
    by_own = at < len(inner) and not inner[at][0]
    pool = None if kind in _NO_POOL else _pool(inner[at:], kind)
    if pool is not None:
        return Awaited("pool", f"a connection of {pool}", is_permit=True, by_own=by_own)
    return None if kind is None else Awaited(kind, _SAID.get(kind, ""), kind in _PERMITS, by_own)


def _primitive(inner: Sequence[tuple[str, str]]) -> tuple[Kind | None, int]:
    """Return what the outermost of the primitives at the top of a stack is for, and where they end."""
    if inner and inner[0][0] in _MUTEXES:
        return "lock", len(inner)
    kind: Kind | None = None
    for at, (module, function) in enumerate(inner):
        known = _known(module)
        if known is None:
            return kind, at
        outer = _kind(known, function) or kind
        kind = "job" if outer == "worker" and kind in (None, "job") else outer
    return kind, len(inner)


def _known(module: str) -> dict[str, Kind] | None:
    while module:
        if module in _PRIMITIVES:
            return _PRIMITIVES[module]
        module = module.rpartition(".")[0]
    return None


def _kind(known: dict[str, Kind], function: str) -> Kind | None:
    parts = function.replace(".<locals>", "").split(".")
    return known.get(".".join(parts[-2:])) or known.get(parts[-1]) or known.get("*")


def _pool(outer: Sequence[tuple[str, str]], kind: Kind | None) -> str | None:
    """Return the pool that waits, of the frames outside of the primitives; None once one of them connects."""
    for at, (module, function) in enumerate(outer):
        name = function.rpartition(".")[2]
        pool, functions = POOLS.get(module.removeprefix("pip._vendor."), ("", frozenset[str]()))
        if name in functions:
            is_item = kind == "item" and at == 0
            return pool if (is_item if name == "greenlet_spawn" else kind is not None or name in _ALONE) else None
        if module.partition(".")[0] not in _ROOTS or name in _CONNECTS:
            return None
    return None

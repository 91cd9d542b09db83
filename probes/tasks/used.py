"""Which connection of the process's own a task waits on: its local address, as asyncio's transport keeps it.

It is looked for in the innermost coroutines: those of asyncio's streams (redis, aiomysql, asyncmy), AnyIO's (httpx,
httpcore), asyncpg and aiohttp. psycopg waits for a bare descriptor, and uvloop's transports keep their addresses where
they cannot be read: of those nothing is told. Cost: 100 us where there is one, 5 us a frame where there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from perfwatch.probes.tasks.routes import Reached, Route
from perfwatch.probes.tasks.rules import Rules

if TYPE_CHECKING:
    from perfwatch.probes.cpython.chain import Chain
    from perfwatch.probes.cpython.codes import Codes
    from perfwatch.probes.cpython.variables import Variables
    from perfwatch.probes.tasks.routes import Routes

MAX_FRAMES: Final = 16
"""So many of a task's are looked at, the innermost ones."""
_OWN: Final = ("_extra", "sockname")
_ASYNCPG: Final = "asyncpg/connection.py"
WAYS: Final = (
    Route("self", "_wait_for_data", "asyncio/streams.py", ("_transport", *_OWN)),
    Route("self", "receive", "anyio/_backends/_asyncio.py", ("_transport", *_OWN)),
    Route("self", "send", "anyio/_backends/_asyncio.py", ("_transport", *_OWN)),
    Route("self", "_do_execute", _ASYNCPG, ("_transport", *_OWN)),
    Route("self", "execute", _ASYNCPG, ("_transport", *_OWN)),
    Route("self", "reset", _ASYNCPG, ("_transport", *_OWN)),
    Route("self", "read", "aiohttp/streams.py", ("transport", *_OWN)),
    Route("self", "_wait", "aiohttp/streams.py", ("_protocol", "transport", *_OWN)),
)


class Used:
    """Finds them for one Python's tasks. Its methods raise Vanished, as `Memory` does."""

    def __init__(self, routes: Routes, variables: Variables, codes: Codes) -> None:
        self._routes = routes
        self._variables = variables
        self._rules = Rules(WAYS, codes, variables)

    def of(self, chain: Chain) -> Reached | None:
        """Return the address of the connection that a task waits on."""
        if chain.awaits is None:
            return None
        self._rules.renew()
        innermost = zip(chain.stack[:MAX_FRAMES], chain.variables, strict=False)
        for (code, position), variables in innermost:
            for way in self._rules.of(code, position):
                start = self._variables.of(code, variables, way.variable)
                reached = self._routes.along(way, start) if start else None
                if reached is not None:
                    return reached
        return None

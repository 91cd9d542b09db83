"""The second of two services: it knows prices, and is slow in ways of its own.

| route | what happens there | verdict |
|---|---|---|
| `GET /price/{}` | takes the lock that `Tariffs.reload` holds while it reads new tariffs | lock |
| `GET /discount/{}` | a query that looks at every pair of rows | cpu |
| `GET /tax/{}` | a look into a dictionary | none of its own |

Served by gunicorn: `gunicorn --worker-class gthread --threads 32 perfwatch.examples.prices:app`.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

RELOAD_S: Final = 0.15
PAUSE_S: Final = 0.25
ROWS: Final = 700
_PAIRS: Final = "SELECT count(*) FROM sold AS a, sold AS b WHERE a.item * b.item % 1009 = ?"


class Tariffs:
    """What things cost; read anew in the background, under the lock that every price needs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cents = {item: 100 + item % 900 for item in range(1000)}

    def reload(self) -> None:
        """Read new tariffs while holding the lock: the mistake that is to be found from the other service."""
        with self._lock:
            time.sleep(RELOAD_S)

    def reload_forever(self) -> None:
        """Body of the background thread."""
        while True:
            self.reload()
            time.sleep(PAUSE_S)

    def price(self, item: int) -> int:
        """Return what one piece costs."""
        with self._lock:
            return self._cents[item % 1000]

    def tax(self, item: int) -> int:
        """Return what of it is tax, without the lock."""
        return self._cents[item % 1000] // 5


class Discounts:
    """A query without an index; each thread has its own copy of the few rows."""

    def __init__(self) -> None:
        self._local = threading.local()

    def of(self, item: int) -> int:
        """Return the discount on an item; some 30 ms."""
        database: sqlite3.Connection | None = getattr(self._local, "database", None)
        if database is None:
            database = self._local.database = sqlite3.connect(":memory:")
            database.execute("CREATE TABLE sold (item INTEGER)")
            database.executemany("INSERT INTO sold VALUES (?)", ((row,) for row in range(ROWS)))
        (pairs,) = database.execute(_PAIRS, (item % 1009,)).fetchone()
        return int(pairs) % 10


class Prices:
    """The WSGI application."""

    def __init__(self) -> None:
        tariffs = Tariffs()
        threading.Thread(target=tariffs.reload_forever, name="tariffs", daemon=True).start()
        self._pages: dict[str, Callable[[int], int]] = {
            "price": tariffs.price,
            "discount": Discounts().of,
            "tax": tariffs.tax,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; 404 for what there is no price of."""
        name, _, rest = environ.get("PATH_INFO", "/").strip("/").partition("/")
        page = self._pages.get(name)
        number = 0
        with contextlib.suppress(ValueError):
            number = int(rest)
        status, body = ("200 OK", f"{page(number)}\n") if page else ("404 Not Found", "not here\n")
        data = body.encode()
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
        return [data]


app: Final = Prices()

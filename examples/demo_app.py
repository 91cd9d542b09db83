"""A small shop, without a framework, in which each page has its own reason to be slow, or none.

| route | what happens there | verdict |
|---|---|---|
| `GET /item/{}` | a look into a dictionary | none of its own: fast, unless others hold the interpreter lock |
| `GET /search` | ranks the catalogue in Python | cpu |
| `POST /order` | takes the stock lock, which `Stock.refresh` holds while it waits for a supplier | lock |
| `GET /recommendations/{}` | asks another service | dependency |
| `GET /report/{}` | reads an archive from the disk, past the page cache | disk |
| `POST /login` | backs off before it answers | sleep |
| `GET /similar/{}` | scores in four threads of one interpreter | gil |

Served by gunicorn: `gunicorn --worker-class gthread --threads 8 perfwatch.examples.demo_app:app`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from perfwatch.examples.archive import Archive
from perfwatch.examples.suggestions import PORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

SCORERS: Final = 4
SEARCH_S: Final = 0.06
SIMILAR_S: Final = 0.02
REFRESH_S: Final = 0.2
REFRESH_PAUSE_S: Final = 0.3
BACK_OFF_S: Final = 0.15


class Stock:
    """What is in store; refreshed in the background, under the lock that every order needs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items = dict.fromkeys(range(1000), 7)

    def refresh(self) -> None:
        """Ask the supplier while holding the lock: the mistake that the demo wants found."""
        with self._lock:
            time.sleep(REFRESH_S)

    def refresh_forever(self) -> None:
        """Body of the background thread."""
        while True:
            self.refresh()
            time.sleep(REFRESH_PAUSE_S)

    def take(self, item: int) -> int:
        """Take one piece, and return what is left."""
        with self._lock:
            self._items[item % 1000] = max(0, self._items[item % 1000] - 1)
            return self._items[item % 1000]

    def count(self, item: int) -> int:
        """How many there are, without the lock."""
        return self._items[item % 1000]


class Suggestions:
    """A client of the service next door; each thread keeps a connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._local = threading.local()

    def ask(self, user: int) -> bytes:
        """Return what the service says; it takes its time."""
        connected: socket.socket | None = getattr(self._local, "socket", None)
        if connected is None:
            connected = self._local.socket = socket.create_connection(("127.0.0.1", self._port))
        connected.sendall(b"%d\n" % user)
        return connected.recv(4096)


def rank(seconds: float) -> int:
    """Compute in this thread until it has used so much CPU time; returns something to show for it."""
    until, score = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        score += sum(number * number % 7 for number in range(200))
    return score


class Scorers:
    """Threads that are meant to make scoring faster: in one interpreter they take turns."""

    def __init__(self) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(SCORERS - 1, thread_name_prefix="scorer")

    def similar(self) -> int:
        """Score in this thread and in the others at once."""
        others = [self._pool.submit(rank, SIMILAR_S) for _ in range(SCORERS - 1)]
        return rank(SIMILAR_S) + sum(other.result() for other in others)


class Shop:
    """The WSGI application."""

    def __init__(self) -> None:
        self._stock = Stock()
        self._suggestions = Suggestions(int(os.environ.get(PORT, "0")))
        self._scorers = Scorers()
        self._archive = Archive.in_temporary_file()
        threading.Thread(target=self._stock.refresh_forever, name="stock-refresh", daemon=True).start()
        self._pages: dict[tuple[str, str], Callable[[int], object]] = {
            ("GET", "item"): self._stock.count,
            ("GET", "search"): lambda _: rank(SEARCH_S),
            ("POST", "order"): self._stock.take,
            ("GET", "recommendations"): self._suggestions.ask,
            ("GET", "report"): lambda _: self._archive.read(),
            ("POST", "login"): lambda _: time.sleep(BACK_OFF_S),
            ("GET", "similar"): lambda _: self._scorers.similar(),
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; 404 for what the shop does not have."""
        name, _, rest = environ.get("PATH_INFO", "/").strip("/").partition("/")
        page = self._pages.get((environ["REQUEST_METHOD"], name))
        number = 0
        with contextlib.suppress(ValueError):
            number = int(rest)
        status, body = ("200 OK", f"{page(number)!r}\n") if page else ("404 Not Found", "not here\n")
        data = body.encode()
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(data)))])
        return [data]


app: Final = Shop()

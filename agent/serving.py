"""What a Python process serves with: its server and its framework, by the modules that it has loaded.

What is loaded need not serve: so it is asked only of processes that listen. The first of a table that is loaded counts,
and those that others are made of come last: FastAPI loads Starlette, and Flask the server of Werkzeug.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from perfwatch.probes import roots
from perfwatch.probes.cpython.loaded import loaded_modules
from perfwatch.probes.errors import ProbeError
from perfwatch.probes.readers.interpreter import find_interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVERS: Final = (
    ("gunicorn.arbiter", "gunicorn"),
    ("hypercorn.run", "hypercorn"),
    ("daphne.server", "daphne"),
    ("granian.server", "granian"),
    ("uwsgi", "uwsgi"),
    ("uvicorn.server", "uvicorn"),
    ("waitress.server", "waitress"),
    ("cheroot.server", "cheroot"),
    ("gevent.pywsgi", "gevent"),
    ("eventlet.wsgi", "eventlet"),
    ("sanic.server", "sanic"),
    ("grpc._server", "grpc"),
    ("grpc.aio._server", "grpc.aio"),
    ("aiohttp.web_runner", "aiohttp"),
    ("tornado.httpserver", "tornado"),
    ("werkzeug.serving", "werkzeug"),
    ("wsgiref.simple_server", "wsgiref"),
    ("http.server", "http.server"),
)
FRAMEWORKS: Final = (
    ("django.core.handlers.base", "django"),
    ("fastapi.applications", "fastapi"),
    ("litestar.app", "litestar"),
    ("quart.app", "quart"),
    ("flask.app", "flask"),
    ("falcon.app", "falcon"),
    ("pyramid.config", "pyramid"),
    ("bottle", "bottle"),
    ("cherrypy", "cherrypy"),
    ("sanic.app", "sanic"),
    ("starlette.applications", "starlette"),
    ("aiohttp.web_app", "aiohttp"),
    ("tornado.web", "tornado"),
)
_YOUNG_S: Final = 10.0
"""What a younger process has loaded is looked at once more when it is older."""
_KEPT: Final = 1024


class Serving(NamedTuple):
    """Names of a server and of a framework; None where none is known."""

    server: str | None = None
    framework: str | None = None


def serving(processes: Iterable[tuple[int, float]], now_unix_s: float) -> Serving:
    """Tell it of a server's processes, each (PID, when it was started); 2 to 5 ms for each that is new."""
    server = framework = None
    for pid, started_unix_s in processes:
        found = _serving(pid, started_unix_s, is_young=now_unix_s - started_unix_s < _YOUNG_S)
        server, framework = server or found.server, framework or found.framework
    return Serving(server, framework)


def told_by(modules: Iterable[str]) -> Serving:
    """Tell it by the modules that are loaded."""
    loaded = frozenset(modules)
    server, framework = (
        next((name for mark, name in table if mark in loaded), None) for table in (SERVERS, FRAMEWORKS)
    )
    return Serving(server, framework)


@lru_cache(_KEPT)
def _serving(pid: int, started_unix_s: float, *, is_young: bool) -> Serving:  # noqa: ARG001 - they tell one process
    try:
        interpreter = find_interpreter(roots.PROC, pid)
        return told_by(loaded_modules(pid, interpreter)) if interpreter else Serving()
    except ProbeError:  # it has ended, may not be read, or lies otherwise than is known: the command line must do
        return Serving()

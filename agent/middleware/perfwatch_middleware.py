"""perfwatch's middleware: tells a perfwatch that watches this process where each request begins and ends.

This one file, Python 3.8 or later, and pyinstrument where call trees are wanted:

    app = PerfwatchMiddleware(app)             # ASGI: Starlette, FastAPI, Django's asgi.py
    application = PerfwatchWSGI(application)   # WSGI: Django's wsgi.py
    app.wsgi_app = PerfwatchWSGI(app.wsgi_app) # Flask

Put it around everything else. It does nothing until `perfwatch --spans` listens; then each request is told, in one
message on a Unix socket that only this user can open: method, path without the query, the route's name, status, the
class of an exception that came through, times of CLOCK_MONOTONIC. A request on a path that was slow before is
profiled, and if it is slow too, its call tree is told: pyinstrument's, which follows one request through its awaits.

It never waits, and never raises: what the socket does not take is dropped, and counted. While pyinstrument runs, a
call of a function takes up to 3 times as long (from Python 3.12 on up to 1.6 times also in other threads); so trees
are made in a tenth of the time at most, and with `slow_ms=None` never. That is also for applications on an event loop
that start pyinstrument themselves: of one context there can be one profile.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
import threading
import time
from contextlib import suppress
from itertools import islice
from typing import Any, Callable, Iterator, Tuple
from urllib.parse import quote

try:
    from pyinstrument import stack_sampler
except ImportError:  # spans without trees
    stack_sampler = None  # type: ignore[assignment]

SLOW_MS = 100.0
"""From here on a request is slow enough for a call tree, unless told otherwise."""
RETRY_S = 1.0
"""Between two looks for a perfwatch that listens."""
MAX_BYTES = 60_000
"""Of a message; less than any socket's buffer."""
MAX_CHARS = 256
"""Of each name in it."""

INTERVAL_S = 0.005
TREE_SHARE = 0.1
"""Of the time, for which trees may be made: their durations, added up."""
CREDIT_S = 2.0
"""So much of that may be saved up."""
TREE_LIMIT_S = 30.0
"""Of one request; what it does after that is in no tree."""
MAX_TREES = 4
"""At once, in this process."""
MISSES = 20
"""After so many fast requests in a row a path is not slow any more."""
MAX_PATHS = 256
"""That are remembered: the slow ones, and those whose routes were looked up."""
MAX_STACKS = 512
"""Of a tree; beyond it, time is told without saying where."""
MAX_FRAMES = 128

_SEEN = "perfwatch.seen"
_SERVER_FAILED = 500
_DIGIT = re.compile(r"\d")
_SOCKET_KIND: int | None = getattr(socket, "SOCK_SEQPACKET", None)
_SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0) | getattr(socket, "MSG_DONTWAIT", 0)

Stack = Tuple[str, ...]
"""As pyinstrument tells frames: `name NUL file NUL first line`, with attributes; the outermost first."""


class PerfwatchMiddleware:
    """ASGI 3: tells of requests; websockets, lifespans and everything else pass through."""

    def __init__(self, app: Any, slow_ms: float | None = SLOW_MS) -> None:
        self.app = app
        self._slow_ns = None if slow_ms is None else int(slow_ms * 1e6)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve, and tell of it."""
        span = _span_of(scope, _asgi_words, self._slow_ns) if scope["type"] == "http" else None
        if span is None:
            await self.app(scope, receive, send)
            return

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                span.status = message.get("status")
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                span.end()
                if not span.has_failed:  # else an exception may still come through
                    span.tell(lambda: _asgi_route(scope))

        span.begin(is_async=True)
        try:
            await self.app(scope, receive, sending)
        except BaseException as error:
            span.fail(error)
            raise
        finally:
            span.end()
            span.tell(lambda: _asgi_route(scope))


class PerfwatchWSGI:
    """WSGI: tells of requests; one ends when its body is closed."""

    def __init__(self, app: Any, slow_ms: float | None = SLOW_MS) -> None:
        self.app = app
        self._slow_ns = None if slow_ms is None else int(slow_ms * 1e6)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve, and tell of it when the body is closed."""
        span = _span_of(environ, _wsgi_words, self._slow_ns)
        if span is None:
            return self.app(environ, start_response)

        def starting(status: str, headers: Any, *rest: Any) -> Any:
            with suppress(Exception):
                span.status = int(status[:3])
                span.rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
            return start_response(status, headers, *rest)

        span.begin(is_async=False)
        try:
            body = self.app(environ, starting)
        except BaseException as error:
            span.fail(error)
            span.end()
            span.tell(lambda: _wsgi_route(environ, span.rule))
            raise
        return _watched(body, span, environ)


class _Body:
    """A response's body, which ends its span when the server closes it."""

    def __init__(self, body: Any, span: _Span, environ: dict[str, Any]) -> None:
        self._body = body
        self._close = getattr(body, "close", None)
        self._iterator: Iterator[Any] | None = None
        self._span = span
        self._environ = environ

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> Any:
        self._span.go_on()
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            self._span.fail(error)
            raise

    def close(self) -> None:
        """Close the application's body, and end."""
        try:
            if self._close is not None:
                self._close()
        finally:
            self._span.end()
            self._span.tell(lambda: _wsgi_route(self._environ, self._span.rule))


class _SizedBody(_Body):
    """One that servers may ask for its length, to say how long the response is."""

    def __len__(self) -> int:
        return len(self._body)


def _watched(body: Any, span: _Span, environ: dict[str, Any]) -> Any:
    watched = (_SizedBody if hasattr(body, "__len__") else _Body)(body, span, environ)
    file_wrapper = environ.get("wsgi.file_wrapper")
    is_file = isinstance(file_wrapper, type) and isinstance(body, file_wrapper)
    if not is_file:
        return watched
    try:
        body.close = watched.close  # the server has to find its own class, to send the file by sendfile(2)
    except (AttributeError, TypeError):
        span.end()
        span.tell(lambda: _wsgi_route(environ, span.rule))
    return body


class _Span:
    """One request, from the moment it reaches the middleware."""

    __slots__ = (
        "_ended_ns",
        "_is_told",
        "_method",
        "_slow_ns",
        "_started_ns",
        "_target",
        "_tree",
        "error",
        "rule",
        "status",
    )

    def __init__(self, method: str | None, target: str, slow_ns: int | None) -> None:
        self._started_ns = time.monotonic_ns()
        self._ended_ns = 0
        self._method = method
        self._target = target
        self._slow_ns = slow_ns
        self._tree: _Tree | None = None
        self._is_told = False
        self.status: int | None = None
        self.error: str | None = None
        self.rule: Any = None
        """Flask's, which forgets it before its body is closed."""

    @property
    def has_failed(self) -> bool:
        """Whether the answer is that the server failed."""
        return self.status is not None and self.status >= _SERVER_FAILED

    def begin(self, *, is_async: bool) -> None:
        """Profile it, where a request of this path was slow before."""
        if self._slow_ns is None:
            return
        with suppress(Exception):
            self._tree = _trees.begin(self._target, is_async=is_async)

    def go_on(self) -> None:
        """Let no stream be profiled for ever."""
        if self._tree is not None and self._tree.seconds > TREE_LIMIT_S:
            with suppress(Exception):
                self._tree.stop()

    def fail(self, error: BaseException) -> None:
        """Note what came through: its class, never its words."""
        self.error = type(error).__qualname__

    def end(self) -> None:
        """Note that it ended, the first time."""
        if self._ended_ns:
            return
        self._ended_ns = time.monotonic_ns()
        if self._slow_ns is None:
            return
        with suppress(Exception):
            is_slow = self._ended_ns - self._started_ns >= self._slow_ns
            self._tree = _trees.end(self._tree, self._target, is_slow=is_slow)

    def tell(self, route: Callable[[], str | None]) -> None:
        """Tell of it, the first time."""
        if self._is_told:
            return
        self._is_told = True
        with suppress(Exception):
            dropped = _line.dropped
            span = {
                "perfwatch": 1,
                "started_ns": self._started_ns,
                "ended_ns": self._ended_ns,
                "tid": threading.get_native_id(),
                "method": self._method,
                "target": self._target,
                "route": _cut(_quietly(route)),
                "status": self.status,
                "error": _cut(self.error),
                "dropped": dropped,
            }
            _line.send(_encode(span, self._tree), dropped)


def _span_of(place: Any, words: Callable[[Any], tuple[str | None, str]], slow_ns: int | None) -> _Span | None:
    """Begin the span of a scope or environ; None where nobody listens, or another middleware tells of it."""
    if not _line.ready() or _SEEN in place:
        return None
    try:
        method, target = words(place)
    except Exception:  # noqa: BLE001 - whatever a server put there: its request is served as if nobody listened
        return None
    place[_SEEN] = True
    return _Span(_cut(method), target[:MAX_CHARS], slow_ns)


class _Line:
    """The socket to perfwatch, looked for at most once a second."""

    def __init__(self) -> None:
        self._retry_at = 0.0
        self._socket: _Socket | None = None
        self._lock = threading.Lock()
        self.dropped = 0
        """Spans that the socket did not take, since one that it took."""

    def ready(self) -> bool:
        """Whether somebody listens, as far as is known."""
        if self._socket is not None:
            return True
        now = time.monotonic()
        return now >= self._retry_at and self._connect(now)

    def send(self, message: bytes, told: int) -> None:
        """Send without waiting; `told` of those that were dropped are told in the message."""
        line = self._socket
        if line is None:
            return
        lost = 0
        try:
            line.socket.send(message, _SEND_FLAGS)
            lost = -told
        except BlockingIOError:
            lost = 1
        except OSError:  # nobody listens any more
            self._socket = None
        if lost:
            with self._lock:
                self.dropped += lost

    def _connect(self, now: float) -> bool:
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._retry_at = now + RETRY_S
            self._socket = next(filter(None, map(_connected, _socket_paths())), None)
            self.dropped = 0
        finally:
            self._lock.release()
        return self._socket is not None


class _Socket:
    """A socket that closes when the last thread has let go of it.

    Closed while another thread is about to send, its number may be that of another file by then.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    def __del__(self) -> None:
        self.socket.close()


def _socket_paths() -> list[str]:
    """Where perfwatch may listen; it looks at the same places, in this order."""
    chosen = os.environ.get("PERFWATCH_SOCKET")
    if chosen:
        return [chosen]
    user = os.geteuid()
    return [f"/run/user/{user}/perfwatch/spans.sock", f"/tmp/perfwatch-{user}/spans.sock"]  # noqa: S108 - see _is_ours


def _connected(path: str) -> _Socket | None:
    if _SOCKET_KIND is None or not _is_ours(path):
        return None
    try:
        line = socket.socket(socket.AF_UNIX, _SOCKET_KIND)
    except OSError:
        return None
    try:
        line.settimeout(0)
        line.connect(path)
    except OSError:
        line.close()
        return None
    return _Socket(line)


def _is_ours(path: str) -> bool:
    """Whether only this user (and root) can have made what is there: anybody may make names in /tmp."""
    try:
        directory, found = os.lstat(os.path.dirname(path)), os.lstat(path)  # noqa: PTH120 - pathlib costs more
    except OSError:
        return False
    return (
        stat.S_ISDIR(directory.st_mode)
        and stat.S_ISSOCK(found.st_mode)
        and directory.st_uid == found.st_uid == os.geteuid()
        and not (directory.st_mode | found.st_mode) & 0o077
    )


class _Trees:
    """Decides which requests are profiled."""

    def __init__(self) -> None:
        self._slow_paths: dict[str, int] = {}
        """And how many fast requests in a row each may still have."""
        self._lock = threading.Lock()
        self._begun: list[_Tree] = []
        self._credit_s = CREDIT_S
        self._counted_at = time.monotonic()

    def begin(self, target: str, *, is_async: bool) -> _Tree | None:
        """Start a profile, if the path was slow before and there is time for it."""
        if stack_sampler is None or not (self._slow_paths or self._begun):
            return None
        with self._lock:
            self._clean_up()
            if _path_of(target) not in self._slow_paths or not self._has_room():
                return None
            tree = _Tree(is_async=is_async)
            if not tree.start():
                return None
            self._begun.append(tree)
            return tree

    def end(self, tree: _Tree | None, target: str, *, is_slow: bool) -> _Tree | None:
        """End a request, and its profile; returns that if it is to be told."""
        if tree is None and not is_slow:
            return None
        with self._lock:
            if is_slow:
                self._note(_path_of(target))
            if tree is None:
                return None
            self._drop(tree)
            if not is_slow:
                self._miss(_path_of(target))
                return None
            return tree

    def _note(self, path: str) -> None:
        if len(self._slow_paths) >= MAX_PATHS:
            del self._slow_paths[next(iter(self._slow_paths))]
        self._slow_paths[path] = MISSES

    def _miss(self, path: str) -> None:
        left = self._slow_paths.pop(path, 1) - 1
        if left > 0:
            self._slow_paths[path] = left

    def _has_room(self) -> bool:
        now = time.monotonic()
        self._credit_s = min(self._credit_s + TREE_SHARE * (now - self._counted_at), CREDIT_S)
        self._counted_at = now
        return self._credit_s > 0 and sum(tree.is_running for tree in self._begun) < MAX_TREES

    def _drop(self, tree: _Tree) -> None:
        if tree.stop() and tree in self._begun:
            self._begun.remove(tree)
            self._credit_s -= tree.seconds

    def _clean_up(self) -> None:
        """End what a request left on this thread that was closed on another one, or never."""
        for tree in self._begun[:]:
            if tree.is_left_on_this_thread:
                self._drop(tree)


class _Tree:
    """What pyinstrument's sampler of a thread saw of one request: time by stack."""

    def __init__(self, *, is_async: bool) -> None:
        self.spent_ns: dict[Stack, int] = {}
        self.elsewhere_ns = 0
        self._is_async = is_async
        self._sampler: Any = None
        self._base: Stack = ()
        self._thread = threading.get_ident()
        self._timer: Any = None
        self._began = self._stopped = 0.0
        self._is_abandoned = False

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return (self._stopped or time.perf_counter()) - self._began

    @property
    def is_running(self) -> bool:
        """Whether it is at it; what has not ended in time went down with its event loop."""
        return not self._stopped and self.seconds < 2 * TREE_LIMIT_S

    @property
    def is_left_on_this_thread(self) -> bool:
        """Whether it still runs here, where it should not: a new request begins, or its own ended elsewhere."""
        is_over = self._is_abandoned or not self._is_async
        return is_over and not self._stopped and self._thread == threading.get_ident()

    def start(self) -> bool:
        """Start it on this thread, of an async request in this context; returns whether that was possible."""
        sampler = stack_sampler.get_stack_sampler()
        if not sampler.subscribers and sys.getprofile() is not None:
            return False  # somebody else's profiler
        if self._is_async:
            _forget_stale(sampler)
        elif sampler.subscribers or "gevent" in sys.modules or "eventlet" in sys.modules:
            return False  # greenlets share their thread's profile function
        self._base = tuple(_frame_ids(stack_sampler.build_call_stack(sys._getframe(), "initial", None)))  # noqa: SLF001
        self._began = time.perf_counter()
        sampler.has_warned_about_timing_overhead = True  # it would do so on the server's stderr
        try:
            sampler.subscribe(self._saw, desired_interval=INTERVAL_S, use_async_context=self._is_async)
        except RuntimeError:  # one runs in this context
            return False
        self._sampler = sampler
        asyncio = sys.modules.get("asyncio")
        if self._is_async and asyncio is not None:
            with suppress(RuntimeError):  # another kind of loop
                self._timer = asyncio.get_running_loop().call_later(TREE_LIMIT_S, self._pause)
        return True

    def stop(self) -> bool:
        """Stop it; returns whether that was possible: this is its thread."""
        self._pause()
        if not self._stopped:
            self._is_abandoned = True
            return False
        if self._timer is not None:
            self._timer.cancel()
        if self._is_async:
            _forget_stale(self._sampler)  # of this context; `_pause` may have run in another one
        return True

    def _pause(self) -> None:
        if not self._stopped and self._thread == threading.get_ident():
            self._stopped = time.perf_counter()
            self._sampler.unsubscribe(self._saw)

    def _saw(self, stack: list[str], spent_s: float, state: Any) -> None:
        """Take a reading. What is raised here would be raised in the middle of the application."""
        with suppress(Exception):
            if state is not None and state.state != "in_context":
                mark = "[await]" if state.state == "out_of_context_awaited" else "[out-of-context]"
                stack = [*state.info, mark]
            # The sampler's last reading may be older than this tree.
            spent_ns = int(min(spent_s, time.perf_counter() - self._began) * 1e9)
            key = self._own(stack)
            if key in self.spent_ns or len(self.spent_ns) < MAX_STACKS:
                self.spent_ns[key] = self.spent_ns.get(key, 0) + spent_ns
            else:
                self.elsewhere_ns += spent_ns

    def _own(self, stack: list[str]) -> Stack:
        """Return what is below the middleware; of a task that the request started, what is below the event loop."""
        at = 0
        for frame, known in zip(_frame_ids(stack), self._base):
            if frame != known:
                break
            at += 1
        if at < len(stack) and _HERE in stack[at]:
            at += 1
        return tuple(stack[at:][-MAX_FRAMES:])


def _forget_stale(sampler: Any) -> None:
    """Clear this context's mark of a profile that has ended.

    A server that resumes reading within a request starts the connection's next one in a copy of its context.
    """
    active = stack_sampler.active_profiler_context_var
    marked = active.get()
    if marked is not None and all(subscriber.target != marked for subscriber in sampler.subscribers):
        active.set(None)


def _frame_ids(stack: list[str]) -> Iterator[str]:
    return (frame.partition("\x01")[0] for frame in stack)


def _encode(span: dict[str, Any], tree: _Tree | None) -> bytes:
    """Return the message; a tree that is too large loses its smallest branches."""
    if tree is not None:
        message = _dumped({**span, **_told(tree)})
        if len(message) <= MAX_BYTES:
            return message
    return _dumped(span)


def _told(tree: _Tree) -> dict[str, Any]:
    """Return frames, each once, and the time of each stack; the last stack is empty, for what is left out."""
    places: dict[str, int] = {}
    stacks: list[list[int]] = []
    spent_ns: list[int] = []
    left_ns, size = tree.elsewhere_ns, 1_000
    for stack, ns in sorted(tree.spent_ns.items(), key=lambda item: -item[1]):
        new = {frame for frame in stack if frame not in places}
        size += sum(len(frame.encode("utf-8", "replace")) + 24 for frame in new) + 6 * len(stack) + 24
        if size > MAX_BYTES:
            left_ns += ns
            continue
        stacks.append([places.setdefault(frame, len(places)) for frame in reversed(stack)])
        spent_ns.append(ns)
    if left_ns:
        stacks.append([])
        spent_ns.append(left_ns)
    return {"frames": [_frame(frame) for frame in places], "stacks": stacks, "spent_ns": spent_ns}


def _frame(told: str) -> tuple[str, str, int, bool]:
    """Turn pyinstrument's `name NUL file NUL first line`, with attributes, into function, file, line, is native."""
    identifier, *attributes = told.split("\x01")
    name, _, rest = identifier.partition("\x00")
    file, _, line = rest.partition("\x00")
    said = {attribute[:1]: attribute[1:] for attribute in attributes}
    if said.get("c"):
        name = f"{said['c']}.{name}"
    is_native = file == "<built-in>"
    line = said.get("l") or line
    return name[:MAX_CHARS], "" if is_native else file[-MAX_CHARS:], int(line) if line.isdecimal() else 0, is_native


def _dumped(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _cut(text: str | None) -> str | None:
    return None if text is None else str(text)[:MAX_CHARS]


def _quietly(find: Callable[[], str | None]) -> str | None:
    try:
        return find()
    except Exception:  # noqa: BLE001 - whatever a framework's objects do: the span goes without its route
        return None


def _path_of(target: str) -> str:
    """Return the path with everything variable left out, as far as digits tell."""
    return "/".join("{}" if _DIGIT.search(part) else part for part in target.split("/"))


def _asgi_words(scope: Any) -> tuple[str | None, str]:
    """Return method and path, as they were sent."""
    raw, root = scope.get("raw_path"), scope.get("root_path") or ""
    path = str(raw.decode("utf-8", "replace").partition("?")[0] if raw else quote(scope["path"]))
    # uvicorn puts in front what it was told as --root-path.
    return scope["method"], path[len(root) :] if path.startswith(root) else path


def _wsgi_words(environ: dict[str, Any]) -> tuple[str | None, str]:
    """Return method and path, as they were sent."""
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if not raw:
        raw = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), encoding="latin-1")
    path = raw.encode("latin-1", "replace").decode("utf-8", "replace").partition("?")[0]
    return environ.get("REQUEST_METHOD"), path


def _asgi_route(scope: Any) -> str | None:
    """Return the route's template: FastAPI's, Starlette's or Django's."""
    effective = (scope.get("fastapi") or {}).get("effective_route_context")
    path = getattr(effective, "path", None)
    if path is None:
        found = _starlette_route(scope)
        if found is not None:
            return found
        path = getattr(scope.get("route"), "path", None)
    return _django_route(scope["path"]) if path is None else _mount_of(scope, path) + str(path)


def _mount_of(scope: Any, path: str) -> str:
    """Return what the mounts that the request went through put in front of its route, with their parameters' names."""
    if "app_root_path" not in scope:
        return ""  # none
    mount = str(scope["root_path"])[len(scope["app_root_path"]) :]
    for name, value in scope.get("path_params", {}).items():
        if f"{{{name}" not in path:
            mount = mount.replace(f"/{value}", f"/{{{name}}}", 1)
    return mount


def _starlette_route(scope: Any) -> str | None:
    """Search the function that was called among the routes, once: more than that an older Starlette does not tell."""
    endpoint, router = scope.get("endpoint"), scope.get("router")
    if endpoint is None or router is None:
        return None
    if endpoint in _starlette_routes:
        return _starlette_routes[endpoint]
    found = set(islice(_paths_to(endpoint, router.routes, "", 4), 2))
    return _remember(_starlette_routes, endpoint, found.pop() if len(found) == 1 else None)


def _paths_to(endpoint: Any, routes: Any, before: str, depth: int) -> Iterator[str]:
    for route in routes:
        path = before + getattr(route, "path", "")
        if endpoint is getattr(route, "endpoint", None):
            yield path
        elif endpoint is getattr(route, "app", None):
            yield path + "/{path}"
        elif depth:
            yield from _paths_to(endpoint, getattr(route, "routes", None) or (), path, depth - 1)


def _wsgi_route(environ: dict[str, Any], rule: Any) -> str | None:
    """Return the route's template: Flask's or Django's."""
    if rule is not None:
        return str(environ.get("SCRIPT_NAME", "") + rule.rule)
    return _django_route(environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace"))


def _django_route(path: str) -> str | None:
    """Resolve the path as Django has done: its requests cannot be reached from here. The last paths are remembered."""
    configured = sys.modules.get("django.conf")
    if configured is None or not configured.settings.configured:
        return None
    if path in _django_routes:
        return _django_routes[path]
    urls = sys.modules["django.urls"]
    try:
        route = "/" + urls.resolve(path).route
    except urls.Resolver404:
        route = None
    return _remember(_django_routes, path, route)


def _remember(routes: dict[Any, str | None], key: Any, route: str | None) -> str | None:
    if len(routes) >= MAX_PATHS:
        routes.clear()
    routes[key] = route
    return route


_HERE = f"\x00{_frame_ids.__code__.co_filename}\x00"
_starlette_routes: dict[Any, str | None] = {}
_django_routes: dict[str, str | None] = {}
_trees = _Trees()
_line = _Line()


def _begin_anew() -> None:
    """In a forked child: share no socket with the parent, and no lock that was held at that moment."""
    global _line, _trees
    _line, _trees = _Line(), _Trees()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

"""The middleware by itself, in the interpreter of the tests, told to a real probe."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import stat
import sys
import threading
import time
from pathlib import Path
from wsgiref.util import FileWrapper

import pytest
import telling
from pyinstrument import Profiler
from pyinstrument.stack_sampler import active_profiler_context_var, get_stack_sampler

from perfwatch.probes.readers.doors import VARIABLE
from perfwatch.probes.readers.span_messages import parse_message

SLOW_S = 0.1


@pytest.fixture(name="place", autouse=True)
def choose_place(tmp_path, monkeypatch):
    path = tmp_path / "perfwatch" / "spans.sock"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


@pytest.fixture(name="middleware")
def load():
    """The module, new: what it has for the process, each test has for itself."""
    spec = importlib.util.spec_from_file_location(
        "perfwatch_middleware", telling.MIDDLEWARE / "perfwatch_middleware.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    assert not get_stack_sampler().subscribers
    assert sys.getprofile() is None


@pytest.fixture(name="heard")
def listen():
    with telling.listening(os.getpid()) as heard:
        yield heard


def get(app, path="/", **environ):
    """Serve one request as a server does; returns what it sent."""
    body = app({"REQUEST_METHOD": "GET", "PATH_INFO": path, **environ}, lambda *_: None)
    try:
        return b"".join(body)
    finally:
        getattr(body, "close", list)()


async def ask(app, path="/", **scope):
    """Serve one request as an ASGI server does; returns the messages that it sent."""
    sent = []

    async def send(message):
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), **scope}, None, send)
    return sent


def milliseconds(path):
    """Return the number at a path's end; 0 without one."""
    number = path.rpartition("/")[2]
    return int(number) / 1000 if number.isdecimal() else 0


def plain(environ, start_response):
    """Sleep as long as the path says, in milliseconds."""
    time.sleep(milliseconds(environ["PATH_INFO"]))
    start_response("200 OK", [])
    return [b"ok"]


async def answer(send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ok"})


async def plain_async(scope, receive, send):
    await asyncio.sleep(milliseconds(scope["path"]))
    await answer(send)


class Body:
    """A body that counts how often it is closed."""

    def __init__(self, parts):
        self.parts = parts
        self.closed = 0

    def __iter__(self):
        return iter(self.parts)

    def close(self):
        self.closed += 1


def test_without_a_perfwatch_nothing_is_wrapped_and_it_is_looked_for_once_a_second(middleware, monkeypatch):
    looked = []
    monkeypatch.setattr(middleware, "_is_ours", looked.append)
    body = [b"ok"]
    app = middleware.PerfwatchWSGI(lambda environ, start: body)
    for _ in range(100):
        assert app({}, None) is body
    assert len(looked) == 1


def test_what_is_no_request_passes_through(middleware, heard):
    passed = []

    async def app(scope, receive, send):
        passed.append((scope, receive, send))

    told = middleware.PerfwatchMiddleware(app)
    for kind in ("lifespan", "websocket"):
        scope = {"type": kind}
        asyncio.run(told(scope, "receive", "send"))
        assert passed.pop() == (scope, "receive", "send")
        assert scope == {"type": kind}
    asyncio.run(ask(middleware.PerfwatchMiddleware(plain_async)))
    assert len(heard.spans(1)) == 1


def test_of_two_around_one_application_the_outer_one_tells(middleware, heard):
    get(middleware.PerfwatchWSGI(middleware.PerfwatchWSGI(plain)), "/twice")
    asyncio.run(ask(middleware.PerfwatchMiddleware(middleware.PerfwatchMiddleware(plain_async)), "/twice"))
    get(middleware.PerfwatchWSGI(plain), "/last")
    assert [span.target for span in heard.spans(3)] == ["/twice", "/twice", "/last"]


def test_a_body_is_what_it_was_to_the_server(middleware, heard):
    body = Body([b"a", b"b"])
    sized = middleware.PerfwatchWSGI(lambda environ, start: [b"a", b"b"])({}, None)
    assert len(sized) == 2
    plain_body = middleware.PerfwatchWSGI(lambda environ, start: body)({}, None)
    assert not hasattr(plain_body, "__len__")
    assert list(plain_body) == [b"a", b"b"]
    assert not telling.spans_of(heard.probe.read(time.monotonic_ns())), "it has not been closed"
    plain_body.close()
    assert body.closed == 1
    heard.spans(1)


def test_a_file_stays_of_the_servers_own_class(middleware, heard, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with (tmp_path / "file").open("rb") as file:
        app = middleware.PerfwatchWSGI(lambda environ, start: environ["wsgi.file_wrapper"](file))
        body = app({"wsgi.file_wrapper": FileWrapper}, None)
        assert type(body) is FileWrapper
        assert list(body) == [b"content"]
        body.close()
        assert file.closed
    heard.spans(1)


def test_what_is_raised_while_the_body_is_sent_passes_through(middleware, heard):
    def parts():
        yield b"a"
        raise LookupError("secret")

    body = Body(parts())
    with pytest.raises(LookupError, match="secret"):
        get(middleware.PerfwatchWSGI(lambda environ, start: body))
    assert body.closed == 1
    (span,) = heard.spans(1)
    assert span.error == "LookupError"


def test_a_request_that_is_given_up_is_told(middleware, heard):
    async def scenario():
        task = asyncio.ensure_future(ask(middleware.PerfwatchMiddleware(plain_async), "/60000"))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    (span,) = heard.spans(1)
    assert (span.status, span.error) == (None, "CancelledError")


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"RAW_URI": "/a%20b?secret=1", "PATH_INFO": "/a b"}, "/a%20b"),
        ({"REQUEST_URI": "/a%2Fb?secret=1", "PATH_INFO": "/a/b"}, "/a%2Fb"),
        ({"SCRIPT_NAME": "/shop", "PATH_INFO": "/\xc3\xa4 b", "QUERY_STRING": "secret=1"}, "/shop/%C3%A4%20b"),
        ({"RAW_URI": "/\xc3\xa4?secret"}, "/ä"),
        ({"RAW_URI": "/\xff"}, "/\ufffd"),
        ({"RAW_URI": "/" + "x" * 300}, "/" + "x" * 255),
        ({}, ""),
    ],
)
def test_the_target_is_the_path_as_it_was_sent(middleware, heard, environ, target):
    app = middleware.PerfwatchWSGI(lambda environ, start: [])
    body = app(environ, None)
    body.close()
    assert heard.spans(1)[0].target == target


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        ({"raw_path": b"/a%20b", "path": "/a b"}, "/a%20b"),
        ({"raw_path": b"/a?secret=1", "path": "/a"}, "/a"),
        ({"raw_path": None, "path": "/a b"}, "/a%20b"),
        ({"raw_path": b"/root/a", "path": "/root/a", "root_path": "/root"}, "/a"),
        ({"raw_path": b"/a", "path": "/a", "root_path": "/root"}, "/a"),
    ],
)
def test_the_target_of_an_asgi_request_is_the_path_as_it_was_sent(middleware, heard, scope, target):
    async def app(scope, receive, send):
        await answer(send)

    asyncio.run(ask(middleware.PerfwatchMiddleware(app), **scope))
    assert heard.spans(1)[0].target == target


@pytest.mark.parametrize("environ", [{"PATH_INFO": "/\u20ac"}, {"RAW_URI": 7}, {"PATH_INFO": None}])
def test_what_a_server_should_not_have_put_there_is_served_all_the_same(middleware, heard, environ):
    body = [b"ok"]
    assert middleware.PerfwatchWSGI(lambda environ, start: body)(environ, None) is body


def test_without_trees_there_are_spans_alone(middleware, heard):
    app = middleware.PerfwatchWSGI(plain, slow_ms=None)
    told = middleware.PerfwatchMiddleware(plain_async, slow_ms=None)
    for _ in range(2):
        get(app, "/a/120")
        asyncio.run(ask(told, "/a/120"))
    assert [span.spent_ns for span in heard.spans(4)] == [()] * 4


def test_a_path_gets_trees_until_it_was_fast_for_a_while(middleware, heard):
    app = middleware.PerfwatchWSGI(plain, slow_ms=SLOW_S * 1000)
    get(app, "/first/110")
    get(app, "/second/110")
    get(app, "/second/0")
    for number in range(middleware.MISSES):
        get(app, f"/first/{number % 3}")
    assert "/first/{}" not in middleware._trees._slow_paths
    assert "/second/{}" in middleware._trees._slow_paths
    assert not middleware._trees._begun


def test_a_tree_adds_up_and_names_where_the_time_went(middleware, heard):
    app = middleware.PerfwatchWSGI(plain)
    get(app, "/a/110")
    get(app, "/a/120")
    first, second = heard.spans(2)
    assert not first.spent_ns
    lasted_ns = second.ended_ns - second.started_ns
    assert 0.9 * lasted_ns < telling.time_in_ns(second, "sleep") <= sum(second.spent_ns) <= lasted_ns
    (stack,) = (second.code.stack(place) for place in range(len(second.spent_ns)) if second.spent_ns[place] > 1e8)
    assert [frame.function for frame in stack] == ["sleep", "plain"]
    assert stack[0].is_native
    assert not stack[1].is_native
    assert (stack[1].file, stack[1].line) == (__file__, plain.__code__.co_firstlineno + 2)


def test_trees_are_made_in_a_tenth_of_the_time(middleware, heard):
    app = middleware.PerfwatchWSGI(plain, slow_ms=1)
    get(app, "/a/5")
    middleware._trees._credit_s = 0.15
    for _ in range(4):
        get(app, "/a/100")
    with_trees = [bool(span.spent_ns) for span in heard.spans(5)]
    assert with_trees[:3] == [False, True, True]
    assert with_trees[3:] == [False, False]


def test_at_most_four_trees_are_made_at_once(middleware, heard):
    app = middleware.PerfwatchMiddleware(plain_async, slow_ms=20)

    async def scenario():
        await ask(app, "/a/30")
        await asyncio.gather(*(ask(app, "/a/60") for _ in range(7)))

    asyncio.run(scenario())
    assert sum(bool(span.spent_ns) for span in heard.spans(8)) == middleware.MAX_TREES


def test_somebody_elses_profiler_is_left_alone(middleware, heard):
    app = middleware.PerfwatchWSGI(plain, slow_ms=10)
    told = middleware.PerfwatchMiddleware(plain_async, slow_ms=10)
    get(app, "/a/20")
    with Profiler(interval=0.001) as profiler:
        get(app, "/a/20")
        asyncio.run(ask(told, "/a/20"))
    assert profiler.last_session.sample_count
    calls = []
    sys.setprofile(lambda frame, event, argument: calls.append(event))
    try:
        get(app, "/a/20")
    finally:
        sys.setprofile(None)
    assert calls
    assert not any(span.spent_ns for span in heard.spans(4))


def test_a_context_that_was_copied_within_a_profile_can_be_profiled_again(middleware, heard):
    """As of a connection whose server resumed reading within a request."""
    app = middleware.PerfwatchMiddleware(plain_async, slow_ms=10)
    copies = []

    async def keeping(scope, receive, send):
        copies.append(asyncio.ensure_future(later()))
        await plain_async(scope, receive, send)

    async def later():
        await asyncio.sleep(0.05)
        assert active_profiler_context_var.get() is not None
        await ask(app, "/a/20")

    async def scenario():
        await ask(app, "/a/20")
        await ask(middleware.PerfwatchMiddleware(keeping, slow_ms=10), "/a/20")
        assert active_profiler_context_var.get() is None
        await asyncio.gather(*copies)

    asyncio.run(scenario())
    assert [bool(span.spent_ns) for span in heard.spans(3)] == [False, True, True]


def test_a_profile_of_a_stream_ends_at_its_limit(middleware, heard, monkeypatch):
    monkeypatch.setattr(middleware, "TREE_LIMIT_S", 0.2)
    running = []

    def app(environ, start_response):
        for _ in range(4):
            time.sleep(0.12)
            running.append(sys.getprofile() is not None)
            yield b"part"

    async def app_async(scope, receive, send):
        for _ in range(4):
            await asyncio.sleep(0.12)
            running.append(sys.getprofile() is not None)
        await answer(send)

    told = middleware.PerfwatchWSGI(app, slow_ms=10)
    get(told)
    get(told)
    assert running == [False] * 4 + [True, True, False, False]
    running.clear()
    asyncio.run(ask(middleware.PerfwatchMiddleware(app_async, slow_ms=10)))
    assert running == [True, False, False, False]
    spans = heard.spans(3)
    assert all(0 < sum(span.spent_ns) < 360_000_000 for span in spans[1:])


def test_a_request_that_is_closed_on_another_thread_leaves_no_profile(middleware, heard):
    app = middleware.PerfwatchWSGI(plain, slow_ms=10)
    get(app, "/a/20")
    body = app({"PATH_INFO": "/a/20"}, lambda *_: None)
    assert sys.getprofile() is not None
    closing = threading.Thread(target=body.close)
    closing.start()
    closing.join()
    get(app, "/b/0")
    assert sys.getprofile() is None
    assert len(heard.spans(3)) == 3


def test_a_tree_that_is_too_large_loses_its_smallest_branches(middleware, heard):
    tree = middleware._Tree(is_async=False)
    for number in range(middleware.MAX_STACKS + 5):
        frames = [
            f"f{number}_{depth}\x00/long/{'x' * 150}/{number}.py\x00{depth}\x01l{depth + 7}" for depth in range(20)
        ]
        tree._saw(["thread", *frames], 0, None)
        key = tree._own(["thread", *frames])
        if key in tree.spent_ns:
            tree.spent_ns[key] = number + 1
    tree.elsewhere_ns = 1
    whole = sum(tree.spent_ns.values()) + 1
    now_ns = time.monotonic_ns()
    span = {"perfwatch": 1, "started_ns": 0, "ended_ns": now_ns, "tid": 1, "target": "/"}
    data = middleware._encode(span, tree)
    assert 0.8 * middleware.MAX_BYTES < len(data) <= middleware.MAX_BYTES
    told = parse_message(data)
    assert sum(told.spent_ns) == whole
    assert told.stacks[-1] == ()
    kept = told.spent_ns[:-1]
    assert kept == tuple(range(middleware.MAX_STACKS, middleware.MAX_STACKS - len(kept), -1))
    assert told.frames[0] == ("f511_19", f"/long/{'x' * 150}/511.py", 26, False)


def test_a_forked_child_tells_of_itself(middleware, heard):
    app = middleware.PerfwatchWSGI(plain)
    get(app, "/parent")
    inode = os.fstat(middleware._line._socket.socket.fileno()).st_ino
    heard.spans(1)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        get(app, "/child")
        own = {entry.stat().st_ino for entry in Path("/proc/self/fd").iterdir() if entry.exists()}
        os.write(write, b"shared" if inode in own else b"apart")
        signal.pause()
    os.close(write)
    found = heard.until(lambda records: len(telling.spans_of(records)) == 2 and telling.spans_of(records))
    told = os.read(read, 10)
    os.close(read)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert [(span.pid, span.target) for span in found] == [(os.getpid(), "/parent"), (child, "/child")]
    assert told == b"apart"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: place.chmod(0o666),
        lambda place: place.parent.chmod(0o755),
        lambda place: place.parent.chmod(0o701),
        lambda place: os.chown(place, 65534, -1),
        lambda place: os.chown(place.parent, 65534, -1),
        lambda place: (place.rename(place.parent / "real"), place.symlink_to("real")),
        lambda place: (place.parent.rename(f"{place.parent}-real"), place.parent.symlink_to(f"{place.parent}-real")),
        lambda place: (place.unlink(), place.touch(0o600)),
    ],
    ids=["open socket", "open directory", "enterable", "other's socket", "other's directory", "link", "links", "file"],
)
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give things to other users")
def test_a_socket_that_another_user_may_have_put_there_is_not_called(middleware, place, spoil):
    place.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(place))
        listener.listen()
        place.chmod(0o600)
        assert middleware._connected(str(place)) is not None, "as it was"
        spoil(place)
        listener.settimeout(0)
        listener.accept()[0].close()
        assert middleware._connected(str(place)) is None
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_socket_of_another_kind_is_no_perfwatch(middleware, place):
    place.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(place))
        listener.listen()
        place.chmod(0o600)
        assert stat.S_ISSOCK(place.stat().st_mode)
        assert middleware._connected(str(place)) is None
        assert get(middleware.PerfwatchWSGI(plain)) == b"ok"


def test_without_pyinstrument_there_are_spans_without_trees(heard, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyinstrument", None)
    spec = importlib.util.spec_from_file_location("without", telling.MIDDLEWARE / "perfwatch_middleware.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = module.PerfwatchWSGI(plain, slow_ms=10)
    for _ in range(3):
        get(app, "/a/20")
    assert [span.spent_ns for span in heard.spans(3)] == [()] * 3

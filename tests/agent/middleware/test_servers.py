"""The middleware in real servers, on the oldest and the newest Python that it is for."""

from __future__ import annotations

import signal
import socket
import statistics
import subprocess
import threading

import psutil
import pytest
import serving
import targets
import telling
from ledgering import attached
from recording import PERFWATCH, recording
from sessions import read
from waiting import until

from perfwatch.agent.correlator.spans import Spans
from perfwatch.examples.http_client import Call, Connection, RequestFailed
from perfwatch.probes.readers.doors import VARIABLE
from perfwatch.probes.records import Loss

PYTHONS = ("3.8", "3.13")
MS = 1_000_000


@pytest.fixture(name="place", scope="module", autouse=True)
def choose_place(tmp_path_factory):
    """A place of their own, for these servers and these probes."""
    path = tmp_path_factory.mktemp("spans") / "perfwatch" / "spans.sock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(path))
        yield path


@pytest.fixture(
    name="python",
    params=[PYTHONS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in PYTHONS[1:])],
    scope="module",
)
def python_of(request):
    return targets.python_of(request.param)


@pytest.fixture(name="wsgi", scope="module")
def run_gunicorn(python):
    with telling.gunicorn(python, "wsgi_plain:app") as server:
        yield server


@pytest.fixture(name="asgi", scope="module")
def run_uvicorn(python):
    with telling.uvicorn(python, "asgi_fastapi:app") as server:
        yield server


def call(address, paths):
    """Request paths one after the other on one connection; returns the answers by path."""
    connection = Connection(address, serving.CALL_S)
    try:
        return {path: connection.request(Call(path), keep_body=True) for path in paths}
    finally:
        connection.close()


def call_at_once(address, *lists):
    """Request several lists of paths at the same time; returns the answers by path."""
    answers = {}
    threads = [threading.Thread(target=lambda paths=paths: answers.update(call(address, paths))) for paths in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def by_target(spans):
    found = {span.target: span for span in spans}
    assert len(found) == len(spans), "two spans of one request"
    return found


def median(apart_ns):
    """Return the median of some differences: on a busy machine any thread may lose its CPU between two clocks."""
    return statistics.median(abs(ns) for ns in apart_ns)


@pytest.mark.ledger
def test_boundaries_of_a_threaded_server_agree_with_the_ledger_and_with_the_client(wsgi):
    answers, spans, _ = assert_boundaries(wsgi, clients=3)
    assert {path: int(answer.body) for path, answer in answers.items()} == {
        path: span.tid for path, span in spans.items()
    }


@pytest.mark.ledger
def test_boundaries_of_an_event_loop_agree_with_the_ledger_and_with_the_client(asgi):
    _, spans, served = assert_boundaries(asgi, clients=1)  # of several, one waits for the loop before it begins
    assert {span.tid for span in spans.values()} == {record.tid for record in served.values()} == {asgi.pid}


def assert_boundaries(server, clients):
    count = 10 * clients
    lists = [[f"/sleep/{number}" for number in range(client, count, clients)] for client in range(clients)]
    with telling.listened_to(server) as heard, attached(server.pid) as ledger:
        answers = call_at_once(server.address, *lists)
        spans = by_target(heard.spans(count))
        served = {record.target: record for record in ledger.served(count)}
    matching = Spans()
    for span in spans.values():
        matching.take(span)
    assert spans.keys() == answers.keys() == served.keys()
    for path, span in spans.items():
        answer, record = answers[path], served[path]
        assert (span.method, span.status, span.error) == ("GET", 200, None)
        assert answer.start_ns < record.started_ns < span.started_ns
        assert span.started_ns + 20 * MS <= span.ended_ns
        assert span.pid == record.pid
        assert matching.of(record) is span
    assert median(span.started_ns - served[path].started_ns for path, span in spans.items()) < MS
    assert median(span.ended_ns - served[path].ended_ns for path, span in spans.items()) < MS
    assert median(answers[path].end_ns - span.ended_ns for path, span in spans.items()) < MS
    return answers, spans, served


def test_a_slow_path_gets_a_tree_the_second_time_and_a_fast_one_never(wsgi):
    with telling.listened_to(wsgi) as heard:
        call(wsgi.address, ["/slow/1", "/slow/2", "/sleep/1", "/sleep/2"])
        spans = by_target(heard.spans(4))
    assert [path for path, span in spans.items() if span.spent_ns] == ["/slow/2"]
    tree = spans["/slow/2"]
    lasted_ns = tree.ended_ns - tree.started_ns
    assert 0.9 * lasted_ns < sum(tree.spent_ns) <= lasted_ns
    assert telling.time_in_ns(tree, "app") >= 0.9 * sum(tree.spent_ns), "the rest is the server's, which sends it"
    assert telling.time_in_ns(tree, "burn") >= 40 * MS, "of 80 ms; what is left of 5 ms goes to what follows"
    assert telling.time_in_ns(tree, "sleep") >= 110 * MS, "of 120 ms"
    (sleep,) = (frame for frame in tree.code.frames if frame.function == "sleep")
    assert sleep.is_native
    (burn,) = {frame.file for frame in tree.code.frames if frame.function == "burn"}
    assert burn == str(telling.APPS / "wsgi_plain.py")


def test_trees_of_interleaved_requests_hold_their_own_functions_alone(asgi):
    with telling.listened_to(asgi) as heard:
        call(asgi.address, ["/apple/1", "/pear/1"])
        for number in range(2, 6):
            call_at_once(asgi.address, [f"/apple/{number}"], [f"/pear/{number}"])
            spans = by_target(heard.spans(2 * number))
            apple, pear = spans[f"/apple/{number}"], spans[f"/pear/{number}"]
            if min(apple.ended_ns, pear.ended_ns) - max(apple.started_ns, pear.started_ns) > 100 * MS:
                break
        else:
            raise AssertionError("no two were served at once")
    for span, own, others in ((apple, "apple", "pear"), (pear, "pear", "apple")):
        names = telling.functions_of(span)
        assert {own, f"burn_{own}", f"wait_{own}", "[await]"} <= names
        assert not {others, f"burn_{others}", f"wait_{others}"} & names
        lasted_ns = span.ended_ns - span.started_ns
        assert 0.9 * lasted_ns < sum(span.spent_ns) < 1.1 * lasted_ns
        assert telling.time_in_ns(span, f"burn_{own}") >= 25 * MS, "of 60 ms; what is left of 5 ms goes to what follows"
        assert telling.time_in_ns(span, "[await]") >= 80 * MS, "of 120 ms"


def test_tasks_of_a_request_are_in_its_tree(asgi):
    with telling.listened_to(asgi) as heard:
        call(asgi.address, ["/both/1", "/both/2"])
        tree = by_target(heard.spans(2))["/both/2"]
    assert {"pear", "burn_pear", "wait_pear"} <= telling.functions_of(tree)
    assert not telling.functions_of(tree) & {"_run_once", "BaseEventLoop._run_once"}


def test_what_is_streamed_ends_with_its_last_part(wsgi, asgi):
    for server in (wsgi, asgi):
        with telling.listened_to(server) as heard:
            answer = call(server.address, ["/pages"])["/pages"]
            (span,) = heard.spans(1)
        assert span.ended_ns - span.started_ns >= 100 * MS
        assert answer.end_ns - span.ended_ns < 20 * MS


def test_what_is_done_after_the_answer_is_no_part_of_the_request(asgi):
    with telling.listened_to(asgi) as heard:
        call(asgi.address, ["/after"])
        (span,) = heard.spans(1)
    assert span.ended_ns - span.started_ns < 200 * MS


def test_exceptions_pass_through_and_are_told_by_class_alone(wsgi, asgi):
    with telling.listened_to(wsgi) as heard:
        assert serving.get(wsgi.address, "/raise")[0] == 500
        with pytest.raises(RequestFailed, match="cut off"):
            serving.get(wsgi.address, "/broken")
        raised, broken = heard.spans(2)
    assert (raised.target, raised.status, raised.error) == ("/raise", None, "KeyError")
    assert (broken.target, broken.status, broken.error) == ("/broken", 200, "LookupError")
    with telling.listened_to(asgi) as heard:
        assert serving.get(asgi.address, "/raise")[0] == 500
        (span,) = heard.spans(1)
    assert (span.status, span.error) == (500, "KeyError")
    until(lambda: asgi.log.read_text().rstrip().endswith("KeyError: 'secret'"))


def test_a_lifespan_passes_through(asgi):
    assert serving.get(asgi.address, "/") == (200, b'["lifespan"]')


def test_a_file_is_sent(wsgi):
    with telling.listened_to(wsgi) as heard:
        status, body = serving.get(wsgi.address, "/file")
        (span,) = heard.spans(1)
    assert status == 200
    assert b"wsgi.file_wrapper" in body
    assert span.status == 200


@pytest.mark.parametrize(
    ("server", "app", "path", "route"),
    [
        ("gunicorn", "wsgi_flask:app", "/users/7/posts/first", "/users/<int:user>/posts/<slug>"),
        ("gunicorn", "django_site:wsgi", "/users/7/posts/first", "/users/<int:user>/posts/<slug:slug>"),
        ("uvicorn", "django_site:asgi", "/users/7/posts/first", "/users/<int:user>/posts/<slug:slug>"),
        ("uvicorn", "asgi_fastapi:app", "/v1/users/7/posts/first", "/v1/users/{user}/posts/{slug}"),
        ("uvicorn", "asgi_fastapi:app", "/tenants/a/items/x/y", "/tenants/{tenant}/items/{item:path}"),
        ("uvicorn", "asgi_starlette:app", "/users/7/posts/first", "/users/{user:int}/posts/{slug}"),
        ("gunicorn", "wsgi_plain:app", "/users/7/posts/first", None),
    ],
)
def test_the_route_is_told_as_the_framework_spells_it(python, server, app, path, route):
    with getattr(telling, server)(python, app) as running, telling.listened_to(running) as heard:
        assert serving.get(running.address, path + "?secret=1")[0] in (200, 422)
        assert serving.get(running.address, "/not/there?secret=2")[0] in (200, 404)
        spans = by_target(heard.spans(2))
    assert {target: span.route for target, span in spans.items()} == {path: route, "/not/there": None}


def test_perfwatch_listens_only_when_asked(asgi, place):
    with recording(asgi.pid) as running:
        assert not place.exists()
        assert not [probe for probe in running.finish()["session"]["probes"] if probe["name"] == "spans"]


@pytest.mark.ledger
def test_a_recording_names_the_routes_and_keeps_the_trees(asgi, place):
    with recording(asgi.pid, options=["--spans"]) as running:
        until(lambda: serving.get(asgi.address, telling.AWAKE) and _has_called(asgi.pid))
        call(asgi.address, ["/apple/1", "/apple/2", "/v1/users/7/posts/first", "/v1/users/ann/posts/second"])
        until(lambda: len(telling.spans_of(read(running.file))) == 4)
        report = running.finish()
        records = read(running.file)
    (probe,) = [probe for probe in report["session"]["probes"] if probe["name"] == "spans"]
    assert probe["status"] == "running"
    routes = {endpoint["route"]: endpoint["count"] for endpoint in report["endpoints"]}
    assert routes.items() >= {"/apple/{number}": 2, "/v1/users/{user}/posts/{slug}": 2}.items()
    assert "burn_apple" in telling.functions_of(by_target(telling.spans_of(records))["/apple/2"])
    assert not place.exists()


def test_a_perfwatch_that_is_killed_is_not_missed_and_the_next_one_is_found(asgi, place, tmp_path):
    said = asgi.log.read_text()
    command = [PERFWATCH, "record", "--pid", str(asgi.pid), "--spans", "-o"]
    for session in ("first", "second"):
        process = subprocess.Popen([*command, tmp_path / session], stderr=subprocess.DEVNULL)
        until(place.exists)
        until(lambda: serving.get(asgi.address, "/sleep/1")[0] == 200 and _has_called(asgi.pid))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert place.exists(), "it could tidy up"
        assert serving.get(asgi.address, "/sleep/9")[0] == 200
    with telling.listened_to(asgi) as heard:
        assert serving.get(asgi.address, "/sleep/10")[0] == 200
        assert heard.spans(1)[-1].target == "/sleep/10"
    assert not place.exists()
    assert asgi.log.read_text() == said


def test_a_perfwatch_that_does_not_read_never_holds_up_the_server_and_what_was_dropped_is_counted(wsgi):
    with telling.listened_to(wsgi) as heard:
        paths = [f"/{number}" for number in range(2_000)]
        call(wsgi.address, paths)
        heard.until(lambda records: serving.get(wsgi.address, "/last") and _dropped(records))
        told = [span for span in telling.spans_of(heard.records) if span.target != "/last"]
        assert len(told) + _dropped(heard.records) == len(paths)
        assert len(told) > 100


def _dropped(records):
    return sum(record.lost for record in records if isinstance(record, Loss))


def _has_called(pid):
    """Whether a server's middleware is connected."""
    return any(end.type == socket.SOCK_SEQPACKET for end in psutil.Process(pid).net_connections("unix"))

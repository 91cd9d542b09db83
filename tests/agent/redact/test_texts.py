"""What stays of a text and what does not, rule by rule."""

import pytest

from perfwatch.agent.correlator.places import kind_of, module_of
from perfwatch.agent.correlator.routes import fold
from perfwatch.agent.redact.names import Names
from perfwatch.agent.redact.places import Places
from perfwatch.agent.redact.prose import plain
from perfwatch.agent.redact.targets import Targets
from perfwatch.agent.redact.words import MAX_FIRST_WORDS, Words
from perfwatch.probes.frames import Frame, Span


def words(*targets, keep=()):
    found = Words(keep)
    for target in targets:
        found._look_at(target)
    return found


@pytest.mark.parametrize(
    ("target", "hidden"),
    [
        ("/api/v1/orders/42", "/api/v1/orders/{1}"),
        ("/orders/42/items/42", "/orders/{1}/items/{1}"),
        ("/warehouse/12/stock", "/warehouse/{1}/stock"),
        ("/orders/mary", "/orders/part-1"),
        ("/orders/mary/letters/mary", "/orders/part-1/part-2/part-1"),
        ("/users/ann@example.org", "/users/{1}"),
        ("/static/logo-acme.png", "/static/part-1.png"),
        ("/SECRET", "/part-1"),
        ("/sk-live-bcdfgh", "/part-1"),
        ("/orders?token=x", "/orders"),
        ("*", "part-1"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_paths(target, hidden):
    assert Targets(Names(), words(target)).path(target) == hidden


def test_a_path_is_folded_as_it_was_before():
    for target in ("/orders/42", "/orders/mary", "/a/b/c/3f2a9c1d55", "/x/" + "y" * 50, "/users/a@b.c/edit"):
        hidden = Targets(Names(), words()).path(target)
        assert [one == "{}" for one in fold(target).split("/")] == [one == "{}" for one in fold(hidden).split("/")], (
            hidden
        )


def test_the_same_part_has_the_same_name_everywhere_and_another_has_another():
    targets = Targets(Names(), words())
    assert [targets.path(f"/orders/{one}") for one in ("mary", "ann", "mary")] == [
        *("/orders/part-1", "/orders/part-2", "/orders/part-1"),
    ]


def test_where_users_stand_first_no_first_word_stays():
    people = [f"/{first}{second}na" for first in "klmnpr" for second in "aeiou"]
    assert len(people) > MAX_FIRST_WORDS
    targets = Targets(Names(), words("/warehouse", *people))
    assert targets.path("/kana") == "/part-1"
    assert targets.path("/warehouse") == "/part-2"
    assert targets.path("/orders") == "/orders"


def test_the_words_of_a_framework_s_route_and_those_asked_for_stay():
    found = words(keep=["acme"])
    found.look(
        Span(1, 2, 3, 4, 5, "GET", "/orders/mary/letters/7", "/orders/<name>/letters/<int:letter_id>", 200, None)
    )
    targets = Targets(Names(), found)
    assert targets.path("/orders/mary/letters/7/acme") == "/orders/part-1/letters/{1}/acme"
    assert targets.route("/orders/<name>/letters/<int:letter_id>") == "/orders/<name>/letters/<int:letter_id>"


@pytest.mark.parametrize(
    ("protocol", "operation", "hidden"),
    [
        ("postgresql", "SELECT a FROM b WHERE c = ?", "SELECT a FROM b WHERE c = ?"),
        ("mysql", "SELECT `a b` FROM tenant_20391", "SELECT `name-1` FROM name-2"),
        ("postgresql", 'SELECT "Größe" FROM t…', 'SELECT "name-1" FROM t…'),
        ("http/1", "GET /orders/{}/mary", "GET /orders/{}/part-1"),
        ("http/1", "GET", "GET"),
        ("grpc", "POST /shop.Orders/Place", "POST /shop.Orders/Place"),
        ("redis", "HGET ? …", "HGET ? …"),
        ("redis", "CLUSTER NODES ?", "CLUSTER NODES ?"),
        ("redis", "get mary", "operation-1"),
        ("redis", "$3 mary ann joe", "operation-1"),
        ("kafka", "Produce", "Produce"),
        ("mongodb", "find users", "find users"),
        ("mongodb", "find tenant-2291", "find name-1"),
        ("dns", "A db.acme.internal", "A host-1"),
        ("nats", "PUB orders.mary", "PUB name-1"),
        ("unknown", "whatever mary", "operation-1"),
        ("http/1", "(connection only)", "(connection only)"),
    ],
)
def test_operations(protocol, operation, hidden):
    assert Targets(Names(), words()).operation(protocol, operation) == hidden


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("10.0.0.5:5432", "peer-1:5432"),
        ("[fd00::7]:443", "peer-1:443"),
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("[::1]:53", "[::1]:53"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("unix:/srv/acme/x.sock", "unix:socket-1"),
        ("unix:?", "unix:?"),
        ("db.acme", "peer-1"),
        ("", ""),
    ],
)
def test_addresses(address, hidden):
    assert Places(Names()).address(address) == hidden


@pytest.mark.parametrize(
    ("file", "hidden"),
    [
        ("/home/ann/acme/shop/cache.py", "dir-1/cache.py"),
        ("/home/ann/v/lib/python3.12/site-packages/sqlalchemy/pool/base.py", "site-packages/sqlalchemy/pool/base.py"),
        ("/usr/lib/python3.11/threading.py", "lib/python3.11/threading.py"),
        ("/home/ann/.local/bin/gunicorn", "bin/gunicorn"),
        ("/home/ann/bin/acme", "dir-1/file-1"),
        ("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>"),
        ("<string>", "<string>"),
        ("<ipython-input-3-ann>", "<code-1>"),
        ("/srv/acme/templates/letter to ann.html", "dir-1/file-1"),
        ("", ""),
    ],
)
def test_source_files_are_told_by_their_module_and_stay_of_their_kind(file, hidden):
    assert Places(Names()).source(file) == hidden
    before, after = Frame("f", file, 1), Frame("f", hidden, 1)
    assert (kind_of(before), module_of(before)) == (kind_of(after), module_of(after))


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *[(one, one) for one in ("gunicorn", "kworker/0:1H", "postgres", "python3.11", "Thread-3", "asyncio_0", "")],
        ("ThreadPoolExecutor-0_3", "ThreadPoolExecutor-0_3"),
        ("Thread-7 (refresh_prices)", "Thread-7 (refresh_prices)"),
        ("acme-importer", "name-1"),
        ("letters-of-ann", "name-1"),
        ("kworker/u8:2-events", "kworker/u8:2-events"),
        ("celery/ann", "name-1"),
    ],
)
def test_processes_and_threads(name, hidden):
    assert Places(Names()).process(name) == hidden


@pytest.mark.parametrize(
    ("path", "hidden"),
    [
        ("/", "/"),
        ("host", "host"),
        ("/system.slice/docker-0123abc.scope", "/system.slice/cgroup-1"),
        (
            "/kubepods.slice/kubepods-burstable.slice/pod77/0123",
            "/kubepods.slice/kubepods-burstable.slice/cgroup-1/cgroup-2",
        ),
        ("/user.slice/user-1000.slice/session-2.scope", "/user.slice/user-1000.slice/session-2.scope"),
    ],
)
def test_cgroups(path, hidden):
    assert Places(Names()).cgroup(path) == hidden


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("no permission to look into process 4312", "no permission to look into process 4312"),
        ("run as root, or with CAP_BPF and CAP_PERFMON", "run as root, or with CAP_BPF and CAP_PERFMON"),
        ("cannot read /home/ann/x: Permission denied", "cannot read … Permission denied"),
        ("sudo chown ann@acme.org f7", "sudo chown … …"),
    ],
)
def test_sentences(text, hidden):
    assert plain(text) == hidden

"""Secrets planted where literals stand never come out, however the statement is cut; and what is left is readable."""

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perfwatch.probes.protocols.http1 import folded
from perfwatch.probes.protocols.speech import Speech
from perfwatch.probes.protocols.sql import without_literals

SECRET, NUMBER = "hunterzwei", "918273"
PIECES = (SECRET[:4], SECRET[-4:], NUMBER[:3], NUMBER[-3:])

EITHER = [
    "'{S}'", "'it''s {S}'", "'{S}''{S}'", "'{S}\n{S}'", "N'{S}'", "X'{N}'", "b'{N}'", "'{S}' '{S}'", "'\u00e4\\' {S}'",
    "'\\\\' , '{S}'", "'\\' {S}'", "'\\' , '{S}'", "-- {S}\n", "/* {S} */", "/* ' */ '{S}'", "-- '\n'{S}'", "{N}",
    "-{N}.5",
    "0x{N}", "{N}e-7", ".{N}", "({N}, {N}, '{S}')", "ARRAY[{N}]", "; SET x = {S}", "; SET x TO {S}",
    "; ALTER ROLE r SET x = {S}", "DATE'{S}'",
]  # fmt: skip
POSTGRESQL = [
    "E'{S}'", "E'\\'{S}'", "e'\\\\\\' {S}'", "E'\\\\' , '{S}'", "U&'{S}'", "$${S}$$", "$a${S}$a$", "$a$ $$ {S} $a$",
    "/* /* */ {S} */", "$1 '{S}'", '"a\'" \'{S}\'', "E'\u00e4\\' , '{S}'",
]  # fmt: skip
MYSQL = [
    '"{S}"', '"it""s {S}"', '"\\"{S}"', "# {S}\n", "`a'` '{S}'", "`a\"` '{S}'", "_utf8'{S}'", "/*! {S} */",
    "'\"' , '{S}'",
    "--\n'{S}'", "#'\n'{S}'",
]  # fmt: skip
ENDS = ["", "'{S}", "/* {S}", "-- {S}", "'{S}\\'"]
PLAIN = ["SELECT ", " FROM items", " WHERE id = ", ", ", " AND ", "(", ")", " IN ", "\n\t", "a.b", " x$y ", "%", " <> "]


def statements(literals):
    pieces = st.one_of(st.sampled_from(PLAIN), st.sampled_from(literals).map(lambda text: f" {text} "))
    whole = st.lists(pieces, max_size=12).map("".join)
    return st.tuples(whole, st.sampled_from(ENDS)).map("".join).map(planted)


def planted(text):
    return text.replace("{S}", SECRET).replace("{N}", NUMBER)


def leaks(operation):
    return [piece for piece in PIECES if piece in (operation or "")]


@settings(max_examples=500)
@given(statements(EITHER + POSTGRESQL), st.integers(0, 200))
@example(planted("SELECT 'a\\' , '{S}'"), 200)
def test_nothing_of_a_literal_is_told_of_postgresql(text, length):
    assert not leaks(without_literals(text, "postgresql", cut=False))
    assert not leaks(without_literals(text[:length], "postgresql", cut=True))


@settings(max_examples=500)
@given(statements(EITHER + MYSQL), st.integers(0, 200))
def test_nothing_of_a_literal_is_told_of_mysql(text, length):
    assert not leaks(without_literals(text, "mysql", cut=False))
    assert not leaks(without_literals(text[:length], "mysql", cut=True))


def query(text):
    return b"Q" + struct.pack(">I", len(text) + 5) + text + b"\0"


def prepare(text):
    body = b"name\0" + text + b"\0\0\0"
    return b"P" + struct.pack(">I", len(body) + 4) + body + b"H\0\0\0\4"


def command(text):
    return struct.pack("<I", len(text) + 1)[:3] + b"\0\3" + text


@settings(max_examples=300)
@given(st.data(), st.sampled_from([(5432, query), (5432, prepare), (3306, command), (12345, query), (12345, command)]))
def test_nothing_of_it_is_told_from_the_wire(data, how):
    port, packed = how
    text = data.draw(statements(EITHER + (MYSQL if packed is command else POSTGRESQL)))
    sent = packed(text.encode())
    speech = Speech(port)
    for size in (len(sent), data.draw(st.integers(0, 128))):
        assert not leaks(speech.sent(sent[: min(size, 128)], len(sent)).operation)


def resp(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


KEY = SECRET.encode()
OTHERS = [
    (6379, resp(b"AUTH", b"default", KEY)),
    (6379, resp(b"HELLO", b"3", b"AUTH", b"default", KEY)),
    (6379, resp(b"SET", KEY, KEY) + resp(b"GET", KEY)),
    (6379, resp(b"CONFIG", b"SET", b"requirepass", KEY)),
    (6379, resp(b"EVAL", b"return '%s'" % KEY, b"0")),
    (11211, b"set %s 0 0 10\r\n%s\r\n" % (KEY, KEY)),
    (4222, b'CONNECT {"user":"u","pass":"%s"}\r\nPING\r\n' % KEY),
    (4222, b"PUB orders.created 10\r\n%s\r\n" % KEY),
    (80, b"GET /find?q=%s&x=%s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n" % (KEY, KEY, KEY)),
    (80, b"GET /find;jsessionid=%s/x#%s HTTP/1.1\r\n\r\n" % (KEY, KEY)),
    (80, b"GET http://user:%s@host/items/918273 HTTP/1.1\r\n\r\n" % KEY),
    (80, b"POST /login HTTP/1.1\r\nContent-Length: 10\r\n\r\npassword=%s" % KEY),
    (80, b"CONNECT %s.example.org:443 HTTP/1.1\r\nProxy-Authorization: Basic %s\r\n\r\n" % (KEY, KEY)),
    (80, b"GET /reset/%s918273%s HTTP/1.1\r\n\r\n" % (KEY, KEY)),
    (80, b"GET /%s@example.org/x HTTP/1.1\r\n\r\n" % KEY),
]


@pytest.mark.parametrize(("port", "sent"), OTHERS)
@pytest.mark.parametrize("knows_port", [True, False])
def test_nothing_of_keys_values_and_queries_is_told_wherever_they_are_cut(port, sent, knows_port):
    assert Speech(port).sent(sent, len(sent)).protocol != "unknown"
    for length in range(len(sent)):
        turn = Speech(port if knows_port else 12345).sent(sent[:length], len(sent))
        assert not leaks(turn.operation)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT * FROM t WHERE id = 7", "SELECT * FROM t WHERE id = ?"),
        ("select a,b from t1 where id in (1,2, 3)\n and n='x';", "select a, b from t1 where id in (?) and n=?"),
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')", "INSERT INTO t (a, b) VALUES (?)"),
        ('SELECT "Id" FROM "T" WHERE x = $1::int', 'SELECT "Id" FROM "T" WHERE x = ?::int'),
        ("/* app */ SELECT 1 -- x", "SELECT ?"),
        ("BEGIN; SET LOCAL app.user TO bob", "BEGIN; SET LOCAL app.user TO ?"),
        ("UPDATE t SET a = 1, b = now() WHERE c", "UPDATE t SET a = ?, b = now() WHERE c"),
    ],
)
def test_what_is_left_is_readable(text, told):
    assert without_literals(text, "postgresql", cut=False) == told


@given(st.integers(0, 10**12), st.text("abc'\\ ", max_size=30))
def test_statements_of_one_shape_look_the_same_also_where_they_are_cut(number, text):
    quoted = text.replace("\\", "").replace("'", "''")
    statement = f"SELECT a FROM t WHERE id = {number} AND name = '{quoted}' AND b = 1 ORDER BY a, b, c, d, e, f, g"
    (told,) = {without_literals(statement[:length], "postgresql", cut=True) for length in range(28, 64)}
    assert told == "SELECT a FROM t WHERE id = ?…"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/users/42/orders", "/users/{}/orders"),
        ("/", "/"),
        ("", "/"),
        ("/v1/items/3f2a9c1d", "/v1/items/{}"),
        ("/2024-05-01/report", "/{}/report"),
        ("/static/app.css", "/static/app.css"),
    ],
)
def test_a_path_is_folded(path, route):
    assert folded(path) == route

"""What real clients said, dumped between them and real servers; of Kafka, AMQP and MongoDB, made-up ones."""

import json
from pathlib import Path

import pytest

from perfwatch.probes.protocols.speech import Speech

DUMPED = json.loads((Path(__file__).parents[2] / "fixtures" / "conversations" / "clients.json").read_text())
SECRETS = ("7f3a", "4711", "4712")
"""Stand in what the clients sent as keys, values, parameters and query strings."""
PG_CLASS = "SELECT relname FROM pg_class WHERE relname = ? AND oid = ?"
MYSQL_USER = "SELECT * FROM mysql.user WHERE User = ? AND ? = ?"

ASKED = {
    "pymysql": ["SET NAMES utf8mb4", "SET AUTOCOMMIT = ?", MYSQL_USER, "SELECT ?…", "PING", "COMMIT"],
    "mysql-connector": [
        "SET NAMES ? COLLATE ?",
        "SET @@session.autocommit = ?",
        "PING",
        *[MYSQL_USER, "RESET STATEMENT"] * 2,
        MYSQL_USER,
        "PING",
        "SELECT ?",
    ],
    "pymemcache": ["set ?", "get ?", "get ?", "version", "delete ?"],
    "nats-py": ["PUB orders.{}.created", "PUB orders.reply", "PUB _INBOX.{}.{}"],
    "pymongo": ["find users", "insert users"],
    "pika": [
        *["channel.open", "queue.declare", "confirm.select", "basic.publish"],
        *["channel.close", "connection.close"],
    ],
    "kafka-python": ["Produce", "Metadata"],
    "httpx-h2": [None],
    "grpcio": [None],
    "http": ["GET /items/{}", "POST /orders", "GET /users/{}/x", "PUT /{}/…"],
    "tls1.2": [None] * 4,
    "tls1.3": [None] * 4,
    "tls1.3-asyncio": [None],
    "dns": ["AAAA db-7.internal.example.org"] * 2,
    "psycopg2": ["BEGIN", PG_CLASS, "SELECT ?", "COMMIT"],
    "psycopg": ["BEGIN", *[PG_CLASS] * 9, "SELECT relname FROM pg_class WHERE relname = ?"],
    "asyncpg": [
        *["SELECT relname FROM pg_class WHERE relname = ? AND reltuples > ?"] * 4,
        *["BEGIN", "SELECT ?", "COMMIT"],
    ],
    "redis-py": ["SET ?", "HGET ?", "GET ? …", "PUBLISH ?", "XADD ?", "CONFIG GET ?"],
}
SPOKEN = {
    "mysql": ("pymysql", "mysql-connector"),
    "postgresql": ("psycopg2", "psycopg", "asyncpg"),
    "tls": ("tls1.2", "tls1.3", "tls1.3-asyncio"),
    "memcached": ("pymemcache",),
    "nats": ("nats-py",),
    "mongodb": ("pymongo",),
    "amqp": ("pika",),
    "kafka": ("kafka-python",),
    "http/1": ("http",),
    "http/2": ("httpx-h2",),
    "grpc": ("grpcio",),
    "dns": ("dns",),
    "redis": ("redis-py",),
}
PROTOCOLS = {name: protocol for protocol, names in SPOKEN.items() for name in names}
PUBLISHED = {"PUB orders.{}.created", "PUB _INBOX.{}.{}", "basic.publish", "Produce", "PUBLISH ?", "XADD ?"}


def turns(connection, port, first=0):
    """Yield what is said of the turns of one connection, from one of them on."""
    speech = Speech(port)
    for direction, size, head in connection[first:]:
        if direction == "out":
            yield speech.sent(bytes.fromhex(head), size)
        else:
            speech.received(bytes.fromhex(head), size)


def asked(name, port):
    """Return the turns that ask for something, of all connections of a client; but for a body behind its head."""
    found = [turn for each in DUMPED[name]["connections"] for turn in turns(each, port) if turn.phase == "asking"]
    return [turn for turn in found if turn.operation or turn.protocol != "http/1"]


@pytest.mark.parametrize("name", ASKED)
def test_what_a_client_asks_is_told_without_what_it_asks_for(name):
    found = asked(name, DUMPED[name]["port"])
    assert [turn.operation for turn in found] == ASKED[name]
    assert {turn.protocol for turn in found} == {PROTOCOLS[name]}
    assert {turn.operation for turn in found if turn.kind == "publish"} == PUBLISHED & set(ASKED[name])


@pytest.mark.parametrize("name", [name for name in ASKED if name != "dns"])
def test_the_first_bytes_tell_also_at_a_port_that_says_nothing(name):
    assert asked(name, 12345) == asked(name, DUMPED[name]["port"])


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("knows_port", [True, False])
def test_joined_in_mid_connection_a_protocol_is_right_or_unknown_and_nothing_leaks(name, knows_port):
    port = DUMPED[name]["port"] if knows_port else 12345
    for connection in DUMPED[name]["connections"]:
        for first in range(len(connection)):
            found = list(turns(connection, port, first))
            assert {turn.protocol for turn in found} <= {PROTOCOLS[name], "unknown", "http/2"}
            assert not [turn for turn in found for secret in SECRETS if secret in (turn.operation or "")]


@pytest.mark.parametrize("name", ASKED)
def test_fewer_first_bytes_never_tell_more(name):
    for connection in DUMPED[name]["connections"]:
        for length in range(128):
            speech = Speech(DUMPED[name]["port"])
            for direction, size, head in connection:
                if direction == "in":
                    continue
                told = speech.sent(bytes.fromhex(head)[:length], size).operation or ""
                assert not [secret for secret in SECRETS if secret[:3] in told]


def test_a_statement_that_was_prepared_before_is_named_by_its_name():
    (connection,) = DUMPED["asyncpg"]["connections"]
    executed = [turn.operation for turn in turns(connection, 5432, first=6)]
    assert executed[0].startswith("EXECUTE __asyncpg_stmt_")
    assert executed[0] == executed[1] == executed[2]


def test_a_handshake_is_no_call_and_a_farewell_neither():
    for name in ("tls1.2", "tls1.3", "tls1.3-asyncio"):
        for connection in DUMPED[name]["connections"]:
            phases = [turn.phase for turn in turns(connection, 443)]
            assert phases[:3] == ["opening", "opening", "asking"]
            assert set(phases[3:]) <= {"asking", "chatter"}

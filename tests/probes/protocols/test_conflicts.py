"""Answers of a conflict, and those that are none."""

import pytest

from perfwatch.probes.protocols.conflicts import conflicts

PG = b"E\0\0\0\x83SERROR\0VERROR\0C40001\0Mcould not serialize access due to concurrent update\0"
LOCALIZED = b"E\0\0\0\x83SFEHLER\0VERROR\0C40P01\0MVerklemmung\0"
DUPLICATE = PG.replace(b"C40001", b"C23505")


@pytest.mark.parametrize(
    ("protocol", "operation", "head"),
    [
        ("http/1", "PUT /item/{}", b"HTTP/1.1 409 Conflict\r\n"),
        ("http/1", "GET /", b"HTTP/1.0 503 Service Unavailable\r\n"),
        ("http/1", "GET /", b"HTTP/1.1 429\r\n"),
        ("postgresql", "UPDATE t SET a = ?", PG),
        ("postgresql", "COMMIT", LOCALIZED),
        ("mysql", "UPDATE t SET a = ?", b"\x1e\0\0\1\xff\xbd\x04#40001Deadlock found"),
        ("mysql", "UPDATE t SET a = ?", b"\x1e\0\0\1\xff\xb5\x04#HY000Lock wait timeout"),
        ("redis", "EXEC", b"*-1\r\n"),
        ("redis", "MULTI", b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*-1\r\n"),
    ],
)
def test_a_conflict(protocol, operation, head):
    assert conflicts(protocol, operation, head)


@pytest.mark.parametrize(
    ("protocol", "operation", "head"),
    [
        ("http/1", "GET /", b"HTTP/1.1 200 OK\r\nX-Status: 409 \r\n"),
        ("http/1", "GET /", b"HTTP/1.1 404 Not Found\r\n"),
        ("postgresql", "INSERT", DUPLICATE),
        ("postgresql", "SELECT", b"T\0\0\0\x1b\0\1name\0C40001\0"),
        ("mysql", "INSERT", b"\x1e\0\0\1\xff\x26\x04#23000Duplicate entry"),
        ("redis", "BLPOP ?", b"*-1\r\n"),
        ("redis", "GET ?", b"_\r\n"),
        ("redis", "MULTI", b"+OK\r\n+QUEUED\r\n*1\r\n:1\r\n"),
        ("kafka", None, b"\0\0\0\x10"),
        ("unknown", None, b""),
    ],
)
def test_no_conflict(protocol, operation, head):
    assert not conflicts(protocol, operation, head)

"""What the first bytes of requests and answers are made of: a number and a word, and nothing of themselves."""

import pytest

from perfwatch.probes.ledger import heads

GET = b"GET /report?day=1 HTTP/1.1\r\nHost: x\r\n"


def answer(*headers, complete=True):
    lines = [b"HTTP/1.1 200 OK", b"Server: gunicorn", *headers]
    return b"\r\n".join(lines) + (b"\r\n\r\nbody" if complete else b"\r\nSet-Cook")


def test_the_same_question_has_the_same_number():
    assert heads.asked(GET) == heads.asked(GET + b"Accept: */*\r\n")
    assert 0 <= heads.asked(GET) < 1 << 32
    others = {heads.asked(GET.replace(b"day=1", b"day=%d" % day)) for day in range(2, 50)}
    assert len(others) == 48
    assert heads.asked(GET) not in others
    assert heads.asked(GET.replace(b"GET", b"PUT")) != heads.asked(GET)


@pytest.mark.parametrize("head", [b"", b"\r\n", b"GET /report?day=1", GET[:20]])
def test_a_question_that_is_cut_off_has_none(head):
    assert heads.asked(head) is None


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((b"Content-Type: text/html; charset=utf-8",), "text"),
        ((b"content-type:application/json",), "text"),
        ((b"Content-Type: application/problem+json",), "text"),
        ((b"Content-Type: image/svg+xml",), "text"),
        ((b"Content-Type: application/json", b"Content-Encoding: gzip"), "compressed"),
        ((b"Content-Encoding: zstd",), "compressed"),
        ((b"Content-Type: text/css", b"Content-Encoding: identity"), "text"),
        ((b"Content-Type: image/png",), "other"),
        ((b"Content-Type: application/octet-stream",), "other"),
        ((b"Content-Type: text/event-stream",), "other"),
        ((b"Content-Type: multipart/form-data",), "other"),
        ((b"X-Content-Type: text/html",), None),
        ((), None),
    ],
)
def test_what_a_head_says_of_its_body(headers, body):
    assert heads.body(answer(*headers)) == body


def test_a_head_that_is_cut_off_may_go_on_with_its_encoding():
    assert heads.body(answer(b"Content-Type: text/html", complete=False)) is None
    assert heads.body(answer(b"Content-Type: image/png", complete=False)) == "other"
    assert heads.body(answer(b"Content-Encoding: br", complete=False)) == "compressed"
    assert heads.body(b"") is None


def test_what_looks_like_a_header_in_a_body_is_none():
    assert heads.body(answer() + b"\r\nContent-Type: text/html\r\n\r\n") is None

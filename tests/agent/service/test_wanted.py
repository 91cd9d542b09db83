from __future__ import annotations

import pytest

from perfwatch.agent.containers import Seen
from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model_container import Container
from perfwatch.agent.service import amounts
from perfwatch.agent.service.settings import settled
from perfwatch.agent.service.triggers import parse as parse_trigger
from perfwatch.agent.service.wanted import is_wanted, parse
from perfwatch.agent.target import Candidate

SHOP = Candidate(
    pid=4312,
    command="/srv/venv/bin/python3.12 -m gunicorn --bind 0.0.0.0:8000 shop.wsgi",
    python="3.12.1",
    server="gunicorn",
    listeners=("0.0.0.0:8000", "[::]:8001"),
    user="shop",
    workers=4,
    inner_pid=7,
)
WHERE = Seen(
    ("/system.slice/shop.service", "/kubepods/besteffort/x"),
    Container("a" * 64, "docker", "shop", "registry/shop:1.2", "live/shop-5d9"),
)


@pytest.mark.parametrize(
    "text",
    [
        *("name:gunicorn", "name:guni*", "name:python3.12", "port:8000", "port:8001", "pid:4312", "pid:7"),
        *('command:"*gunicorn --bind*"', "command:*shop.wsgi", "cgroup:*/shop.service", "cgroup:/kubepods/*"),
        *(
            "container:shop",
            "container:aaaaaaaaaaaa",
            "container:*/shop:*",
            "container:live/*",
            "name:gunicorn port:8000",
        ),
    ],
)
def test_terms_that_hold(text):
    assert is_wanted(SHOP, (parse("name:nothing"), parse(text)), lambda _: WHERE)
    assert str(parse(text)) == text.replace('"', "")


@pytest.mark.parametrize(
    "text",
    [
        *("name:shop", "name:gunicor", "name:-m", "port:800", "pid:431", "command:gunicorn", "cgroup:shop.service"),
        *("container:sho", "name:gunicorn port:9000"),
    ],
)
def test_terms_that_do_not_hold(text):
    assert not is_wanted(SHOP, (parse(text),), lambda _: WHERE)


def test_without_terms_it_is_what_listens_and_nothing_else_is_asked():
    def never(_):
        raise AssertionError

    assert is_wanted(SHOP, (), never)
    assert is_wanted(SHOP, (parse("port:8000"),), never)
    assert not is_wanted(Candidate(1, "python", None, None, (), "root", 0), (), never)
    assert not is_wanted(SHOP, (parse("container:x"),), lambda _: Seen((), None))


@pytest.mark.parametrize("text", ["", "  ", "gunicorn", "name:", "port:http", "pid:-1", "color:red", 'name:"x'])
def test_what_is_no_term_is_said_with_an_example(text):
    with pytest.raises(PerfwatchError, match=r"--target .*for example: name:gunicorn"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90),
        ("1.5h", 5400),
        ("7d", 604_800),
        ("250 ms", 0.25),
        ("5", None),
        ("", None),
        ("-5s", None),
        ("5y", None),
    ],
)
def test_times(text, expected):
    assert amounts.seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("64MB", 64_000_000), ("2 gib", 2 << 30), ("1.5kB", 1500), ("7b", 7), ("7", None), ("x", None)],
)
def test_sizes(text, expected):
    assert amounts.size_bytes(text) == expected
    assert [amounts.told_bytes(count) for count in (999, 32_000_000, 2_500_000_000)] == ["999 B", "32 MB", "2.5 GB"]


def test_a_flight_recorder_is_short_segments_that_go_soon_and_something_that_keeps_them():
    made = settled("/r", (), flight_s=600.0)
    assert (made.segment_s, made.retain_s, made.keep_on) == (150, 600, (parse_trigger("slow"),))
    made = settled("/r", (), flight_s=600.0, keep_on=("lock",), segment_s=60.0)
    assert (made.segment_s, made.retain_s, made.keep_on) == (60, 600, (parse_trigger("lock"),))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"total_bytes": 1_000_000}, "--max-size 1 MB is too little"),
        ({"segment_bytes": 1_500_000_000}, "more than half of --max-size"),
        ({"segment_s": 1.0}, "--segment-time 1s is too short"),
        ({"retain_s": 60.0}, "--retain is shorter than a segment"),
        ({"keep_on": ("sluggish",)}, "--keep-on 'sluggish' is not known"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(given, words):
    with pytest.raises(PerfwatchError) as refusal:
        settled("/r", (), **given)
    assert words in refusal.value.problem
    assert refusal.value.remedy

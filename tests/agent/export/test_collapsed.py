"""Collapsed stacks: every nanosecond of the slow requests, on lines that no name can break."""

import exporting
import making as m
import pytest


@pytest.fixture
def lines(tmp_path):
    return exporting.exported(exporting.recorded(tmp_path / "shop"), "collapsed").decode().splitlines()


def test_the_times_are_the_latencies_of_the_slow_requests(lines):
    spent = [(*line.rpartition(" "),) for line in lines]
    assert sum(int(ns) for _, _, ns in spent) == (500 + 500 + 900) * m.MS
    assert (
        "POST /order/{};ThreadWorker.handle (gthread.py:281);place_order (orders.py:41);Cache.get (cache.py:61);[lock] "
        f"{900 * m.MS}"
    ) in lines
    assert f"POST /order/{{}};[queue] {30 * m.MS}" in lines


def test_names_cannot_break_a_line_or_a_path(lines):
    evil = next(line for line in lines if "evil" in line)
    assert evil == (
        "POST /order/{};ThreadWorker.handle (gthread.py:281);"
        f"</script>:\\x1b[2J\\u202e a\\x0ab 7 (evil:.py:3);[lock] {850 * m.MS}"
    )

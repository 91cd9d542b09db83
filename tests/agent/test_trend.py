"""The course of a whole recording: nothing is counted twice or lost, however long it is."""

import fake_records
import making as m
import msgspec
import pytest

from perfwatch.agent.report import correlate
from perfwatch.agent.selection import latest
from perfwatch.agent.trend import MAX_MOMENTS, Trend
from perfwatch.probes.records import HostSample
from perfwatch.probes.samples import PressureSample

INFO = m.info()


def moments(records, now_ms=0.0):
    trend = Trend(INFO.started_ns)
    for record in records:
        trend.take(record)
    return trend.moments(INFO, m.START + round(now_ms * m.MS))


def test_a_request_belongs_to_the_second_in_which_it_ended():
    found = moments([m.served(1, 900, ms=1), m.served(2, 1100, ms=50), m.served(3, 1200, ms=50, status=500)], 1500)
    assert [one.requests for one in found] == [1, 2]
    assert [one.errors for one in found] == [0, 1]
    assert [one.length_s for one in found] == [1.0, 0.5]
    assert [one.at for one in found] == [INFO.unix_s(m.START), INFO.unix_s(m.START) + 1]
    assert found[1].p95_ms == pytest.approx(50, rel=0.004)


def test_a_corrected_request_is_counted_once():
    found = moments([m.served(1, 900, ms=1, outcome="aborted"), m.served(1, 1300, ms=400)], 2000)
    assert [one.requests for one in found] == [0, 1]
    assert [one.errors for one in found] == [0, 0]
    assert found[0].p50_ms is None
    assert found[1].p50_ms == pytest.approx(400, rel=0.004)


def test_it_says_what_the_view_says():
    info = fake_records.session_info()
    trend = Trend(info.started_ns)
    view, judged = correlate(info, trend.passing(fake_records.generate(30)))
    trend.judged(latest(judged))
    for moment, instant in zip(trend.moments(info, view.now_ns), view.timeline, strict=True):
        assert moment.at == pytest.approx(info.unix_s(instant.at_ns))
        assert (moment.requests, moment.errors) == (instant.requests, instant.errors)
        assert moment.in_flight == instant.in_flight
        assert moment.p95_ms == (None if instant.p95_ms is None else pytest.approx(instant.p95_ms, rel=0.005))
    assert sum(one.slow for one in trend.moments(info, view.now_ns)) == view.slow_count


def test_a_day_is_told_in_few_stretches_and_nothing_of_it_is_lost():
    trend = Trend(INFO.started_ns)
    for number in range(86_400 // 20):
        trend.take(m.served(number, number * 20_000.0, ms=5))
    found = trend.moments(INFO, m.START + 86_400 * m.SECOND)
    assert MAX_MOMENTS // 2 < len(found) <= MAX_MOMENTS
    assert found[0].length_s == 256
    assert sum(one.requests for one in found) == 86_400 // 20
    assert {round(one.p50_ms, 1) for one in found} == {5.0}


def test_cpu_and_pressure_are_shares_of_the_time_between_two_readings():
    host = HostSample(m.START, 0, 0, 0, 1, 8, 4)
    press = PressureSample(m.START, "host", 0, None, None, None, 0, None)
    later = {"at_ns": m.START + m.SECOND}
    found = moments(
        [
            host,
            press,
            msgspec.structs.replace(host, cpu_busy_ns=3 * m.MS, cpu_idle_ns=1 * m.MS, **later),
            msgspec.structs.replace(press, cpu_some_ns=m.SECOND // 4, io_some_ns=m.SECOND // 2, **later),
            msgspec.structs.replace(press, scope="/other", cpu_some_ns=m.SECOND, **later),
        ],
        2000,
    )
    assert (found[0].cpu, found[0].cpu_pressure) == (None, None)
    assert (found[1].cpu, found[1].cpu_pressure, found[1].io_pressure) == (0.75, 0.25, 0.5)


@pytest.mark.parametrize("at_ms", [-1e6, 1e13])
def test_a_record_may_claim_any_time(at_ms):
    found = moments([m.served(1, 100, ms=1), m.served(2, at_ms, ms=1)])
    assert sum(one.requests for one in found) == 2
    assert len(found) <= MAX_MOMENTS

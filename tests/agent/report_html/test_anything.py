"""Whatever a recording holds, there is a page and a ticket of it, and both are whole."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sessions import ANY_RECORD, INFO
from wholeness import Elements

from perfwatch.agent.report import build, correlate
from perfwatch.agent.report_drawn import drawn_of
from perfwatch.agent.report_html.document import to_html
from perfwatch.agent.report_markdown import to_markdown
from perfwatch.agent.selection import latest
from perfwatch.agent.trend import MAX_MOMENTS, Trend


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(ANY_RECORD, max_size=12))
def test_any_records_make_a_page_and_a_ticket(records):
    trend = Trend(INFO.started_ns)
    view, judged = correlate(INFO, trend.passing(records))
    trend.judged(latest(judged))
    moments = trend.moments(INFO, view.now_ns)
    assert len(moments) <= MAX_MOMENTS
    report = msgspec.structs.replace(build(INFO, view, judged), timeline=tuple(moments))
    Elements(to_html(report, drawn_of(report, INFO, view, latest(judged))))
    assert to_markdown(report).startswith("# ")

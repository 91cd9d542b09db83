"""A request's course on the page: what is known only as a sum is not drawn as if it had been then."""

from __future__ import annotations

from perfwatch.agent.course_step import Step
from perfwatch.agent.report_html.steps import steps_of

MS = 1_000_000
LOCK = Step("lock", 40 * MS, ((0, 40 * MS),), "waited for a lock")
SPREAD = Step("on_cpu", 20 * MS, ((40 * MS, 100 * MS),), is_sum=True)


def test_a_sum_is_only_marked():
    page = str(steps_of((LOCK, SPREAD), 100.0))
    assert 'class="c-lock"' in page
    assert 'class="c-on_cpu sum"' in page
    assert "20 ms, somewhere here" in page
    assert 'class="c-on_cpu"' not in page


def test_of_a_rest_what_is_no_sum_is_drawn():
    rest = Step(None, 60 * MS, ((0, 100 * MS),), parts=(LOCK, SPREAD))
    page = str(steps_of((rest,), 100.0))
    assert 'class="c-lock"' in page
    assert "c-on_cpu" not in page

"""One request, judged in given surroundings, what its verdict says, and views as a test wants them."""

from __future__ import annotations

import making as m

from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.report import correlate


def judge(record, *before):
    """Return the verdict on a request; what came before is fed in order of time."""
    correlator = Correlator(m.info(slow_ms=1))
    for one in sorted(before, key=lambda one: one.at_ns):
        correlator.feed(one)
    judged = {request.record.id: request for request in correlator.feed(record)}
    return judged[record.id].verdict


def view_of(records, info=None):
    """Return the view of some records."""
    return correlate(info or m.info(), records)[0]


def view_in_order(*records):
    """Return the view of some records, taken in order of time."""
    return view_of(sorted(records, key=lambda one: one.at_ns))


def judge_that_shows(change):
    """Return a kind of correlator, whose views are changed before anybody sees them."""

    class Changing(Correlator):
        def view(self, *, glance=False):
            return change(super().view(glance=glance))

    return Changing


def facts(verdict):
    return {one.name: one.value for one in verdict.evidence}


def text(verdict, name):
    return next(one.text for one in verdict.evidence if one.name == name)

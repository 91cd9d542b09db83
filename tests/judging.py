"""One request, judged in given surroundings, and what its verdict says."""

from __future__ import annotations

import making as m

from perfwatch.agent.correlator.engine import Correlator


def judge(record, *before):
    """Return the verdict on a request; what came before is fed in order of time."""
    correlator = Correlator(m.info(slow_ms=1))
    for one in sorted(before, key=lambda one: one.at_ns):
        correlator.feed(one)
    judged = {request.record.id: request for request in correlator.feed(record)}
    return judged[record.id].verdict


def view_of(records, info=None):
    """Return the view of some records."""
    correlator = Correlator(info or m.info())
    for record in records:
        correlator.feed(record)
    return correlator.view()


def facts(verdict):
    return {one.name: one.value for one in verdict.evidence}


def text(verdict, name):
    return next(one.text for one in verdict.evidence if one.name == name)

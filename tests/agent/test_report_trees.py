"""The trees of a report: which stacks they are made of, and what they say."""

import fake_records
import making as m
import msgspec
import pytest
import stacked

from perfwatch.agent.errors import PerfwatchError
from perfwatch.agent.model import ProbeStatus, StackTime
from perfwatch.agent.report import correlate
from perfwatch.agent.report_cells import cells
from perfwatch.agent.report_trees import to_tree_text, tree_of
from perfwatch.agent.selection import latest

INFO = fake_records.session_info()


def shop():
    _, judged = correlate(INFO, fake_records.generate(30))
    return [stacked.with_stacks(request) for request in latest(judged)]


def test_the_tree_of_all_requests_adds_up_to_their_latencies():
    requests = shop()
    tree = tree_of(INFO, requests)
    total = sum(request.ledger.total_ns for request in requests)
    assert round(tree.session.root_frame().time * 1e9) == total
    assert tree.title == "2 endpoints: 43.7 s in 168 judged requests"
    assert tree.spent_on == "lock 57 %, on_cpu 28 %, calls 12 %, queue 2 %"


def test_the_tree_of_one_request():
    request = shop()[0]
    tree = tree_of(INFO, [request])
    assert tree.title.startswith(f"{request.record.method} {request.record.target}: ")
    assert tree.session.start_time == pytest.approx(INFO.unix_s(request.record.started_ns))
    assert round(tree.session.root_frame().time * 1e9) == request.ledger.total_ns


@pytest.mark.parametrize("width", [72, 100])
def test_a_tree_as_text_has_a_heading_and_stays_inside(width):
    text = to_tree_text(tree_of(INFO, shop()), width, color=False)
    assert text.startswith("── call tree ──")
    assert "   lock 57 %, on_cpu 28 %" in text
    assert "Cache.get  cache.py:61" in text
    assert max(map(cells, text.splitlines())) <= width


@pytest.mark.parametrize("stacks", [(), (StackTime((), "lock", is_gc=False, spent_ns=9),)])
def test_without_stacks_there_is_no_tree_and_it_is_told_why(stacks):
    bare = [msgspec.structs.replace(request, stacks=stacks) for request in shop()]
    with pytest.raises(PerfwatchError, match=r"no stacks were recorded.*perfwatch doctor"):
        tree_of(INFO, bare)
    info = m.info(probes=(ProbeStatus("stacks", "unavailable", "no table of\x1b 3.14", remedy="pip install"),))
    with pytest.raises(PerfwatchError, match=r"recorded: no table of\\x1b 3.14 \(pip install\)"):
        tree_of(info, bare)

"""A recording in Python: the same as the report says, each request once, and errors that say what to do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import sessions
from making import START, info, served

from perfwatch.agent import PerfwatchError, open_session
from perfwatch.agent.analysis.served import served as final
from perfwatch.agent.correlator.engine import Correlator
from perfwatch.agent.model import BUCKETS
from perfwatch.probes.samples import CpuSample

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "python.md"

pytestmark = pytest.mark.ledger


@pytest.fixture(name="session")
def open_recorded(recorded):
    with open_session(recorded) as session:
        yield session


def test_the_page_of_the_docs_runs_as_it_stands(recorded, monkeypatch, capsys):
    monkeypatch.chdir(recorded.parent)
    told = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 9
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), told)
    out = capsys.readouterr().out
    assert "/sleep/{}" in out
    assert "cannot open missing.perfwatch: No such file or directory" in out


def test_it_says_what_the_report_says(session):
    report = session.report()
    requests = list(session.requests())
    assert len(requests) == len({one.record.id for one in requests}) == report.requests.count > 50
    assert sum(one.slow for one in requests) == report.requests.slow_count > 5
    told = {one.id: (one.principle, one.mechanism, one.summary) for one in report.slow_requests}
    mine = {
        one.record.id: (one.verdict.principle, one.verdict.mechanism, one.verdict.summary)
        for one in requests
        if one.verdict
    }
    assert mine == told
    assert session.verdict.summary == report.verdict.summary
    assert [(one.method, one.route) for one in session.endpoints] == [(e.method, e.route) for e in report.endpoints]
    assert {one.request_id for one in session.recorded_verdicts()} <= set(mine)


def test_records_of_a_kind_are_those_of_the_file(session, recorded):
    assert list(session.records()) == sessions.read(recorded)
    cpu = list(session.records(CpuSample))
    assert len(cpu) > 2
    assert all(type(one) is CpuSample for one in cpu)


def test_a_frame_adds_up_to_the_nanosecond(session):
    frame = session.frame("requests")
    assert len(frame) == session.view.count
    buckets = [f"{bucket}_ms" for bucket in (*BUCKETS, "unaccounted")]
    assert ((frame[buckets].sum(axis=1) - frame.latency_ms).abs() < 1e-6).all()
    one = next(request for request in session.requests() if request.verdict)
    row = frame.set_index("id").loc[one.record.id]
    assert row.start.value == session.info.unix_ns(one.record.ended_ns - one.ledger.total_ns)
    assert (row.method, row.route, row.mechanism) == ("GET", one.route, one.verdict.mechanism)
    assert row.grpc_status is not row.status, "what is not known is missing"
    stacks = session.frame("stacks").groupby("request").spent_ms.sum()
    assert stacks[one.record.id] == pytest.approx(one.ledger.total_ns / 1e6, abs=1e-6)
    waits = session.frame("waits")
    assert (waits.blocked_ms + waits.runnable_ms).min() >= 0.9


def test_every_table_is_a_frame_with_units(session):
    for name in session.frames:
        frame = session.frame(name)
        timed = [column for column in frame if column in {"at", "start"}]
        assert all(str(frame[column].dtype) == "datetime64[ns, UTC]" for column in timed), name
        assert len(frame.columns) > 2, name


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda session: session.frame("nothing"), "there is no table 'nothing' (there are: requests, calls"),
        (lambda session: session.close() or next(session.records()), "was closed (use it within its `with` block)"),
        (lambda session: open_session("/dev/null"), "/dev/null is a device, not a session"),
        (lambda session: open_session(__file__), "is not a session"),
    ],
)
def test_what_cannot_be_done_says_so_in_one_line(session, call, words):
    with pytest.raises(PerfwatchError) as caught:
        call(session)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_pandas_it_says_how_to_get_it(session, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PerfwatchError, match=r"data frames need pandas \(pip install 'perfwatch\[pandas\]'\)"):
        session.frame("requests")


def test_a_corrected_request_comes_once_and_as_it_was_corrected():
    records = [served(number, number * 10, ms=5) for number in range(1, 40)]
    corrected = served(3, 450, ms=425)
    requests = list(final(Correlator(info()), [*records, corrected]))
    assert [one.record.id for one in requests] == [one.id for one in records]
    assert requests[2].ledger.total_ns == corrected.ended_ns - corrected.arrived_ns
    assert requests[2].slow
    assert requests[2].verdict is not None
    assert requests[2].record.ended_ns > START


def test_a_long_stream_is_not_kept(monkeypatch):
    monkeypatch.setattr("perfwatch.agent.analysis.served.CORRECTABLE", 100)
    taken = []

    def stream():
        for number in range(1, 1001):
            assert len(taken) >= number - 103, "it holds more than it says"
            yield served(number, number * 10, ms=5)

    taken.extend(final(Correlator(info()), stream()))
    assert len(taken) == 1000


def test_the_import_is_cheap():
    script = "import sys, perfwatch.agent; print(*{'msgspec', 'pandas', 'click', 'sqlite3'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""
    assert not hasattr(sys.modules["perfwatch.agent"], "nothing")


def test_what_is_left_of_a_file_opens_and_says_what_is_missing(tmp_path, recorded):
    cut = tmp_path / "cut.perfwatch"
    cut.write_bytes(recorded.read_bytes()[: recorded.stat().st_size * 2 // 3])
    with open_session(cut) as session:
        list(session.records())
        assert "seconds are damaged and left out" in session.note

"""What `benchmarks/faults.py` makes of a run: which verdicts count as right, and which runs say nothing."""

import pytest
import runs
import tables
from faults.labelled import cases
from rows import Row, rows_of
from runs import Plan, Run, Runner, Told
from verdicts import Said


def row(*, expected=("concurrency", "lock"), told=("concurrency", "lock"), variant="strong", confidence=0.9, **true):
    """Make a row of a lock that made 90 % of ten slow requests, unless something else is said."""
    figures = {"share": 0.9, "slow": 10, "max_ms": 150.0, "second": None, "second_share": None, "failed": 0} | true
    mended, load = figures.pop("mended", {}), figures.pop("load", 0.5)
    run = Run("case", variant, ("/a/{n}",), 0, load, mended=mended)
    party = Told(
        *("/a/{}", *expected),
        named=None,
        held_by=None,
        count=20,
        p50_ms=100.0,
        p95_ms=120.0,
        held_share=None,
        **figures,
    )
    predicted = {"lock": (20.0, 30.0)}
    causes = {told[1]: 0.8, "sleep": 0.1}
    return Row(run, party, Said("/a/{}", *told, 0.85, confidence, "", causes, 0.7, predicted, None), 0.5)


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        (("concurrency", "lock"), "right"),
        (("concurrency", "gil"), "principle"),
        (("capacity", "disk"), "wrong"),
        (("healthy", None), "wrong"),
        (("unknown", None), "unknown"),
    ],
)
def test_a_verdict_is_right_unknown_or_wrong(told, outcome):
    assert row(told=told).outcome == outcome


def test_a_run_whose_fault_is_not_there_says_nothing():
    assert row(share=0.4).outcome == "absent"
    assert row(slow=4).outcome == "absent"
    assert row(failed=1).outcome == "absent"


def test_what_got_no_cpu_waited_for_a_cpu_whatever_was_planted():
    assert row(share=0.3, crowded=0.6).outcome == "wrong"
    assert row(share=0.3, crowded=0.6, told=("capacity", "run-queue")).outcome == "right"
    assert row(share=0.9, crowded=0.6).outcome == "right"


def test_who_holds_the_interpreter_lock_on_a_crowded_machine_says_nothing_of_it():
    gil = {"expected": ("concurrency", "gil"), "told": ("capacity", "run-queue")}
    assert row(**gil, load=0.8).outcome == "wrong"
    assert row(**gil, load=5).outcome == "absent"
    assert row(told=("capacity", "run-queue"), load=5).outcome == "wrong"


def test_a_healthy_endpoint_is_accused_only_if_none_of_its_clients_waited():
    healthy = {"expected": ("healthy", None), "share": None, "slow": 0}
    assert row(**healthy, max_ms=5.0, told=("healthy", None)).outcome == "right"
    assert row(**healthy, max_ms=5.0).outcome == "accused"
    assert row(**healthy, max_ms=25.0).outcome == "absent"


def test_a_second_cause_must_be_named_where_it_is_one():
    assert row(second="sleep", second_share=0.3).second_told
    assert row(second="disk", second_share=0.3).second_told is False
    assert row(second="disk", second_share=0.05).second_told is None


def test_a_prediction_is_held_against_what_was_measured():
    (mended,) = [line for line in tables.mending([row(mended={"/a/{}": (20.0, 40.0)})]) if line.startswith("| case")]
    assert mended.split(" | ")[-4:] == ["120.0 ms", "30.0 ms", "40.0 ms", "25 % |"]
    assert row(mended={}).mended is None


def test_confident_verdicts_that_are_wrong_are_counted():
    rows = [row(), row(told=("capacity", "disk")), row(told=("unknown", None), confidence=0.0)]
    shown = "\n".join(tables.summary(rows))
    assert (
        "| wrong, of those with a confidence of at least 0.8 | <= 3 % | 50.0 % (1 of 2) | 50.0 % (1 of 2) | none |"
        in shown
    )
    assert "| unknown | <= 5 % | 33.3 % (1 of 3) |" in shown
    (line,) = [line for line in tables.calibration(rows) if line.startswith("| 0.9 - 0.95")]
    assert line == "| 0.9 - 0.95 | 2 | 0.90 | 50.0 % (1 of 2) |"


@pytest.mark.fault
@pytest.mark.ledger
def test_a_run_is_kept_judged_and_not_run_again(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "PLACE", tmp_path)
    (case,) = [case for case in cases() if case.name == "sleep-3.9"]
    plan = Plan(case, "drawn", 3)
    with Runner() as runner:
        run = runner.run(plan)
        assert runner.run(plan) is None
    assert runs.kept() == [run]
    if run.skipped:
        pytest.skip(run.skipped)
    sleeper, innocent = rows_of([run])
    assert (sleeper.outcome, sleeper.told) == ("right", "sleep")
    assert sleeper.said.first_right_s > 0
    assert innocent.outcome in {"right", "absent"}
    assert abs(sleeper.share_error) < 0.1

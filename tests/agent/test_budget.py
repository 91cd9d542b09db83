"""The budget on its own: figures of a simulated collector in, decisions out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perfwatch.agent.budget import PATIENCE, ROOM, WINDOW, Budget, Expense

S = 1_000_000_000
BUDGET = 0.1


class Machine:
    """Probes with a cost a reading, something else that needs CPU too, and a budget over both."""

    def __init__(self, budget=BUDGET, rest=0.0, **probes):
        self.budget = Budget(budget)
        self.rest = rest
        self.probes = {
            name: Expense(name, cost_s * S, round(period_s * S), round(period_s * S), round(slowest_s * S))
            for name, (cost_s, period_s, slowest_s) in probes.items()
        }
        self.changes = []

    def costs(self, name, reading_s):
        self.probes[name] = self.probes[name]._replace(reading_ns=reading_s * S)

    @property
    def used(self):
        return self.rest + sum(probe.share for probe in self.probes.values())

    def run(self, seconds):
        """Let it run, and return the changes of this time as (second, probe, seconds between readings)."""
        found = []
        for second in range(seconds):
            change = self.budget.decide(self.used, list(self.probes.values()))
            if change:
                probe = self.probes[change.name]
                assert change.was_ns == probe.period_ns != change.period_ns
                self.probes[change.name] = probe._replace(period_ns=change.period_ns)
                found.append((second, change.name, change.period_ns / S))
                self.changes.append(change)
        return found


def test_within_the_budget_nothing_changes():
    machine = Machine(cpu=(0.002, 0.05, 1), threads=(0.03, 1, 30))
    assert machine.run(600) == []


def test_the_dearest_gives_way_until_the_budget_is_kept():
    machine = Machine(threads=(0.4, 1, 30), cpu=(0.001, 0.05, 1))
    changes = machine.run(60)
    assert changes == [(WINDOW - 1, "threads", 4), (2 * WINDOW - 1, "threads", 8)], "after some seconds, not one"
    assert machine.used <= BUDGET
    assert machine.changes[0].reason == "perfwatch used 42.0% of a core; its budget is 10.0%"


def test_a_short_peak_changes_nothing():
    machine = Machine(threads=(0.03, 1, 30))
    machine.run(10)
    machine.rest = 0.15
    assert machine.run(1) == []
    machine.rest = 0.0
    assert machine.run(60) == []


def test_a_probe_is_never_slower_than_it_may_be():
    machine = Machine(ledger=(0.05, 0.05, 0.05), sampled=(0.05, 0.01, 0.1), wire=(2.0, 4, 30))
    machine.run(300)
    periods = {name: probe.period_ns / S for name, probe in machine.probes.items()}
    assert periods == {"ledger": 0.05, "sampled": 0.1, "wire": 30}


def test_what_costs_nothing_is_left_alone_when_something_else_is_dear():
    machine = Machine(rest=0.5, host=(0.001, 1, 30))
    assert machine.run(100) == []


def test_the_rate_comes_back_when_there_is_room_for_it():
    machine = Machine(threads=(0.3, 1, 30))
    machine.run(60)
    assert machine.probes["threads"].period_ns == 4 * S
    machine.costs("threads", 0.01)
    changes = machine.run(60)
    assert [period_s for _, _, period_s in changes] == [2, 1]
    assert changes[0][0] >= PATIENCE - 1
    assert machine.changes[-1].reason.startswith("there is room again")


def test_no_rate_comes_back_that_would_pass_the_budget():
    machine = Machine(threads=(0.15, 1, 30))
    assert [period_s for _, _, period_s in machine.run(600)] == [2]
    assert 2 * machine.used >= BUDGET * ROOM


def test_a_load_that_comes_and_goes_makes_fewer_changes_with_time():
    machine = Machine(threads=(0.01, 1, 30))
    counts = []
    for _ in range(6):
        machine.costs("threads", 0.15)
        machine.run(15)
        machine.costs("threads", 0.01)
        counts.append(len(machine.run(60)))
    assert counts[0] == 1, "given back"
    assert counts[-1] == 0, "not again and again"


expenses = st.builds(
    Expense,
    st.sampled_from(["a", "b", "c"]),
    st.floats(0, 1e10),
    st.integers(1, 60 * S),
    st.integers(1, 60 * S),
    st.integers(1, 60 * S),
)


@given(st.floats(0.001, 1), st.lists(st.tuples(st.floats(0, 64), st.lists(expenses, max_size=3)), max_size=40))
def test_whatever_the_figures_a_period_stays_within_its_bounds(share, seconds):
    budget = Budget(share)
    for used, probes in seconds:
        change = budget.decide(used, probes)
        if change:
            assert (change.name, change.was_ns) in {(p.name, p.period_ns) for p in probes}
            assert change.period_ns != change.was_ns
            if change.period_ns > change.was_ns:
                assert change.period_ns <= max(p.slowest_ns for p in probes)
            else:
                assert change.period_ns in {p.faster_ns for p in probes}

"""One probe and its rate: a late reading is not made up for, and each one's cost is counted."""

from __future__ import annotations

import time

import pytest

from perfwatch.agent.reading import Reading
from perfwatch.probes.probe import AVAILABLE
from perfwatch.probes.records import Loss


class Counting:
    """A probe that uses CPU time as it is told."""

    name = "counting"
    period_s = 1.0

    def __init__(self, busy_s=0.0):
        self.busy_s = busy_s
        self.readings = 0
        self.is_open = False

    def availability(self):
        return AVAILABLE

    def __enter__(self):
        self.is_open = True
        return self

    def __exit__(self, *_):
        self.is_open = False

    def read(self, now_ns):
        self.readings += 1
        end = time.thread_time() + self.busy_s
        while time.thread_time() < end:
            pass
        return (Loss(now_ns, self.name, 1, "x"), Loss(now_ns, self.name, 1, "y"))


def dues(reading, *times):
    """Begin at the first of these times, read it at each, and return when the next was due."""
    reading.begin(times[0])
    found = []
    for now_s in times:
        reading.read(now_s)
        found.append(reading.due_s)
    return found


def test_readings_that_are_a_little_late_keep_the_beat():
    assert dues(Reading(Counting(), None, 30.0), 10.0, 11.02, 12.04, 13.0) == [11.0, 12.0, 13.0, 14.0]


def test_readings_that_are_a_little_early_keep_the_beat():
    assert dues(Reading(Counting(), None, 30.0), 10.0, 10.998, 11.999) == [11.0, 12.0, 13.0]


def test_readings_that_were_missed_are_not_made_up_for():
    assert dues(Reading(Counting(), None, 30.0), 10.0, 17.5, 18.1, 19.0) == [11.0, 18.0, 19.0, 20.0]


def test_half_a_period_after_its_last_reading_it_is_half_due():
    reading = Reading(Counting(), None, 30.0)
    dues(reading, 10.0, 11.0)
    assert [reading.is_half_due(now_s) for now_s in (11.0, 11.4, 11.6, 13.0)] == [False, False, True, True]


def test_a_rate_that_was_asked_for_is_the_probes_from_the_start():
    probe = Counting()
    reading = Reading(probe, 0.25, 30.0)
    assert (probe.period_s, reading.period_ns) == (0.25, 250_000_000)
    assert reading.expense().asked_ns == 250_000_000


def test_another_rate_takes_effect_at_once():
    probe = Counting()
    reading = Reading(probe, None, 30.0)
    assert dues(reading, 10.0) == [11.0]
    reading.change(4_000_000_000)
    assert (probe.period_s, reading.due_s) == (4.0, 14.0)
    reading.change(1_000_000_000)
    assert (probe.period_s, reading.due_s) == (1.0, 11.0)
    assert reading.expense()[2:] == (1_000_000_000, 1_000_000_000, 30_000_000_000)


def test_each_reading_is_counted_with_its_cpu_time():
    reading = Reading(Counting(busy_s=0.005), None, 30.0)
    dues(reading, 1.0, 2.0, 3.0, 4.0)
    cost = reading.cost()
    assert (cost.name, cost.readings, cost.records, cost.period_ns) == ("counting", 4, 8, 1_000_000_000)
    assert cost.cpu_ns >= 20_000_000
    assert reading.expense().share == pytest.approx(cost.cpu_ns / 4e9)


def test_a_cost_that_has_changed_is_noticed():
    probe = Counting(busy_s=0.0)
    reading = Reading(probe, None, 30.0)
    dues(reading, *range(30))
    probe.busy_s = 0.003
    dues(reading, *range(30, 80))
    assert reading.expense().reading_ns > 2_500_000


def test_it_is_open_until_it_is_closed():
    probe = Counting()
    reading = Reading(probe, None, 30.0)
    assert probe.is_open
    reading.close()
    reading.close()
    assert not probe.is_open

"""What looking now and then tells of pauses."""

from perfwatch.probes.pauses.counting import Counts
from perfwatch.probes.pauses.pairing import Pause
from perfwatch.probes.pauses.polling import Polling
from perfwatch.probes.pauses.settling import Told


def read(*readings):
    """Take in (time, whether it runs, its counts, its thread); return what was told, and the polling."""
    polling, told = Polling(), []
    for at_ns, is_running, ran, tid in readings:
        told += polling.reading(at_ns, Counts(is_running, ran, (700, 10, 10), (0, 0, 0)), tid)
    return told, polling


def test_a_pause_lasts_from_half_way_to_half_way():
    told, polling = read(
        (0, False, (5, 0, 0), 0), (20, True, (5, 0, 0), 7), (40, True, (5, 0, 0), 7), (60, False, (5, 0, 1), 0)
    )
    assert told == [Told(Pause(7, 10, 50), 2)]
    assert (polling.ran, polling.missed) == (1, 0)


def test_what_was_not_seen_is_counted():
    told, polling = read(
        (0, False, (5, 0, 0), 0), (20, False, (9, 1, 0), 0), (40, True, (9, 1, 0), 7), (60, False, (12, 1, 0), 0)
    )
    assert told == [Told(Pause(7, 30, 50), 0)]
    assert (polling.ran, polling.missed) == (8, 7)


def test_of_several_kinds_none_is_told():
    told, _ = read((0, False, (5, 0, 0), 0), (20, True, (5, 0, 0), 7), (40, False, (6, 0, 1), 0))
    assert told == [Told(Pause(7, 10, 30), None)]


def test_a_pause_that_was_running_at_first_has_a_length_from_then_on():
    told, polling = read((100, True, (5, 0, 0), 0), (120, True, (5, 0, 0), 7), (140, False, (5, 0, 1), 0))
    assert told == [Told(Pause(7, 100, 130), None)]
    assert polling.missed == 0

"""When watching is given up, and begun again."""

from perfwatch.probes.pauses.expense import CALM, LIMIT, PATIENCE_NS, SWITCH_NS, WINDOW_NS, WRITE_NS, Expense

SECOND = 1_000_000_000
AT_LIMIT = LIMIT * SECOND / WRITE_NS
"""Writes a second."""


def run(expense, begin_s, seconds, writes=0.0, switches=0.0):
    """Take in so much a second, ten times a second; return the first time at which it was too much."""
    for tenth in range(begin_s * 10, (begin_s + seconds) * 10):
        expense.add(tenth * SECOND // 10, round(writes / 10), round(switches / 10))
        if expense.is_too_much:
            return tenth / 10
    return None


def is_given_up(expense, at_s):
    expense.forgive(at_s * SECOND)
    return expense.is_given_up


def test_one_percent_of_a_core_is_borne_and_more_is_not():
    assert run(Expense(0, LIMIT), 0, 30, writes=AT_LIMIT * 0.95) is None
    assert run(Expense(0, LIMIT), 0, 30, writes=AT_LIMIT * 1.1) < 4
    assert run(Expense(0, LIMIT), 0, 30, switches=LIMIT * SECOND / SWITCH_NS * 1.1) < 4


def test_a_storm_is_given_up_at_once_and_a_gust_is_borne():
    assert run(Expense(0, LIMIT), 0, 30, writes=AT_LIMIT * 50) < 0.2
    expense = Expense(0, LIMIT)
    expense.add(0, round(AT_LIMIT * 2.9), 0)
    assert not expense.is_too_much
    expense.add(WINDOW_NS, round(AT_LIMIT * 2.9), 0)
    assert not expense.is_too_much


def test_it_is_watched_again_after_some_calm_and_later_each_time():
    expense = Expense(0, LIMIT)
    patience_s = PATIENCE_NS // SECOND
    begin_s = 0
    for times in range(3):
        given_up_s = run(expense, begin_s, 30, writes=AT_LIMIT * 9)
        expense.give_up(round(given_up_s * SECOND))
        calm_s = int(given_up_s) + 4  # when the storm has left the window
        wait_s = patience_s << times
        run(expense, calm_s, wait_s - 4, writes=AT_LIMIT * CALM * 0.9)
        assert is_given_up(expense, calm_s + wait_s - 5)
        run(expense, calm_s + wait_s - 4, 9, writes=AT_LIMIT * CALM * 0.9)
        begin_s = calm_s + wait_s + 5
        assert not is_given_up(expense, begin_s)


def test_without_calm_it_is_not_watched_again():
    expense = Expense(0, LIMIT)
    run(expense, 0, 30, writes=AT_LIMIT * 9)
    expense.give_up(SECOND)
    assert run(expense, 5, 60, writes=AT_LIMIT * 0.8) is None
    assert is_given_up(expense, 65)

"""What the next transaction of a partition looks for, by what those before it have met."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from service.core.types import Partition
from service.sinks.look_ups import EVERYTHING, FIRST_STRETCH, LONGEST_STRETCH, LookUp, LookUps
from tests.building import CUSTOMERS, ORDERS

NOTHING = LookUp(marks=False, rows=False)


@dataclass(frozen=True)
class Ran:
    """A transaction of so many events, and what it met."""

    events: int
    marks: bool = False
    rows: bool = False
    looked: LookUp = EVERYTHING


LONG = Ran(FIRST_STRETCH)


def after(*ran: Ran, partition: Partition = CUSTOMERS) -> LookUp:
    """What is looked for after these transactions."""
    look_ups = LookUps()
    for each in ran:
        look_ups.note(CUSTOMERS, each.events, each.looked, LookUp(each.marks, each.rows))
    return look_ups.next(partition)


def test_a_partition_nobody_knows() -> None:
    """Rows are looked up, marks are not: the cache would have known them."""
    assert after() == LookUp(marks=False, rows=True)


@pytest.mark.parametrize(
    ("ran", "looks"),
    [
        pytest.param([Ran(FIRST_STRETCH - 1)], True, id="too-short"),
        pytest.param([LONG], False, id="long-enough"),
        pytest.param([Ran(1)] * FIRST_STRETCH, False, id="one-by-one"),
        pytest.param([LONG, Ran(1, rows=True)], True, id="met-again"),
        pytest.param([Ran(1, rows=True), LONG], False, id="none-any-more"),
        pytest.param([Ran(FIRST_STRETCH, marks=True, rows=True)], True, id="copies"),
    ],
)
def test_rows_are_looked_up_until_none_were_met_for_long(ran: list[Ran], looks: bool) -> None:
    """An unbroken stretch of new rows ends the looking, one that was there begins it again."""
    assert after(*ran).rows == looks


@pytest.mark.parametrize(
    ("ran", "looks"),
    [
        pytest.param([Ran(1, marks=True)], True, id="met"),
        pytest.param([Ran(1, marks=True), Ran(FIRST_STRETCH - 1)], True, id="too-short"),
        pytest.param([Ran(1, marks=True), LONG], False, id="none-any-more"),
    ],
)
def test_marks_are_looked_up_after_one_was_met(ran: list[Ran], looks: bool) -> None:
    """Until none was met for as long as with rows."""
    assert after(*ran).marks == looks


def test_who_was_wrong_not_to_look_looks_for_twice_as_long() -> None:
    """Each time; who looked and met one goes on as before."""
    wrong = Ran(1, marks=True, rows=True, looked=NOTHING)
    met = Ran(1, marks=True, rows=True)
    assert after(wrong, LONG) == EVERYTHING
    assert after(wrong, LONG, LONG) == NOTHING
    assert after(wrong, wrong, LONG, LONG, LONG) == EVERYTHING
    assert after(wrong, wrong, *[LONG] * 4) == NOTHING
    assert after(met, met, met, LONG) == NOTHING


def test_after_a_failure_the_next_one_looks() -> None:
    """Whatever it was: the row that was taken for new may have been there."""
    look_ups = LookUps()
    look_ups.note(CUSTOMERS, FIRST_STRETCH, EVERYTHING, NOTHING)
    assert look_ups.next(CUSTOMERS) == NOTHING
    look_ups.doubt(CUSTOMERS)
    assert look_ups.next(CUSTOMERS) == EVERYTHING
    assert look_ups.next(ORDERS) == LookUp(marks=False, rows=True)


def test_no_stretch_is_too_long_to_end() -> None:
    """However often it was wrong: events may be of another kind by now."""
    wrong = [Ran(1, marks=True, rows=True, looked=NOTHING)] * 100
    assert after(*wrong, Ran(LONGEST_STRETCH - 1)) == EVERYTHING
    assert after(*wrong, Ran(LONGEST_STRETCH)) == NOTHING


def test_partitions_are_told_apart() -> None:
    """What one meets says nothing of another."""
    assert after(Ran(FIRST_STRETCH, marks=True), partition=ORDERS) == LookUp(marks=False, rows=True)


@pytest.mark.parametrize("every", [2, 3, 5, 10, 50])
def test_a_steady_stream_is_turned_back_a_few_times_only(every: int) -> None:
    """Whatever share of its batches changes rows: the price of being wrong is bounded."""
    look_ups, turned_back = LookUps(), 0
    for number in range(3_000):
        looked, met = look_ups.next(CUSTOMERS), number % every == 0
        turned_back += met and not looked.rows
        look_ups.note(CUSTOMERS, 2_500, looked, LookUp(marks=False, rows=met))
    assert turned_back <= 10

"""What is over, decided without a database: held against a small world of groups that read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from service.core.retention import (
    BATCH_SECONDS,
    FEWEST_ROWS,
    MOST_ROWS,
    GroupPosition,
    MarkRetention,
    letter_is_over,
    lowest_positions,
    rows_of_next_batch,
)
from service.core.types import LetterStatus, Partition
from tests.building import CUSTOMERS, NOON, ORDERS

KEEP_DAYS = 3
LOG_END = 30


def days_ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def retention(positions: Sequence[GroupPosition], horizon_records: int, today: datetime) -> MarkRetention:
    """What the purge asks."""
    cut = today - timedelta(days=KEEP_DAYS)
    return MarkRetention(cut, horizon_records, lowest_positions(positions, cut))


# ---------------------------------------------------------------- marks at one moment


def read_again(positions: Sequence[GroupPosition], horizon_records: int) -> set[tuple[Partition, int]]:
    """Every record that may still come, once more: each group goes back step by step, then reads on.

    Who has slept for as long as marks are kept is waited for only where all of a partition's groups have.
    """
    found = set()
    for partition in (CUSTOMERS, ORDERS):
        present = [each for each in positions if each.partition == partition]
        awake = [each for each in present if (NOON - each.updated_at).days <= KEEP_DAYS]
        starts = [each.next_offset for each in awake or present] or [0]
        for start in starts:
            for _ in range(horizon_records):
                start = max(0, start - 1)  # noqa: PLW2901 - a step back
            found |= {(partition, offset) for offset in range(start, LOG_END)}
    return found


a_position = st.builds(
    GroupPosition,
    partition=st.sampled_from([CUSTOMERS, ORDERS]),
    next_offset=st.integers(0, LOG_END),
    updated_at=st.integers(0, 2 * KEEP_DAYS).map(days_ago),
)


@given(positions=st.lists(a_position, max_size=6), horizon_records=st.integers(0, LOG_END + 5))
def test_of_old_marks_those_stay_that_may_be_read_again(
    positions: list[GroupPosition], horizon_records: int
) -> None:
    """None of them goes, and every other one does."""
    rule = retention(positions, horizon_records, NOON)
    old = days_ago(KEEP_DAYS + 1)
    kept = {
        (partition, offset)
        for partition in (CUSTOMERS, ORDERS)
        for offset in range(LOG_END)
        if not rule.is_over(partition, offset, old)
    }
    assert kept == read_again(positions, horizon_records)


@given(
    positions=st.lists(a_position, max_size=6),
    horizon_records=st.integers(0, LOG_END + 5),
    offset=st.integers(0, LOG_END),
    age_days=st.floats(0, KEEP_DAYS),
)
def test_no_young_mark_goes(
    positions: list[GroupPosition], horizon_records: int, offset: int, age_days: float
) -> None:
    """However far the groups have come."""
    rule = retention(positions, horizon_records, NOON)
    assert not rule.is_over(CUSTOMERS, offset, days_ago(age_days))


@pytest.mark.parametrize(
    ("positions", "lowest"),
    [
        pytest.param([], None, id="nobody-was-ever-there"),
        pytest.param([(20, 0)], 20, id="one-group"),
        pytest.param([(20, 0), (12, 1)], 12, id="the-one-behind-holds-back"),
        pytest.param([(20, 0), (12, 4)], 20, id="the-one-behind-has-slept-too-long"),
        pytest.param([(20, 0), (12, 3)], 12, id="it-moved-at-the-last-moment"),
        pytest.param([(20, 5), (12, 9)], 12, id="all-sleep"),
    ],
)
def test_whose_position_counts(positions: list[tuple[int, int]], lowest: int | None) -> None:
    """The lowest of the groups that moved within the retention, or of all where none did."""
    found = [GroupPosition(CUSTOMERS, offset, days_ago(days)) for offset, days in positions]
    assert lowest_positions(found, days_ago(KEEP_DAYS)).get(CUSTOMERS) == lowest


# ---------------------------------------------------------------- marks in the course of days


class Redelivery(RuleBasedStateMachine):
    """Groups read a log, stop for days and go back a little, while a purge comes along at any time.

    Whoever goes back within the horizon, and has not slept while others worked, finds every mark.
    """

    HORIZON = 3

    def __init__(self) -> None:
        super().__init__()
        self.today = NOON
        self.positions: dict[str, GroupPosition] = {}
        self.marks: dict[int, datetime] = {}
        self.left_behind: set[str] = set()

    groups = st.sampled_from("abc")

    @rule(group=groups, records=st.integers(1, 10))
    def read(self, group: str, records: int) -> None:
        stood = self.positions[group].next_offset if group in self.positions else 0
        for offset in range(stood, stood + records):
            self.marks.setdefault(offset, self.today)
        self.positions[group] = GroupPosition(CUSTOMERS, stood + records, self.today)

    @rule(days=st.integers(1, KEEP_DAYS))
    def sleep(self, days: int) -> None:
        self.today += timedelta(days=days)

    @rule()
    def purge(self) -> None:
        rule = retention(list(self.positions.values()), self.HORIZON, self.today)
        over = {offset for offset, made in self.marks.items() if rule.is_over(CUSTOMERS, offset, made)}
        for offset in over:
            del self.marks[offset]
        if over:
            self.left_behind |= self._not_waited_for()

    @precondition(lambda self: self.positions)
    @rule(data=st.data(), records=st.integers(0, HORIZON))
    def go_back(self, data: st.DataObject, records: int) -> None:
        group = data.draw(st.sampled_from(sorted(self.positions)))
        stands = self.positions[group].next_offset
        if group not in self.left_behind:
            for offset in range(max(0, stands - records), stands):
                assert offset in self.marks, f"{group} at {stands} reads {offset} again: its mark is gone"

    def _not_waited_for(self) -> set[str]:
        """Groups that were never there, and those that sleep while others work."""
        long_ago = self.today - timedelta(days=KEEP_DAYS)
        asleep = {name for name, position in self.positions.items() if position.updated_at < long_ago}
        absent = set("abc") - set(self.positions)
        return absent if asleep == set(self.positions) else absent | asleep


def test_whoever_goes_back_a_little_finds_every_mark() -> None:
    """In whatever order groups read, sleep, go back, and the purge comes along."""
    run_state_machine_as_test(Redelivery, settings=settings(max_examples=100, stateful_step_count=25))


# ---------------------------------------------------------------- letters, batches


@pytest.mark.parametrize("status", LetterStatus)
def test_which_letters_are_over(status: LetterStatus) -> None:
    """Old ones, whatever became of them, but never one that is still to be tried again."""
    old, young = days_ago(90.01), days_ago(89.99)
    assert letter_is_over(status, old, days_ago(90)) is (status is not LetterStatus.RETRYING)
    assert not letter_is_over(status, young, days_ago(90))


def test_batches_grow_while_they_are_quick() -> None:
    """Up to the size that a transaction takes at most."""
    rows = FEWEST_ROWS
    for _ in range(20):
        rows = rows_of_next_batch(rows, BATCH_SECONDS / 10)
    assert rows == MOST_ROWS


def test_batches_shrink_while_they_are_slow() -> None:
    """Down to a size that gets somewhere all the same."""
    rows = MOST_ROWS
    for _ in range(20):
        rows = rows_of_next_batch(rows, BATCH_SECONDS * 3)
    assert rows == FEWEST_ROWS


def test_batches_stay_when_they_take_what_they_may() -> None:
    """Neither growing nor shrinking: statements of another size are prepared anew."""
    assert rows_of_next_batch(128, BATCH_SECONDS) == 128

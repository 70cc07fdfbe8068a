"""Recovery is the time until the last log that had something to read moved on."""

from __future__ import annotations

import pytest

from tests.e2e.world import Log
from tests.faults.chaos.recovery import IDLE_SECONDS, Look, longest_standstill, recovery_seconds

ONE, TWO = Log("orders", 0), Log("orders", 1)


def look(at: float, one: int, two: int, ends: tuple[int, int]) -> Look:
    return Look(at, {ONE: one, TWO: two}, {ONE: ends[0], TWO: ends[1]})


def test_the_slowest_log_counts() -> None:
    """One partition that stands still is an outage."""
    looks = [look(10, 5, 5, (9, 9)), look(11, 6, 5, (9, 9)), look(13, 7, 6, (9, 9))]
    assert recovery_seconds(looks, since=9.5) == 3.5


def test_what_moved_before_the_heal_does_not_count() -> None:
    """Only looks after it are compared."""
    looks = [look(8, 1, 1, (9, 9)), look(10, 5, 5, (9, 9)), look(12, 6, 6, (9, 9))]
    assert recovery_seconds(looks, since=9) == 3


def test_not_yet() -> None:
    """A log with something to read that does not move: no recovery so far."""
    assert recovery_seconds([look(10, 5, 5, (9, 9)), look(99, 6, 5, (9, 9))], since=9) is None
    assert recovery_seconds([look(8, 5, 5, (9, 9))], since=9) is None


def test_being_at_the_end_is_no_recovery() -> None:
    """What is dead looks like that, until the next record comes."""
    looks = [look(10, 9, 9, (9, 9)), look(11, 10, 9, (10, 9)), look(12, 11, 9, (11, 10))]
    assert [recovery_seconds(looks[:number], since=9.5) for number in (1, 2, 3)] == [None, None, None]
    assert recovery_seconds([*looks, look(17, 12, 10, (12, 10))], since=9.5) == 5


def test_a_log_that_stays_idle_is_not_waited_for_for_ever() -> None:
    """Nothing is produced to it."""
    looks = [look(10, 5, 9, (9, 9)), look(11, 6, 9, (9, 9))]
    assert recovery_seconds(looks, since=9) is None
    assert recovery_seconds([*looks, look(9 + IDLE_SECONDS, 6, 9, (9, 9))], since=9) == 2


def test_the_clock_of_an_idle_log_starts_when_it_has_something_to_read() -> None:
    """While the broker was away, nothing could be produced: the producer's pause is not the service's."""
    looks = [
        look(10, 5, 9, (9, 9)),
        look(11, 6, 9, (9, 9)),
        look(20, 6, 9, (9, 11)),
        look(20.5, 7, 11, (9, 11)),
    ]
    assert recovery_seconds(looks, since=9) == 2


@pytest.mark.parametrize("positions", [{}, {ONE: 0}])
def test_a_log_without_a_position_has_not_moved(positions: dict[Log, int]) -> None:
    """No row yet is the same as offset 0."""
    ends = {ONE: 4}
    assert recovery_seconds([Look(1, positions, ends), Look(2, positions, ends)], since=0) is None
    assert recovery_seconds([Look(1, positions, ends), Look(2, {ONE: 1}, ends)], since=0) == 2


def test_the_longest_standstill_of_any_log_counts() -> None:
    """Also when it begins later: a member that is cut off works on what it has."""
    looks = [
        look(10, 5, 5, (9, 9)),
        look(11, 6, 6, (9, 9)),
        look(12, 7, 6, (19, 19)),
        look(18, 9, 6, (19, 19)),
        look(19, 19, 7, (19, 19)),
    ]
    assert longest_standstill(looks, since=9.5) == 8
    assert longest_standstill(looks[:3], since=9.5) == 1.5
    assert longest_standstill([], since=9.5) == 0


def test_waiting_for_the_producer_is_no_standstill() -> None:
    """A log at its end has nothing to do."""
    looks = [look(10, 9, 9, (9, 9)), look(60, 9, 9, (9, 9)), look(61, 10, 10, (10, 10))]
    assert longest_standstill(looks, since=9.5) == 1

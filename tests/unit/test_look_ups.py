"""What the next transaction of a partition looks for, by what those before it have met."""

from __future__ import annotations

import pytest

from service.core.types import Partition
from service.sinks.look_ups import NEW_ROWS, LookUp, LookUps
from tests.building import CUSTOMERS, ORDERS


def after(*met: tuple[int, bool, bool], partition: Partition = CUSTOMERS) -> LookUp:
    """What is looked for after transactions of so many events that met marks, or rows."""
    look_ups = LookUps()
    for events, marks, rows in met:
        look_ups.note(CUSTOMERS, events, marks=marks, rows=rows)
    return look_ups.next(partition)


def test_a_partition_nobody_knows() -> None:
    """Rows are looked up, marks are not: the cache would have known them."""
    assert after() == LookUp(marks=False, rows=True)


@pytest.mark.parametrize(
    ("met", "marks"),
    [
        pytest.param([(1, True, True)], True, id="met"),
        pytest.param([(1, True, True), (1, False, True)], False, id="none-any-more"),
    ],
)
def test_marks_are_looked_up_while_some_are_met(met: list[tuple[int, bool, bool]], marks: bool) -> None:
    """The last transaction decides."""
    assert after(*met).marks == marks


@pytest.mark.parametrize(
    ("met", "rows"),
    [
        pytest.param([(NEW_ROWS - 1, False, False)], True, id="too-few"),
        pytest.param([(NEW_ROWS, False, False)], False, id="enough"),
        pytest.param([(1, False, False)] * NEW_ROWS, False, id="one-by-one"),
        pytest.param([(NEW_ROWS, False, False), (1, False, True)], True, id="met-again"),
        pytest.param([(1, False, True), (NEW_ROWS, False, False)], False, id="none-any-more"),
        pytest.param([(NEW_ROWS, True, True)], True, id="copies"),
    ],
)
def test_rows_are_looked_up_until_none_were_met_for_long(
    met: list[tuple[int, bool, bool]], rows: bool
) -> None:
    """An unbroken stretch of new rows ends the looking, one that was there begins it again."""
    assert after(*met).rows == rows


def test_partitions_are_told_apart() -> None:
    """What one meets says nothing of another."""
    assert after((NEW_ROWS, True, False), partition=ORDERS) == LookUp(marks=False, rows=True)

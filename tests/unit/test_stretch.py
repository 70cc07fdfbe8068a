"""What a replay may read of a partition."""

from __future__ import annotations

import pytest

from service.core.types import LogRange
from service.pipeline.claim import Start, StartKind
from service.pipeline.stretch import BelowLog, plan, reached_offset
from tests.building import CUSTOMERS, position

LOG = LogRange(10, 100)


@pytest.mark.parametrize(
    ("begin", "until", "reached", "expected"),
    [
        pytest.param(20, 30, 100, (20, 30), id="a-part"),
        pytest.param(10, None, 100, (10, 100), id="to-the-end-as-of-now"),
        pytest.param(20, 500, 100, (20, 100), id="an-end-that-is-not-there-yet"),
        pytest.param(20, 15, 100, (20, 20), id="an-end-before-the-beginning"),
        pytest.param(100, None, 100, (100, 100), id="behind-the-last-record"),
        pytest.param(500, None, 100, (100, 100), id="beyond-the-end"),
        pytest.param(None, None, 100, (100, 100), id="a-time-beyond-the-end"),
        pytest.param(20, None, 60, (20, 100), id="on-beyond-the-group"),
        pytest.param(60, None, 60, (60, 100), id="where-the-group-stands"),
        pytest.param(61, None, 60, (61, 61), id="ahead-of-the-group"),
    ],
)
def test_a_stretch(begin: int | None, until: int | None, reached: int, expected: tuple[int, int]) -> None:
    """It lies in the log, and begins where the group has been."""
    stretch = plan(CUSTOMERS, begin, until, LOG, reached)
    assert (stretch.begin, stretch.end) == expected


def test_records_that_are_gone_are_not_skipped() -> None:
    """The error names where the log begins."""
    with pytest.raises(BelowLog, match=r"customers/0 begins at 10\b"):
        plan(CUSTOMERS, 9, None, LOG, 100)


def test_an_empty_stretch_says_why() -> None:
    """The end of the log and the group's place look alike otherwise."""
    assert "the log ends at 100" in plan(CUSTOMERS, 200, None, LOG, 100).remark
    assert "the group stands at 60" in plan(CUSTOMERS, 61, None, LOG, 60).remark


@pytest.mark.parametrize(
    ("start", "stored", "reached"),
    [
        pytest.param(Start(10, StartKind.NEW), None, 10, id="new"),
        pytest.param(Start(50, StartKind.STORED), position(50), 50, id="stored"),
        pytest.param(Start(20, StartKind.RESET), position(50), 50, id="reset-back"),
        pytest.param(Start(20, StartKind.RESET), position(20, handled=50), 50, id="reset-back-and-claimed"),
        pytest.param(Start(80, StartKind.RESET), position(50), 80, id="reset-forward"),
        pytest.param(Start(10, StartKind.OUT_OF_RANGE, anew=True), position(500), 10, id="begun-anew"),
    ],
)
def test_how_far_the_group_has_come(start: Start, stored: object, reached: int) -> None:
    """What was handled stays handled, wherever the next claim starts, unless it begins anew."""
    assert reached_offset(start, stored) == reached  # type: ignore[arg-type]  # a position, or none

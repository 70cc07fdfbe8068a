"""Inside a process: failpoints strike in their order, at whom they are meant for, and each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.failpoints.armed import LANE, LONE, RECORDS, Armed
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.plan import Account, Failpoint, Plan

_FETCH = Failpoint("before fetch", Kind.REFUSED, records=7)
_MARK = Failpoint("after batch: insert processed_events", Kind.DEADLOCK, records=7)
_SEEK = Failpoint("after seek", Kind.UNFORESEEN)


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """An empty account."""
    return Account(tmp_path / "account")


@pytest.fixture(autouse=True)
def lane() -> Iterator[None]:
    """A lane with a batch of seven in hand."""
    lane, records = LANE.set("customers/0"), RECORDS.set(7)
    yield
    LANE.reset(lane)
    RECORDS.reset(records)


def _armed(account: Account, *failpoints: Failpoint) -> Armed:
    return Armed(Plan(failpoints, str(account.path)), account)


def _told(account: Account) -> list[tuple[str, int]]:
    return [(told.what, told.number) for told in account.read()]


def test_each_strikes_once_and_says_so(account: Account) -> None:
    """The account tells what struck and that the lane went on; the next to come is let through."""
    armed = _armed(account, _MARK)
    assert armed.come_to(_MARK.step_name) == _MARK
    assert armed.come_to(_MARK.step_name) is None
    armed.moved()
    assert _told(account) == [("struck", 0), ("went on", 0)]


def test_the_next_one_waits_until_the_lane_went_on(account: Account) -> None:
    """Two faults never meet in one batch."""
    armed = _armed(account, _MARK, _FETCH)
    armed.come_to(_MARK.step_name)
    assert armed.come_to(_FETCH.step_name) is None
    armed.moved()
    assert armed.come_to(_FETCH.step_name) == _FETCH


def test_claims_fail_one_after_the_other(account: Account) -> None:
    """A claim is tried without end: the next failpoint in one does not wait, and asks for a claim."""
    armed = _armed(account, _SEEK, _SEEK, _MARK)
    assert armed.come_to(_SEEK.step_name) == _SEEK
    assert armed.wants_a_claim
    assert armed.come_to(_SEEK.step_name) == _SEEK
    assert not armed.wants_a_claim


def test_a_small_batch_passes(account: Account) -> None:
    """What is tried with hundreds of records does not happen to a handful."""
    armed = _armed(account, Failpoint(_MARK.step_name, _MARK.kind, records=200))
    assert armed.come_to(_MARK.step_name) is None


def test_the_first_ones_pass(account: Account) -> None:
    """`skip` lets so many through."""
    armed = _armed(account, Failpoint(_MARK.step_name, _MARK.kind, skip=2))
    assert [armed.come_to(_MARK.step_name) is None for _ in range(3)] == [True, True, False]


def test_a_lone_record_passes(account: Account) -> None:
    """The last one of a divided batch would be parked."""
    armed = _armed(account, _MARK)
    token = LONE.set(True)
    assert armed.come_to(_MARK.step_name) is None
    LONE.reset(token)


def test_nobody_but_lanes_is_struck(account: Account) -> None:
    """The monitor asks the same servers."""
    armed = _armed(account, _MARK)
    token = LANE.set("")
    assert armed.come_to(_MARK.step_name) is None
    LANE.reset(token)

"""Where a lane starts, and what it writes into the row when it claims."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from service.core.types import OPERATOR, GroupOffset, LogRange, StoredPosition
from service.pipeline.claim import (
    ALARMS,
    Halt,
    Start,
    StartKind,
    StartPolicy,
    choose_start,
    claimed_position,
)
from tests.building import position

LOG = LogRange(10, 100)
LATEST = StartPolicy(new_from_latest=True)
GO_ON = StartPolicy(go_on_at_earliest=True)


def ours(offset: int) -> GroupOffset:
    return GroupOffset(offset, ours=True)


def reset(offset: int) -> GroupOffset:
    return GroupOffset(offset, ours=False)


def choose(
    stored: StoredPosition | None,
    group: GroupOffset | None,
    log: LogRange = LOG,
    policy: StartPolicy | None = None,
) -> Start | Halt:
    return choose_start(stored, group, log, "cluster", policy or StartPolicy())


@pytest.mark.parametrize(
    ("stored", "group", "expected"),
    [
        pytest.param(position(50), ours(50), Start(50, StartKind.STORED), id="stored-and-group-agree"),
        pytest.param(position(50), ours(40), Start(50, StartKind.STORED), id="group-behind-the-position"),
        pytest.param(position(50), None, Start(50, StartKind.STORED), id="group-offset-expired"),
        pytest.param(
            position(50), ours(60), Start(50, StartKind.RESTORED), id="group-ahead-database-restored"
        ),
        pytest.param(
            position(50, owner=OPERATOR),
            ours(60),
            Start(50, StartKind.RESET),
            id="positions-reset-and-group-ahead",
        ),
        pytest.param(
            position(50, owner=OPERATOR),
            reset(60),
            Start(50, StartKind.RESET),
            id="positions-reset-after-another",
        ),
        pytest.param(
            position(50, owner=OPERATOR), None, Start(50, StartKind.RESET), id="positions-reset-no-group"
        ),
        pytest.param(position(50), reset(60), Start(60, StartKind.RESET), id="operator-reset-forward"),
        pytest.param(position(50), reset(20), Start(20, StartKind.RESET), id="operator-reset-backward"),
        pytest.param(position(50), reset(50), Start(50, StartKind.RESET), id="operator-reset-to-the-same"),
        pytest.param(None, reset(60), Start(60, StartKind.RESET), id="operator-reset-without-a-position"),
        pytest.param(None, ours(60), Start(10, StartKind.LOST), id="database-new-or-lost"),
        pytest.param(None, None, Start(10, StartKind.NEW), id="new-group-or-partition"),
    ],
)
def test_where_a_claim_starts(
    stored: StoredPosition | None, group: GroupOffset | None, expected: Start
) -> None:
    """Every row of the table in the promise."""
    assert choose(stored, group) == expected


def test_a_restored_or_lost_database_and_a_jump_are_alarms() -> None:
    """The others are everyday."""
    assert {StartKind.RESTORED, StartKind.LOST, StartKind.OUT_OF_RANGE} == ALARMS


def test_a_new_partition_may_begin_at_the_end() -> None:
    """By setting; a lost database still begins at the earliest record."""
    assert choose(None, None, policy=LATEST) == Start(100, StartKind.NEW)
    assert choose(None, ours(60), policy=LATEST) == Start(10, StartKind.LOST)
    assert choose(position(50), None, policy=LATEST) == Start(50, StartKind.STORED)


@pytest.mark.parametrize(
    ("stored", "group"),
    [
        pytest.param(position(10), None, id="stored-at-the-beginning"),
        pytest.param(position(100), None, id="stored-at-the-end"),
        pytest.param(position(50), reset(10), id="reset-to-the-beginning"),
        pytest.param(position(50), reset(100), id="reset-to-the-end"),
        pytest.param(position(10, cluster_id=None), None, id="cluster-cleared"),
    ],
)
def test_a_start_within_the_log_is_a_start(stored: StoredPosition, group: GroupOffset | None) -> None:
    """Both bounds belong to the log."""
    assert isinstance(choose(stored, group), Start)


@pytest.mark.parametrize(
    ("stored", "group", "words"),
    [
        pytest.param(position(9), None, "9 lies below the log's beginning 10", id="stored-below"),
        pytest.param(position(101), None, "101 lies beyond the log's end 100", id="stored-beyond"),
        pytest.param(position(50), reset(9), "9 lies below", id="reset-below"),
        pytest.param(position(50), reset(101), "101 lies beyond", id="reset-beyond"),
        pytest.param(None, reset(101), "101 lies beyond", id="reset-beyond-without-a-position"),
        pytest.param(position(9), ours(60), "9 lies below", id="restored-below"),
        pytest.param(position(50, cluster_id="other"), ours(50), "Kafka cluster other", id="another-cluster"),
        pytest.param(
            position(50, cluster_id="other"), reset(50), "cluster other", id="another-cluster-reset"
        ),
        pytest.param(position(50, cluster_id=""), None, "this is cluster", id="empty-cluster"),
    ],
)
def test_what_is_not_in_the_log_halts(
    stored: StoredPosition | None, group: GroupOffset | None, words: str
) -> None:
    """No record is skipped or confused without an operator's word; or a setting's."""
    halt = choose(stored, group)
    assert isinstance(halt, Halt)
    assert words in halt.reason
    assert choose(stored, group, policy=GO_ON) == Start(10, StartKind.OUT_OF_RANGE, anew=True)


def test_an_empty_log_is_a_log() -> None:
    """A partition without a record starts at its only offset."""
    empty = LogRange(0, 0)
    assert choose(None, None, empty) == Start(0, StartKind.NEW)
    assert choose(position(0), ours(0), empty) == Start(0, StartKind.STORED)
    assert isinstance(choose(position(1), None, empty), Halt)


class TestClaimedPosition:
    def test_a_first_claim_begins_everything(self) -> None:
        """Epoch one, nothing handled below the start."""
        claimed = claimed_position(None, Start(10, StartKind.NEW), "cluster", "host:1")
        assert (claimed.next_offset, claimed.handled_offset, claimed.epoch) == (10, 10, 1)
        assert (claimed.owner, claimed.cluster_id) == ("host:1", "cluster")

    def test_a_claim_is_never_the_same_twice(self) -> None:
        """128 random bits in the fence, 64 in the namespace: a restored database makes neither again."""
        start = Start(10, StartKind.NEW)
        claims = [claimed_position(None, start, "cluster", "host:1") for _ in range(50)]
        assert len({claim.claim_id for claim in claims}) == 50
        assert len({claim.cache_namespace for claim in claims}) == 50
        assert {len(claim.claim_id) for claim in claims} == {32}

    def test_a_later_claim_counts_on(self) -> None:
        """Another claim and owner, the next epoch, the cluster of now."""
        stored = position(50, epoch=6, owner="host:1", cluster_id=None)
        claimed = claimed_position(stored, Start(50, StartKind.STORED), "cluster", "host:2")
        assert claimed == replace(
            stored, claim_id=claimed.claim_id, epoch=7, owner="host:2", cluster_id="cluster"
        )
        assert claimed.claim_id != stored.claim_id

    @pytest.mark.parametrize(
        ("stored", "start", "handled", "anew"),
        [
            pytest.param(position(50), Start(50, StartKind.STORED), 50, False, id="where-it-stood"),
            pytest.param(position(50), Start(50, StartKind.RESTORED), 50, True, id="restored"),
            pytest.param(position(50), Start(20, StartKind.RESET), 50, False, id="reset-backward"),
            pytest.param(position(20, handled=50), Start(20, StartKind.STORED), 50, False, id="replaying"),
            pytest.param(
                position(20, handled=50), Start(40, StartKind.RESET), 50, False, id="reset-below-handled"
            ),
            pytest.param(
                position(20, handled=50), Start(50, StartKind.RESET), 50, False, id="reset-to-handled"
            ),
            pytest.param(position(50), Start(51, StartKind.RESET), 51, True, id="reset-over-records"),
            pytest.param(
                position(20, handled=50), Start(51, StartKind.RESET), 51, True, id="reset-over-handled"
            ),
            pytest.param(
                position(50), Start(10, StartKind.OUT_OF_RANGE, anew=True), 10, True, id="another-log"
            ),
            pytest.param(None, Start(10, StartKind.LOST), 10, True, id="lost"),
            pytest.param(None, Start(60, StartKind.RESET), 60, True, id="reset-without-a-position"),
        ],
    )
    def test_the_namespace_changes_only_where_the_cache_may_be_wrong(
        self, stored: StoredPosition | None, start: Start, handled: int, anew: bool
    ) -> None:
        """Otherwise the cache keeps its hits; `handled_offset` never goes down under one namespace."""
        claimed = claimed_position(stored, start, "cluster", "host:1")
        assert claimed.next_offset == start.offset
        assert claimed.handled_offset == handled
        assert (claimed.cache_namespace != "5eed") == anew
        assert claimed.handled_from == (start.offset if anew else 0)

    def test_what_a_jump_passed_over_was_never_handled(self) -> None:
        """Forward and back: after a restore an entry of theirs may be all that is left of a record."""
        forth = claimed_position(position(50), Start(80, StartKind.RESET), "cluster", "host:1")
        back = claimed_position(forth, Start(20, StartKind.RESET), "cluster", "host:1")
        assert (back.handled_from, back.handled_offset) == (80, 80)
        assert back.cache_namespace == forth.cache_namespace

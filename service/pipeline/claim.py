"""Where a lane starts: the database's position, an operator's word, the beginning, or nowhere.

`choose_start` and `claimed_position` are pure: lanes act on them, `upsertd positions` shows them. The
rules are the table "Where a claim starts" of the promise (docs/how-it-works.md).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum

from service.core.types import OPERATOR, GroupOffset, LogRange, StoredPosition


class StartKind(StrEnum):
    """Why a lane starts where it starts; the label of `upsertd_claims_total`."""

    STORED = "stored"
    RESTORED = "restored"  # the group is ahead of the database, which was restored from a backup
    RESET = "reset"  # an operator moved the group's offset
    LOST = "lost"  # the group has an offset of ours, the database knows nothing
    NEW = "new"  # a new group or a new partition
    OUT_OF_RANGE = "out_of_range"  # what was stored is not in the log: on at the earliest, as configured


ALARMS = frozenset({StartKind.RESTORED, StartKind.LOST, StartKind.OUT_OF_RANGE})


@dataclass(frozen=True, slots=True)
class Start:
    """Read on from `offset`; `anew` when nothing that was handled before counts any more."""

    offset: int
    kind: StartKind
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """Do not read: an operator has to decide, because records would be skipped or confused."""

    reason: str


@dataclass(frozen=True, slots=True)
class StartPolicy:
    """What operators chose: where new partitions begin, and whether to go on where the log has gaps."""

    new_from_latest: bool = False
    go_on_at_earliest: bool = False


def choose_start(
    stored: StoredPosition | None,
    group: GroupOffset | None,
    log: LogRange,
    cluster_id: str,
    policy: StartPolicy,
) -> Start | Halt:
    """Decide from what the database, the group and the log say now."""
    start = _wanted(stored, group, log, policy)
    trouble = _trouble(start, stored, log, cluster_id)
    if trouble is None:
        return start
    if policy.go_on_at_earliest:
        return Start(log.beginning, StartKind.OUT_OF_RANGE, anew=True)
    return Halt(trouble)


def _wanted(
    stored: StoredPosition | None, group: GroupOffset | None, log: LogRange, policy: StartPolicy
) -> Start:
    if stored is not None and stored.owner == OPERATOR:
        # The row is the operator's last word, whatever the group's offset says and whoever set it.
        return Start(stored.next_offset, StartKind.RESET)
    if group is not None and not group.ours:
        return Start(group.offset, StartKind.RESET)
    if stored is not None:
        restored = group is not None and group.offset > stored.next_offset
        return Start(stored.next_offset, StartKind.RESTORED if restored else StartKind.STORED)
    if group is not None:
        return Start(log.beginning, StartKind.LOST)
    return Start(log.end if policy.new_from_latest else log.beginning, StartKind.NEW)


def _trouble(start: Start, stored: StoredPosition | None, log: LogRange, cluster_id: str) -> str | None:
    if stored is not None and stored.cluster_id not in (None, cluster_id):
        return f"the position belongs to Kafka cluster {stored.cluster_id}, this is {cluster_id}"
    if start.offset < log.beginning:
        return f"position {start.offset} lies below the log's beginning {log.beginning}: records are gone"
    if start.offset > log.end:
        return f"position {start.offset} lies beyond the log's end {log.end}: another or a shorter log"
    return None


def claimed_position(
    stored: StoredPosition | None, start: Start, cluster_id: str, owner: str
) -> StoredPosition:
    """The position's row as a claim writes it: a fresh claim id, and a namespace that fits the start.

    The namespace changes only where the position jumps over records or begins anew, after a restore too:
    what the database has forgotten may come to another end this time. A reset backwards keeps it and
    `handled_offset`, so that a replay still hits the cache; but what a jump passed over was never handled:
    `handled_from` says where the namespace begins.
    """
    is_restored = start.kind is StartKind.RESTORED
    anew = stored is None or start.anew or is_restored or start.offset > stored.handled_offset
    return StoredPosition(
        next_offset=start.offset,
        handled_offset=start.offset if anew or stored is None else stored.handled_offset,
        claim_id=secrets.token_hex(16),
        epoch=1 if stored is None else stored.epoch + 1,
        owner=owner,
        cache_namespace=secrets.token_hex(8) if anew or stored is None else stored.cache_namespace,
        cluster_id=cluster_id,
        handled_from=start.offset if anew or stored is None else stored.handled_from,
    )

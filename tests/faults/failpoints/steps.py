"""The named steps of the real path, from the claim of a partition to the commit of its offset.

One table. A step stands right before or right after an action; `adapters` reaches it where the service's real
adapters carry the action out. What happens there is in `kinds`, what has to be sent to come there in `load`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tests.faults.failpoints.kinds import Kind

_ENDING = (Kind.CRASH, Kind.CUT_OFF)
_SQL = tuple(Kind)
_BEFORE_COMMIT = (*_ENDING, Kind.DEADLOCK, Kind.REFUSED, Kind.HANG, Kind.UNFORESEEN)
_AFTER_COMMIT = (*_ENDING, Kind.ANSWER_LOST, Kind.HANG, Kind.UNFORESEEN)
_ASKED = (*_ENDING, Kind.REFUSED, Kind.ANSWER_LOST, Kind.HANG, Kind.UNFORESEEN)
_TOLD = (*_ENDING, Kind.ANSWER_LOST, Kind.HANG, Kind.UNFORESEEN)


class Phase(StrEnum):
    """When a lane comes to a step: it decides in which order failpoints are armed, and what is to be sent."""

    NEW_CLAIM = "new claim"  # of a partition that has no row yet
    CLAIM = "claim"
    BATCH = "batch"
    HITS = "hits"  # batches of nothing but cache hits
    RETRY = "retry"  # of records that were parked

    @property
    def is_claim(self) -> bool:
        return self in (Phase.NEW_CLAIM, Phase.CLAIM)


@dataclass(frozen=True, slots=True)
class Step:
    """A place in the path: before or after what `adapters` calls by this name; `tells` what is true there."""

    name: str
    tells: str
    kinds: tuple[Kind, ...]
    phase: Phase = Phase.BATCH


_STEPS = (
    # ---------------------------------------------------------------- the claim
    Step("after row: select consumer_positions", "the lane has read its row", _SQL, Phase.CLAIM),
    Step("after group offsets", "the lane has asked Kafka for the group's offset", _ASKED, Phase.CLAIM),
    Step("after log ranges", "the lane has asked Kafka for the log's ends", _ASKED, Phase.CLAIM),
    Step(
        "after claim: insert consumer_positions",
        "the first claim of a partition is written, not committed",
        # One ending alone: the next process finds the partitions claimed.
        tuple(kind for kind in _SQL if kind is not Kind.CUT_OFF),
        Phase.NEW_CLAIM,
    ),
    Step(
        "after claim: update consumer_positions",
        "the claim of a partition is written, not committed",
        _SQL,
        Phase.CLAIM,
    ),
    Step("before claim: commit", "the claim is about to be committed", _BEFORE_COMMIT, Phase.CLAIM),
    Step("after claim: commit", "the claim is committed, the lane does not know", _AFTER_COMMIT, Phase.CLAIM),
    Step("after seek", "the source was told where to read on", (*_ENDING, Kind.UNFORESEEN), Phase.CLAIM),
    # ---------------------------------------------------------------- before the transaction
    Step(
        "before fetch",
        "the lane is about to ask for records",
        (*_ENDING, Kind.REFUSED, Kind.HANG, Kind.UNFORESEEN),
    ),
    Step("after fetch", "records are in hand, nothing is done with them", _ENDING),
    Step("before decode", "a record of the batch is to be decoded", (*_ENDING, Kind.HANG)),
    Step("after cache: seen", "Redis was asked which events it knows", _ASKED),
    # ---------------------------------------------------------------- the transaction of a batch
    Step("after batch: update consumer_positions", "the fence has moved the position", _SQL),
    Step("after batch: select processed_events", "the marks are read", _SQL),
    Step("after batch: select customers", "rows are locked and read", _SQL),
    Step("after batch: insert customers", "new rows are inserted", _SQL),
    Step("after batch: overwrite customers", "older rows are overwritten", _SQL),
    Step("after batch: overwrite orders", "orders are overwritten, their lines are not", _SQL),
    Step("after batch: delete order_items", "the old lines of orders are removed", _SQL),
    Step("after batch: insert order_items", "the new lines of orders are inserted", _SQL),
    Step("after batch: insert processed_events", "the ids are marked", _SQL),
    Step("after batch: select dead_letters", "open letters of these records are looked for", _SQL),
    Step("after batch: insert dead_letters", "dead letters are inserted", _SQL),
    Step("before batch: commit", "everything is written, nothing is committed", _BEFORE_COMMIT),
    Step("after batch: commit", "the batch is committed, the lane does not know", _AFTER_COMMIT),
    # ---------------------------------------------------------------- after the transaction
    Step("after cache: remember", "Redis was told which events are marked", _ASKED),
    Step("before offset: commit", "SQL is ahead of Kafka's offset", (*_ENDING, Kind.REFUSED)),
    Step("after offset: commit", "Kafka has the offset, the lane does not know", _TOLD),
    # ---------------------------------------------------------------- a position that moves alone
    Step("after hits: update consumer_positions", "a position moves without a batch", _SQL, Phase.HITS),
    Step("after hits: commit", "a position moved alone, the lane does not know", _AFTER_COMMIT, Phase.HITS),
    # ---------------------------------------------------------------- a parked record, beside the lanes
    Step("after due: select dead_letters", "parked records that are due were looked for", _SQL, Phase.RETRY),
    Step("after retry: select dead_letters", "the letter of a parked record is held", _SQL, Phase.RETRY),
    Step("after retry: insert customers", "a parked record is applied", _SQL, Phase.RETRY),
    Step("after retry: insert processed_events", "a parked record is marked", _SQL, Phase.RETRY),
    Step("after retry: update dead_letters", "its letter is closed", _SQL, Phase.RETRY),
    Step("before retry: commit", "a parked record is about to be committed", _BEFORE_COMMIT, Phase.RETRY),
    Step("after retry: commit", "a parked record is committed, nobody knows", _AFTER_COMMIT, Phase.RETRY),
)


STEPS = {step.name: step for step in _STEPS}

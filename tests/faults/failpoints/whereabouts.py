"""Who comes to a step: what a lane, or the task that tries parked records again, is doing right now.

`note_whereabouts` wraps what lanes, sink and letters do, so that `armed` knows for each task its partition,
its batch and its errand; `adapters` has the steps themselves. Called by `launcher`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from service.core.types import Batch, Lease, Partition, StoredPosition, Work, Written
from service.pipeline import partition as lane_module
from service.pipeline.partition import ClaimLost, Lane
from service.sinks.letters import SqlLetters
from service.sinks.sql import SqlSink
from tests.faults.failpoints.armed import LANE, LONE, OPERATION, RECORDS, RETRIES, Armed
from tests.faults.failpoints.replaced import replaced


def note_whereabouts(armed: Armed) -> None:
    """Let every task of this process be known by what it is about."""
    _in_lane(armed)
    _in_sink()
    _in_letters(armed)


@contextmanager
def _set(variable: ContextVar[Any], value: object) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _in_lane(armed: Armed) -> None:
    async def run(self: Lane) -> None:
        LANE.set(str(self.partition))
        await run_lane(self)

    async def try_claim(self: Lane) -> Lease | None:
        with _set(OPERATION, "claiming"):
            lease: Lease | None = await claim(self)
        return lease

    async def process(batch: Batch, *more: Any, **named: Any) -> Any:
        RECORDS.set(len(batch.records))
        done = await process_batch(batch, *more, **named)
        armed.worked()
        return done

    async def check_row(self: Lane, lease: Lease) -> Lease:
        if armed.wants_a_claim:
            raise ClaimLost("a failpoint waits for a claim")
        checked: Lease = await check(self, lease)
        return checked

    def moved_to(self: Lane, position: int) -> None:
        move(self, position)
        armed.moved()

    run_lane = replaced(Lane, "run", run)
    claim = replaced(Lane, "_try_claim", try_claim)
    process_batch = replaced(lane_module, "process", process)
    check = replaced(Lane, "_check_row", check_row)
    move = replaced(Lane, "_moved_to", moved_to)


def _in_sink() -> None:
    async def position_of(self: SqlSink, partition: Partition) -> StoredPosition | None:
        with _set(OPERATION, "row" if OPERATION.get() == "claiming" else "look"):
            stored: StoredPosition | None = await position(self, partition)
        return stored

    async def claim_row(self: SqlSink, *what: Any) -> bool:
        with _set(OPERATION, "claim"):
            held: bool = await claim(self, *what)
        return held

    async def apply_work(self: SqlSink, work: Work, lease: Lease) -> Written:
        items = len(work.events) + len(work.letters)
        with _set(OPERATION, "batch" if items else "hits"), _set(LONE, items == 1 < RECORDS.get()):
            written: Written = await apply(self, work, lease)
        return written

    async def learn_packet_limit(self: SqlSink) -> None:
        with _set(OPERATION, "packet limit"):
            await learn(self)

    position = replaced(SqlSink, "position", position_of)
    claim = replaced(SqlSink, "claim", claim_row)
    apply = replaced(SqlSink, "apply", apply_work)
    learn = replaced(SqlSink, "_learn_packet_limit", learn_packet_limit)


def _in_letters(armed: Armed) -> None:
    async def due_letters(self: SqlLetters, *what: Any) -> Any:
        LANE.set(RETRIES)
        with _set(OPERATION, "due"):
            letters = await due(self, *what)
        if not letters:
            armed.moved()
        return letters

    async def retry_letter(self: SqlLetters, *what: Any) -> Any:
        with _set(OPERATION, "retry"):
            outcome = await retry(self, *what)
        armed.moved()
        return outcome

    due = replaced(SqlLetters, "due", due_letters)
    retry = replaced(SqlLetters, "retry", retry_letter)

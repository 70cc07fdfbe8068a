"""The simulated database is held to `service.testing.sink`, which the contract suite holds to real ones."""

from __future__ import annotations

import asyncio
import random

import pytest

from service.core.errors import UpsertdError
from service.core.types import DeadLetter, Event, Lease, LetterStatus, Partition, Record, StoredPosition, Work
from service.testing.sink import InMemorySink
from tests.faults.simulation.broker import Log
from tests.faults.simulation.database import Database
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.judge import Judge
from tests.faults.simulation.messages import ENTITY, Kind, Press

PARTITIONS = (Partition(ENTITY, 0), Partition(ENTITY, 1))


class Twins:
    """The two databases, the records that both are given, and a judge who watches one."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.journal = Journal()
        self.press = Press(self.rng, special=0.5)
        self.press.mended = True
        judge = Judge(self.journal, self.press)
        self.logs = {partition: Log(partition) for partition in PARTITIONS}
        judge.logs = self.logs
        self.database = Database(self.press, judge)
        self.sink = InMemorySink()
        self.sink.clock = lambda: 0.0

    def claim(self, partition: Partition, claim_id: str) -> Lease:
        seen = self.database.tables.positions.get(partition)
        at, handled = (0, 0) if seen is None else (seen.next_offset, seen.handled_offset)
        claimed = StoredPosition(at, handled, claim_id, 1, "m1", "5eed", "cluster")
        both = self.both(
            lambda: self.database.claim(partition, seen, claimed), self.sink.claim(partition, seen, claimed)
        )
        assert both == "True"
        return Lease(partition, claim_id, at, handled, "5eed")

    def both(self, ours: object, theirs: object) -> str:
        """What both answer, which must be the same."""
        answers = [_answer(ours), _answer(lambda: asyncio.run(theirs))]  # type: ignore[arg-type]  # a call
        assert answers[0] == answers[1]
        return answers[0]

    def work(self, partition: Partition) -> Work:
        """Some records, fresh from the press, as a batch."""
        log = self.logs[partition]
        start = log.end
        for _ in range(self.rng.randint(0, 4)):
            log.append(self.press.print(), None, ())
        events: list[Event] = []
        letters: list[DeadLetter] = []
        for record in log.between(start, log.end):
            if self.press.message(record.value).kind is Kind.HOSTILE:
                letters.append(_letter(record, None))
            elif self.press.message(record.value).kind is Kind.STICKY:
                letters.append(_letter(record, 1.0))
            else:
                events.append(self.press.decode(record))
        return Work(tuple(events), tuple(letters), log.end)

    def stored(self) -> tuple[object, object]:
        """What is in each, in the same words."""
        ours, theirs = self.database.tables, self.sink.tables
        return (
            (
                {key: (row.version, row.deleted, dict(row.columns)) for key, row in ours.rows.items()},
                dict(ours.marks),
                dict(ours.positions),
                {place: (each.letter, each.status, each.due_at) for place, each in ours.letters.items()},
            ),
            (
                {key[1]: (row.version, row.deleted, row.columns) for key, row in theirs.rows.items()},
                {event_id: mark for event_id, (mark, _) in theirs.marks.items()},
                dict(theirs.positions),
                {
                    key[:2]: (letter, status, theirs.due_at.get(key))
                    for key, (letter, status) in theirs.letters.items()
                },
            ),
        )


def _answer(call: object) -> str:
    try:
        return str(call())  # type: ignore[operator]  # a call
    except UpsertdError as error:
        return type(error).__name__


def _letter(record: Record, retry_in_seconds: float | None) -> DeadLetter:
    return DeadLetter(record, "decode", "SchemaViolation", "", retry_in_seconds=retry_in_seconds)


@pytest.mark.parametrize("seed", range(20))
def test_both_databases_say_and_store_the_same(seed: int) -> None:
    """Batches, batches again, batches of a superseded owner: answers and tables are equal."""
    twins = Twins(seed)
    leases = {partition: twins.claim(partition, f"first {partition}") for partition in PARTITIONS}
    for step in range(30):
        partition = twins.rng.choice(PARTITIONS)
        work, lease = twins.work(partition), leases[partition]
        answer = twins.both(
            lambda: twins.database.apply(work, lease, 0.0),  # noqa: B023 - called at once
            twins.sink.apply(work, lease),
        )
        assert answer.startswith("Written")
        again = twins.both(
            lambda: twins.database.apply(work, lease, 0.0),  # noqa: B023 - called at once
            twins.sink.apply(work, lease),
        )
        assert again == ("FenceLost" if work.end != lease.expected else answer) or not work.events
        leases[partition] = lease.moved_to(work.end)
        if step % 10 == 9:
            leases[partition] = twins.claim(partition, f"claim {step}")
    ours, theirs = twins.stored()
    assert ours == theirs
    assert not twins.journal.violations


@pytest.mark.parametrize("seed", range(10))
def test_both_databases_try_letters_alike(seed: int) -> None:
    """Due letters, another failure, a success: letters end the same."""
    twins = Twins(seed)
    lease = twins.claim(PARTITIONS[0], "claim")
    for _ in range(10):
        work = twins.work(PARTITIONS[0])
        twins.both(lambda: twins.database.apply(work, lease, 0.0), twins.sink.apply(work, lease))  # noqa: B023
        lease = lease.moved_to(work.end)
    twins.sink.clock = lambda: 5.0
    for ours in twins.database.due(100, now=5.0):
        key = (ours.record.partition, ours.record.offset, ours.record.value)
        theirs = twins.sink.open_letter(key)
        event = twins.press.decode(ours.record)
        twins.both(lambda: twins.database.retry(ours, event), twins.sink.retry(theirs, event))  # noqa: B023
        again = twins.both(lambda: twins.database.retry(ours, event), twins.sink.retry(theirs, event))  # noqa: B023
        assert again in ("FenceLost", "dead")
    statuses = {each.status for each in twins.database.tables.letters.values()}
    assert LetterStatus.RETRYING not in statuses
    ours_stored, theirs_stored = twins.stored()
    assert [each[1] for each in ours_stored[3].values()] == [each[1] for each in theirs_stored[3].values()]  # type: ignore[index]  # the letters

"""Histories of hostile records through the real sink, and what the oracle makes of the same records.

A history is batches of records, each of one partition. `play` decodes them with the service, applies them
in one transaction a batch, and compares outcome by outcome; what the tables hold then is compared by
`tests.e2e.judge` with rows that `stores` read by the plain driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from service.core.errors import PermanentError, UpsertdError
from service.core.types import DeadLetter, Event, Lease, Partition, Record, Work
from service.entities.registry import ENTITIES
from service.formats import native
from tests.contracts.sink_worlds import SqlWorld, claimed
from tests.e2e.judge import compare
from tests.e2e.messages import Hopeless, Message, Place, Produced
from tests.e2e.oracle import Model
from tests.faults.hostile import growing, mutating
from tests.faults.hostile.cases import CANARY, Case
from tests.faults.hostile.reading import SINGULAR, Accepted, read
from tests.faults.hostile.stores import observed

_DECODE = {name: native.decoder(entity) for name, entity in ENTITIES.items()}
# Of every statement that names an id: quotes, escapes, blanks that collations skip, the most bytes there are.
_ODD_IDS = (
    *("'", '"', "\\", "\\'", "%s", ":x", "--", "a", "A", "a ", " a", "\u00e4", "a\u0308", "\ufeff", "\n"),
    *("\x1a", "e" * 255, "\U0001f600" * 63, "x'00'", "]\n[", CANARY),
)


@dataclass(slots=True)
class Player:
    """Plays batches into a world and into the oracle; a lane for each partition that it meets."""

    world: SqlWorld
    first_offset: int = 0
    model: Model = field(default_factory=Model)
    _leases: dict[Partition, Lease] = field(default_factory=dict)

    async def play(self, batch: Sequence[Case], number: int = 0) -> None:
        """Apply a batch of one table's cases, in partition `number`; raises AssertionError."""
        partition = Partition(batch[0].table, number)
        lease = self._leases.get(partition) or await claimed(self.world, partition, self.first_offset)
        records = [case.record(lease.expected + index, number) for index, case in enumerate(batch)]
        parts = [_decoded(record) for record in records]
        sent = zip(batch, records, strict=True)
        expected = [self.model.take(produced(case, record)) for case, record in sent]
        outcomes = await self._applied(parts, lease)
        told = [outcomes.get(record.offset, "dead") for record in records]
        assert told == expected, next(
            f"{got} instead of {should}: {case}"
            for case, got, should in zip(batch, told, expected, strict=True)
            if got != should
        )
        self._leases[partition] = lease.moved_to(records[-1].offset + 1)

    async def differences(self, url: str) -> list[str]:
        """What the database at `url` holds otherwise than the oracle says."""
        return compare(self.model, await observed(url))

    async def _applied(self, parts: Sequence[Event | DeadLetter], lease: Lease) -> dict[int, str]:
        try:
            written = await self.world.sink.apply(_work(parts), lease)
        except UpsertdError as error:
            raise AssertionError(f"{error!r} {error} of {await self._culprit(parts, lease)}") from error
        return {event.record.offset: outcome.value for event, outcome in written.outcomes}

    async def _culprit(self, parts: Sequence[Event | DeadLetter], lease: Lease) -> Record | None:
        """The first record that the database does not take alone either; None: they all went through."""
        for part in parts:
            try:
                await self.world.sink.apply(_work([part]), lease)
            except UpsertdError:
                return part.record
            lease = lease.moved_to(part.record.offset + 1)
        return None


def _work(parts: Sequence[Event | DeadLetter]) -> Work:
    events = tuple(part for part in parts if isinstance(part, Event))
    letters = tuple(part for part in parts if isinstance(part, DeadLetter))
    return Work(events, letters, parts[-1].record.offset + 1)


def _decoded(record: Record) -> Event | DeadLetter:
    try:
        return _DECODE[record.partition.topic](record)
    except PermanentError as error:
        return DeadLetter(
            record,
            error.stage,
            error.error_class,
            str(error),
            event_id=error.event_id,
            entity=record.partition.topic,
            entity_id=error.entity_id,
        )


def produced(case: Case, record: Record) -> Produced:
    """The record as the oracle takes it: its meaning is what the specification says, not the decoder."""
    expected = read(case.table, case.key, case.value, case.timestamp_ms)
    meaning = expected.change if isinstance(expected, Accepted) else Hopeless()
    place = Place(record.partition.topic, record.partition.number, record.offset)
    message = Message(
        "hostile",
        SINGULAR[case.table],
        place.partition,
        case.key,
        case.value,
        case.headers,
        case.timestamp_ms,
        meaning,
    )
    return Produced(message, place, case.timestamp_ms)


def batches(rng: Random, number: int, most: int) -> Iterator[list[Case]]:
    """So many batches of up to `most` records: mostly valid, of few enough entities that they meet."""
    dealer = _Dealer(rng)
    for _ in range(number):
        table = rng.choice(sorted(SINGULAR))
        yield [dealer.case(table) for _ in range(rng.randint(1, most))]


class _Dealer:
    """Deals the cases of one history: ids that were used come again, and so do whole records."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._entity_ids = [*growing.ENTITY_IDS, *(rng.randint(1, 2**63 - 1) for _ in range(30))]
        self._event_ids = list(_ODD_IDS)
        self._sent: dict[str, list[Case]] = {table: [] for table in SINGULAR}

    def case(self, table: str) -> Case:
        """The next record of this table's topic."""
        sent = self._sent[table]
        if sent and self._rng.random() < 0.08:
            return self._rng.choice(sent)
        sent.append(self._new(table))
        return sent[-1]

    def _new(self, table: str) -> Case:
        rng = self._rng
        if rng.random() < 0.05:
            key = rng.choice([b"1", b'"2"', b"003", *mutating.HOSTILE_KEYS])
            return Case(table, key, None, growing.timestamp(rng), growing.headers(rng))
        made = growing.draft(rng, table, self._entity_ids, self._ids())
        if rng.random() < 0.15:
            mutating.break_members(rng, made)
        case = growing.case(rng, made, growing.headers(rng))
        if rng.random() < 0.05:
            case = replace(case, value=mutating.broken_bytes(rng, case.value or b""))
        return case

    def _ids(self) -> Sequence[str]:
        fresh = f"{self._rng.choice(_ODD_IDS)[:50]}{self._rng.getrandbits(64):x}"
        self._event_ids.append(fresh)
        return (*[fresh] * 19, self._rng.choice(self._event_ids))

"""The load: seeded change events, what is consumed before the measurement and what is measured.

Called by `drain` and `paced`. Every original creates another record, so no two of them fold into one row;
ids are ordered by time, as UUIDv7 are. A copy is an original that was handled before the measurement
began, byte for byte, each at most once: so one `FLUSHDB` between the two makes all of them cold.
"""

from __future__ import annotations

import random
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from benchmarks.tables import READERS

PARTITIONS = 3
# How many events of its partition lie at least between an original and its copy.
APART = 1000
ENTITIES = {"customers": ("customers",), "mix": ("customers", "products", "orders")}
_SINGULAR = {"customers": "customer", "products": "product", "orders": "order"}
_BEGIN_MS = 1_790_000_000_000
_OCCURRED_AT = "2026-11-21T10:15:30.123Z"

_encoder = msgspec.json.Encoder(decimal_format="number")


class Message(NamedTuple):
    """A record to produce; `entity` names its topic."""

    entity: str
    partition: int
    key: bytes
    value: bytes
    event_id: str

    @property
    def log(self) -> tuple[str, int]:
        """Topic and partition."""
        return self.entity, self.partition


@dataclass(frozen=True, slots=True)
class Load:
    """`prepared` are originals alone; `copies` of the `measured` are copies of prepared ones.

    The last message of every log is an original in both: when its mark is in the database, the partition
    is through.
    """

    prepared: tuple[Message, ...]
    measured: tuple[Message, ...]
    copies: int

    @property
    def events(self) -> int:
        """How many messages there are in all."""
        return len(self.prepared) + len(self.measured)

    @property
    def originals(self) -> Iterator[Message]:
        """Every message that is no copy."""
        known: set[str] = set()
        for message in (*self.prepared, *self.measured):
            if message.event_id not in known:
                known.add(message.event_id)
                yield message


class Generator:
    """Makes loads of one kind, `customers` or `mix`; the same seed makes the same ones.

    `new_id` draws the id of the event of a number; UUIDv7s where nothing else is given.
    """

    def __init__(
        self, kind: str, seed: int, new_id: Callable[[random.Random, int], str] | None = None
    ) -> None:
        self._entities = ENTITIES[kind]
        self._seed = seed
        self._new_id = new_id or event_id
        self._made: list[Message] = []
        self._more = self._generate()

    @property
    def logs(self) -> int:
        """The number of partitions of all topics."""
        return PARTITIONS * len(self._entities)

    def mean_bytes(self) -> int:
        """The mean size of a value."""
        sample = self._take(999)
        return sum(len(message.value) for message in sample) // len(sample)

    def load(self, events: int, copied_share: float, *, others: int = 0) -> Load:
        """A load of `events` measured messages, a share of them copies.

        `others` are prepared after the originals of the copies: they keep the two apart.
        """
        copies = round(events * copied_share)
        originals = self._take(events + others)
        prepared, new = originals[: copies + others], originals[copies + others :]
        draw = random.Random(self._seed)
        return Load(tuple(prepared), tuple(_mix(draw, new, prepared[:copies])), copies)

    def load_apart(self, events: int, copied_share: float) -> Load:
        """A load whose copies come at least `APART` events after their originals, within their partition."""
        load = self.load(events, copied_share, others=self.logs * (APART + 200))
        if load.copies and least_distance(load) < APART:
            raise ValueError("copies are too close to their originals")
        return load

    def _take(self, number: int) -> list[Message]:
        self._made += islice(self._more, max(0, number - len(self._made)))
        if len(self._made) < number:
            raise ValueError(f"there is data for {len(self._made)} originals only, not for {number}")
        return self._made[:number]

    def _generate(self) -> Iterator[Message]:
        draw = random.Random(self._seed)
        readers = [(entity, READERS[entity]()) for entity in self._entities]
        for number in range(10**9):
            entity, rows = readers[number % len(readers)]
            row = next(rows, None)
            if row is None:
                return
            yield change(entity, *row, self._new_id(draw, number))


def least_distance(load: Load) -> int:
    """The least number of events of its partition between a copy and its original; raises without copies."""
    places: dict[str, int] = {}
    lengths: dict[tuple[str, int], int] = {}
    distances: list[int] = []
    for message in (*load.prepared, *load.measured):
        place = lengths[message.log] = lengths.get(message.log, 0) + 1
        if message.event_id in places:
            distances.append(place - places[message.event_id])
        places[message.event_id] = place
    return min(distances)


def last_ids(messages: Iterable[Message]) -> list[str]:
    """The event id of the last message of every log."""
    return list({message.log: message.event_id for message in messages}.values())


def _mix(draw: random.Random, new: Sequence[Message], copied: Sequence[Message]) -> list[Message]:
    """All of `copied`, in any order, among `new` in their order; the end of every log is new."""
    ends = set(last_ids(new))
    copies = iter(draw.sample(copied, len(copied)))
    rest = (message for message in new if message.event_id not in ends)
    is_copy = [True] * len(copied) + [False] * (len(new) - len(ends))
    draw.shuffle(is_copy)
    mixed = [next(copies if each else rest) for each in is_copy]
    return mixed + [message for message in new if message.event_id in ends]


def change(entity: str, entity_id: int, data: Any, event_id: str, version: int = 1) -> Message:
    """The change event of one record; `data` is its after-image. The key decides on the partition."""
    key = str(entity_id).encode()
    envelope = {
        "event_id": event_id,
        "event_type": f"{_SINGULAR[entity]}.changed",
        "operation": "create" if version == 1 else "update",
        "entity_id": entity_id,
        "version": version,
        "occurred_at": _OCCURRED_AT,
        "source": "shop",
        "data": data,
    }
    return Message(entity, zlib.crc32(key) % PARTITIONS, key, _encoder.encode(envelope), event_id)


def event_id(draw: random.Random, number: int) -> str:
    """The id of event `number` of a load: a UUIDv7, a millisecond later than the one before."""
    bits = (
        (_BEGIN_MS + number << 80)
        | (7 << 76)
        | (draw.getrandbits(12) << 64)
        | (2 << 62)
        | draw.getrandbits(62)
    )
    return str(uuid.UUID(int=bits))

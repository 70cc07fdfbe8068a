"""The loads of the shapes, made of TPC-H's customers. Pure but for reading the tables; called by `variants`.

Everything is seeded. Each load begins with a prepared part of its own kind, so that connections, statements
and tables are warm when the measurement begins.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, islice

from benchmarks.load import PARTITIONS, Generator, Load, Message, change, event_id
from benchmarks.tables import Data, customers, products

ENTITY = "customers"
_WARM_UP = 3_600
# Some megabytes of large records are enough to warm up.
_WARM_UP_BYTES = 8_000_000


def unique(seed: int, events: int) -> Load:
    """Every event another customer: what a shape is compared with."""
    return Generator(ENTITY, seed).load(events, 0, others=_WARM_UP)


def replayed(seed: int, events: int) -> Load:
    """A topic of `events`, then the whole of it once more, in its order, and a new event in each partition.

    The new ones tell when a partition is through: a copy leaves nothing to see.
    """
    made = Generator(ENTITY, seed).load(events + 100 * PARTITIONS, 0).measured
    ends = {message.partition: message for message in made[events:]}
    return Load(made[:events], (*made[:events], *ends.values()), copies=events)


def hot_keys(seed: int, events: int, population: int, exponent: float) -> Load:
    """Changes of `population` customers by Zipf's law: the n-th comes n**-exponent as often as the first.

    0: each as often as the others. Versions of a customer rise by one.
    """
    draw = random.Random(seed)
    people = list(islice(customers(), population))
    weights = list(accumulate(rank**-exponent for rank in range(1, population + 1)))
    versions: Counter[int] = Counter()
    made = []
    for number, (record, data) in enumerate(draw.choices(people, cum_weights=weights, k=_WARM_UP + events)):
        versions[record] += 1
        changed = {**data, "status": f"revision {versions[record]}"}
        made.append(change(ENTITY, record, changed, event_id(draw, number), versions[record]))
    return Load(tuple(made[:_WARM_UP]), tuple(made[_WARM_UP:]), copies=0)


def large(seed: int, events: int, event_bytes: int) -> Load:
    """Every event another customer, whose attributes have notes that make the event `event_bytes` long."""
    draw = random.Random(seed)
    warm_up = max(20 * PARTITIONS, min(_WARM_UP, _WARM_UP_BYTES // event_bytes))
    prose = _prose(event_bytes * 4)
    made = [
        _padded(record, data, event_id(draw, number), event_bytes, prose[draw.randrange(event_bytes) :])
        for number, (record, data) in enumerate(islice(customers(), warm_up + events))
    ]
    return Load(tuple(made[:warm_up]), tuple(made[warm_up:]), copies=0)


def records(load: Load) -> int:
    """To how many records the measured originals belong."""
    prepared = {message.event_id for message in load.prepared}
    return len({message.key for message in load.measured if message.event_id not in prepared})


def _padded(record: int, data: Data, event: str, event_bytes: int, prose: str) -> Message:
    attributes = data["attributes"]
    assert isinstance(attributes, dict)

    def with_notes(notes: str) -> Message:
        return change(ENTITY, record, {**data, "attributes": {**attributes, "notes": notes}}, event)

    return with_notes(prose[: max(0, event_bytes - len(with_notes("").value))])


def _prose(length: int) -> str:
    """TPC-H's own words: plain ASCII, so that a letter is a byte."""
    return " ".join(islice(_words(), length // 4 + 1))[:length]


def _words() -> Iterator[str]:
    while True:
        for _, data in products():
            yield str(data["description"])

"""What is sent while a process runs into its failpoints: waves that hold what leads to each step.

A mixed wave has new rows, older rows, orders with lines, copies, records that no decoder takes and, again and
again, one that only the database refuses: its batch is divided until it stands alone. A wave of copies has
nothing that is new: a position moves alone then. A stubborn wave has rows that no batch gets the lock of.
Seeded; `chain` sends the waves.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, count, zip_longest

from tests.e2e.jsontext import Literal
from tests.e2e.messages import Message
from tests.e2e.workload import Shape, Workload
from tests.faults.failpoints.plan import STUBBORN
from tests.faults.failpoints.steps import Phase
from tests.planted.changes import customer, hopeless

_SHAPE = Shape(partitions=1, subjects=40, entities=("customer", "order"), copies=0.2, hostile=0.05)
# Beyond the ids of the generated customers.
_FIRST_NEW_ID = 50_000_000
# JSON that decoding lets pass and MariaDB does not.
_TOO_DEEP = Literal('{"a":' * 32 + "1" + "}" * 32)
_REMEMBERED = 300
PARKED = "parked"
"""The kind of a message that comes to its row by way of a parked letter."""
_STUBBORN = 2
_STUBBORN_WAVE = 12
_WAVES = {1: 40, 7: 84, 400: 1000}
# So many new customers to a culprit: with as many other customers, one in every batch of seven.
_CULPRIT_EVERY = {1: 10, 7: 3, 400: 100}


class Load:
    """An endless supply of waves."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._workload = Workload(seed, _SHAPE)
        self._numbers = count(_FIRST_NEW_ID)
        self._seed = seed
        self._new: list[Message] = []

    def wave(self, batch_records: int, towards: Phase) -> Sequence[Message]:
        """What fills some batches of this size and leads to steps of the phase `towards`."""
        if towards is Phase.HITS and self._new:
            return self._random.choices(self._new, k=_WAVES[batch_records])
        if towards is Phase.RETRY:
            return [*self._mixed(_STUBBORN_WAVE, batch_records), *map(self._stubborn, range(_STUBBORN))]
        return self._mixed(_WAVES[batch_records], batch_records)

    def _mixed(self, size: int, batch_records: int) -> list[Message]:
        new = list(self._new_customers(size // 3, _CULPRIT_EVERY[batch_records]))
        mixed = zip_longest(*[iter(self._workload.take(size - len(new)))] * 2, new)
        return [message for message in chain.from_iterable(mixed) if message is not None]

    def _stubborn(self, _index: int) -> Message:
        entity_id = next(self._numbers)
        message = customer(f"{self._seed}-{entity_id}", entity_id, version=1, name=STUBBORN)
        return replace(message, kind=PARKED)

    def _new_customers(self, number: int, culprit_every: int) -> Iterator[Message]:
        for index in range(number):
            entity_id = next(self._numbers)
            event_id = f"{self._seed}-{entity_id}"
            if index % culprit_every == culprit_every - 1:
                yield hopeless(customer(event_id, entity_id, version=1, address=_TOO_DEEP))
            else:
                message = customer(event_id, entity_id, version=1, name=f"new {entity_id}")
                self._new = [*self._new[1 - _REMEMBERED :], message]
                yield message

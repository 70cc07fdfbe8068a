"""Writes the messages of producers that change records, and of some that should not be let near Kafka.

`workload` says how often which, and mixes them into a stream. An author remembers what it said of each
subject: its versions, its event ids.
"""

from __future__ import annotations

import random
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle

from tests.e2e import tpch
from tests.e2e.envelopes import Spelling, envelope, spell
from tests.e2e.hostile import Breaker, catalogue, hostile_keys
from tests.e2e.messages import ENTITIES, Change, Hopeless, Line, Message
from tests.e2e.variety import Headers, odd_columns, odd_headers, odd_id, odd_lines, odd_spelling

# Kafka refuses timestamps from the future, so the author's own clock starts well in the past.
_BEGINNING = datetime(2024, 3, 1)
_TICK = timedelta(milliseconds=37)


class Subject:
    """One record of one entity, as its producer remembers it."""

    def __init__(self, entity: str, row: tpch.Row, partition: int) -> None:
        self.entity = entity
        self.row = row
        self.partition = partition
        self.version = 0
        self.occurred_at = _BEGINNING
        self.event_ids: list[bytes] = []


class Author:
    """Writes about `subjects`. `plain`: only changes of whole records, spelled the usual way."""

    def __init__(self, rng: random.Random, subjects: Sequence[Subject], *, plain: bool) -> None:
        self._random = rng
        self._subjects = subjects
        self._plain = plain
        self._now = _BEGINNING
        self._twin = ""  # the last plain id, until another id is made that differs in little
        self._given_up: deque[tuple[Subject, bytes]] = deque()
        self._breakers = {entity: cycle(list(catalogue(entity))) for entity in ENTITIES}
        self._bad_keys = cycle(list(hostile_keys()))

    def next_message(self) -> Message:
        """What some producer sends next, about some subject."""
        self._now += _TICK
        choices = {self._changed: 1} if self._plain else self._weights()
        [action] = self._random.choices(list(choices), list(choices.values()))
        return action(self._random.choice(self._subjects))

    def next_hostile(self) -> Message:
        """The next entry of the catalogue of hostile records."""
        self._now += _TICK
        subject = self._random.choice(self._subjects)
        if self._random.random() < 0.1:
            kind, key = next(self._bad_keys)
            return replace(self._hopeless(kind, subject, None), key=key)
        kind, breaker = next(self._breakers[subject.entity])
        return self._hopeless(kind, subject, breaker)

    def copy(self, original: Message) -> Message:
        """The same message once more, at times with a later timestamp."""
        kind = original.kind if original.kind.startswith("copy of ") else f"copy of {original.kind}"
        timestamp_ms = self._random.choice([original.timestamp_ms, self._timestamp_ms()])
        return replace(original, kind=kind, timestamp_ms=timestamp_ms)

    def steal(self, event_id: bytes | None, entity: str) -> Message:
        """A change of some other entity than `entity` under an id that is known already."""
        subject = self._random.choice([one for one in self._subjects if one.entity != entity])
        change = replace(self._next_change(subject), event_id=event_id)
        return self._message("id of another entity", subject, change)

    def _weights(self) -> Mapping[Callable[[Subject], Message], int]:
        return {
            self._changed: 50,
            self._deleted: 6,
            self._tombstone: 4,
            self._stale: 5,
            self._same_version: 5,
            self._unversioned: 5,
            self._undated: 4,
            self._unnamed: 5,
            self._another_body: 3,
            self._reused_id: 3,
            self._second_chance: 1,
        }

    def _changed(self, subject: Subject) -> Message:
        return self._message("change", subject, self._next_change(subject))

    def _deleted(self, subject: Subject) -> Message:
        change = replace(self._next_change(subject), operation="delete", columns={}, lines=None)
        return self._message("delete", subject, change)

    def _tombstone(self, subject: Subject) -> Message:
        identity = subject.row.entity_id
        key = self._random.choice([f"{identity}", f'"{identity}"']).encode()
        change = Change(subject.entity, identity, "delete", None, None, None)
        return replace(self._message("null value", subject, change), key=key, value=None)

    def _stale(self, subject: Subject) -> Message:
        version = self._random.randint(0, max(subject.version - 1, 0))
        change = replace(self._change(subject), version=version)
        return self._message("old version", subject, change)

    def _same_version(self, subject: Subject) -> Message:
        seconds = self._random.choice([-3600, -1, 0, 1])
        occurred_at = subject.occurred_at + timedelta(seconds=seconds)
        change = replace(self._change(subject), version=subject.version, occurred_at=occurred_at)
        return self._message(f"same version, {seconds:+d} s", subject, change)

    def _unversioned(self, subject: Subject) -> Message:
        seconds = self._random.choice([-60, -1, 0, 0])
        change = self._change(subject)
        occurred_at = (change.occurred_at or self._now) + timedelta(seconds=seconds)
        return self._message("no version", subject, replace(change, version=None, occurred_at=occurred_at))

    def _undated(self, subject: Subject) -> Message:
        change = self._random.choice([self._change, self._next_change])(subject)
        return self._message("no time", subject, replace(change, occurred_at=None))

    def _unnamed(self, subject: Subject) -> Message:
        return self._message("no event id", subject, replace(self._next_change(subject), event_id=None))

    def _another_body(self, subject: Subject) -> Message:
        if not subject.event_ids:
            return self._changed(subject)
        known = self._random.choice(subject.event_ids)
        change = replace(self._next_change(subject), event_id=known)
        return self._message("known id, another body", subject, change)

    def _reused_id(self, subject: Subject) -> Message:
        others = [other for other in self._subjects if self._shares_log(other, subject) and other.event_ids]
        if not others:
            return self._changed(subject)
        stolen = self._random.choice(self._random.choice(others).event_ids)
        change = replace(self._next_change(subject), event_id=stolen)
        return self._message("id of another record", subject, change)

    def _second_chance(self, subject: Subject) -> Message:
        """A good event under an id that so far belongs to a hopeless one of the same record."""
        if not self._given_up:
            return self._changed(subject)
        owner, event_id = self._given_up.popleft()
        change = replace(self._next_change(owner), event_id=event_id)
        return self._message("id of a hopeless one", owner, change)

    def _shares_log(self, other: Subject, subject: Subject) -> bool:
        log = (subject.entity, subject.partition)
        return other is not subject and (other.entity, other.partition) == log

    def _hopeless(self, kind: str, subject: Subject, breaker: Breaker | None) -> Message:
        row = subject.row
        change = replace(self._next_change(subject), operation="update", columns=row.columns, lines=row.lines)
        value = breaker(envelope(change, Spelling())) if breaker else None
        if change.event_id is not None and kind.endswith(("nested 32 deep", "nested 33 deep")):
            self._given_up.append((subject, change.event_id))
        message = self._message(kind, subject, change)
        return replace(message, value=value, meaning=Hopeless())

    def _next_change(self, subject: Subject) -> Change:
        """A change that is newer than all before it."""
        subject.version += self._random.choice([1, 1, 1, 2, 5])
        subject.occurred_at = self._now - timedelta(microseconds=self._random.randint(0, 900_000))
        return replace(self._change(subject), version=subject.version, occurred_at=subject.occurred_at)

    def _change(self, subject: Subject) -> Change:
        """A change of `subject` under an id of its own, as old as the latest one."""
        operation = "create" if not subject.event_ids else self._random.choice(["create", "update", "update"])
        event_id = self._event_id()
        subject.event_ids.append(event_id)
        identity = subject.row.entity_id
        columns, lines = self._image(subject.row)
        now = self._now
        return Change(subject.entity, identity, operation, event_id, subject.version, now, columns, lines)

    def _event_id(self) -> bytes:
        plain = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        if self._plain or self._random.random() < 0.8:
            self._twin = plain
            return plain.encode()
        twin, self._twin = self._twin, ""
        return odd_id(self._random, plain, twin)

    def _image(self, row: tpch.Row) -> tuple[Mapping[str, object], Mapping[int, Line] | None]:
        if self._plain:
            return row.columns, row.lines
        return odd_columns(self._random, row.columns), odd_lines(self._random, row.lines)

    def _message(self, kind: str, subject: Subject, change: Change) -> Message:
        identity = str(subject.row.entity_id).encode()
        spelling: Spelling = Spelling()
        headers: Headers = ()
        key: bytes | None = identity
        if not self._plain:
            spelling = odd_spelling(self._random)
            headers = odd_headers(self._random)
            [key] = self._random.choices([identity, None, b"another"], [90, 5, 5])
        value = spell(change, spelling)
        timestamp_ms = self._timestamp_ms()
        return Message(kind, subject.entity, subject.partition, key, value, headers, timestamp_ms, change)

    def _timestamp_ms(self) -> int:
        return (self._now - datetime(1970, 1, 1)) // timedelta(milliseconds=1)

"""Compares what is there with what must be there, invariant by invariant (semantics.md, I1 to I6).

`verify` is what scenarios call; `compare` is pure, so that it can be shown to notice every kind of
difference. The audit (`audit`) judges what end states cannot show.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from itertools import chain, islice

from tests.e2e.hostile import CANARY
from tests.e2e.messages import TABLES, Change, Place
from tests.e2e.oracle import OPEN, Letter, Mark, Model, Row
from tests.e2e.world import CACHE_PREFIX, Fields, Observed, Progress, World, observe

_MOST = 40  # differences worth reading
_ENTITIES = {**{entity: entity for entity in TABLES}, **{table: entity for entity, table in TABLES.items()}}


async def verify(model: Model, world: World) -> list[str]:
    """Read the world and list what differs from the model, at most `_MOST` lines; [] when nothing does."""
    return compare(model, await observe(world))


def compare(model: Model, seen: Observed) -> list[str]:
    """List what differs, each line with its invariant, the place and the kind of the record."""
    marks = {place_of(mark): mark for mark in seen.marks}
    differences = chain(
        _row_differences(model, seen),
        _mark_differences(model, marks, len(seen.marks)),
        _letter_differences(model, seen.letters),
        _both_open_and_marked(marks, seen.letters),
        _progress_differences(seen.progress),
        _cache_differences(seen),
    )
    return list(islice(differences, _MOST))


def place_of(stored: Fields) -> Place:
    """The coordinates of a mark or a dead letter."""
    topic, partition, offset = (stored[name] for name in ("topic", "partition_id", "record_offset"))
    assert isinstance(partition, int)
    assert isinstance(offset, int)
    return Place(str(topic), partition, offset)


def _row_differences(model: Model, seen: Observed) -> Iterator[str]:
    for subject in sorted(model.rows.keys() | seen.rows.keys()):
        name = f"I1 {TABLES[subject.entity]} {subject.entity_id}"
        expected, actual = model.rows.get(subject), seen.rows.get(subject)
        if expected is None or actual is None:
            yield f"{name}: {'missing' if actual is None else 'not expected'}, {_short(expected or actual)}"
            continue
        kind = model.kinds.get(expected.source, "?")
        for column, should, does in _unequal(expected, actual):
            yield f"{name}.{column} is {_short(does)}, not {_short(should)} ({kind} at {expected.source})"


def _unequal(expected: Row, actual: Row) -> Iterator[tuple[str, object, object]]:
    pairs = [
        ("(version, occurred_at, partition, offset)", tuple(expected.age), tuple(actual.age)),
        ("deleted", expected.deleted, actual.deleted),
        ("lines", expected.lines, actual.lines),
        *((name, value, actual.columns[name]) for name, value in expected.columns.items()),
    ]
    return (pair for pair in pairs if pair[1] != pair[2])


def _mark_differences(model: Model, marks: dict[Place, Fields], number: int) -> Iterator[str]:
    if number != len(marks):
        yield f"I2 {number} marks for {len(marks)} records: a record is marked twice"
    for place in sorted(model.marks.keys() | marks.keys()):
        kind = model.kinds.get(place, "?")
        if place not in marks:
            yield f"I2 {kind} at {place} has no mark"
        elif place not in model.marks:
            yield f"I2 {kind} at {place} has a mark that it must not have: {marks[place]}"
        else:
            wrong = _wrong(model.marks[place], marks[place])
            yield from (f"I2 mark of {kind} at {place}: {why}" for why in wrong)


def _wrong(expected: Mark, stored: Fields) -> Iterator[str]:
    event_id = stored["event_id"]
    assert isinstance(event_id, bytes)
    derived = expected.event_id is None
    if derived and not (event_id.startswith(b"kafka:") and len(event_id) == len("kafka:") + 64):
        yield f"derived event id is {event_id!r}"
    should: Fields = {
        "event_id": event_id if derived else expected.event_id,
        "entity_id": expected.subject.entity_id,
        "operation": expected.operation,
        "outcome": expected.outcome,
        "occurred_at": expected.occurred_at,
    }
    if _ENTITIES.get(str(stored["entity"])) != expected.subject.entity:
        yield f"entity is {stored['entity']!r}, not {expected.subject.entity!r}"
    for name, value in should.items():
        if stored[name] != value:
            yield f"{name} is {stored[name]!r}, not {value!r}"


def _letter_differences(model: Model, letters: list[Fields]) -> Iterator[str]:
    stored: dict[Place, Fields] = {}
    for letter in letters:
        place = place_of(letter)
        if place in stored:
            yield f"I2 two dead letters of {model.kinds.get(place, '?')} at {place}"
        stored[place] = letter
    for place in sorted(model.letters.keys() | stored.keys()):
        kind = model.kinds.get(place, "?")
        if place not in stored:
            yield f"I2 {kind} at {place} has no dead letter"
        elif place not in model.letters:
            letter = stored[place]
            yield f"I2 {kind} at {place} is a dead letter: {letter['error_class']}: {letter['error_message']}"
        else:
            expected, letter = model.letters[place], stored[place]
            yield from (f"I5 dead letter of {kind} at {place}: {why}" for why in _altered(expected, letter))


def _altered(expected: Letter, stored: Fields) -> Iterator[str]:
    message = expected.record.message
    should: Fields = {
        "record_key": message.key,
        "record_value": message.value,
        "record_timestamp": expected.record.timestamp_ms,
        "status": expected.status,
    }
    if message.value is not None:
        should["digest"] = hashlib.sha256(message.value).hexdigest()
    if expected.error_class is not None:
        should["error_class"] = expected.error_class
        should |= _known(message.meaning)
    for name, value in should.items():
        if stored[name] != value:
            yield f"{name} is {_short(stored[name])}, not {_short(value)}"
    headers = [(name, None if value is None else base64.b64decode(value)) for name, value in _headers(stored)]
    if headers != list(message.headers):
        yield f"headers are {_short(headers)}, not {_short(message.headers)}"
    if not stored["stage"] or not stored["error_class"] or not stored["attempts"]:
        yield "stage, error class or attempts are missing"
    if CANARY in str(stored["error_message"]):
        yield "I9 the error message quotes the record"


def _known(meaning: object) -> Fields:
    """What a dead letter says of an event that could be decoded."""
    assert isinstance(meaning, Change)
    return {"event_id": meaning.event_id, "entity_id": meaning.entity_id}


def _headers(stored: Fields) -> list[tuple[str, str | None]]:
    return [(name, value) for name, value in json.loads(str(stored["record_headers"]))]


def _both_open_and_marked(marks: dict[Place, Fields], letters: list[Fields]) -> Iterator[str]:
    for letter in letters:
        place = place_of(letter)
        if letter["status"] in OPEN and place in marks:
            yield f"I2 a mark and an open dead letter ({letter['status']}) of the record at {place}"


def _progress_differences(progress: Progress) -> Iterator[str]:
    for log, offset in sorted(progress.group_offsets.items()):
        position = progress.positions.get(log)
        if position is None or offset > position.next_offset:
            at = None if position is None else position.next_offset
            yield f"I3 {log.topic}/{log.partition}: group offset {offset} ahead of the position {at}"
    for log, position in sorted(progress.positions.items()):
        if position.handled_offset < position.next_offset:
            yield f"I3 {log.topic}/{log.partition}: handled offset below the position: {position}"
    yield from (f"I6 {line}" for line in progress.lagging())


def _cache_differences(seen: Observed) -> Iterator[str]:
    """An entry that some lane would take for a hit must have a mark of the same record."""
    handled = {
        position.cache_namespace.encode(): range(position.handled_from, position.handled_offset)
        for position in seen.progress.positions.values()
    }
    owners = {mark["event_id"]: mark["entity_id"] for mark in seen.marks}
    for key, value in sorted(seen.cache.items()):
        namespace, offset, entity_id = _entry(value)
        if offset not in handled.get(namespace, ()):
            continue
        event_id = key.removeprefix(CACHE_PREFIX)
        if owners.get(event_id) != entity_id:
            yield f"I4 {key!r} is {value!r}: a hit, but the mark of this id names {owners.get(event_id)}"


def _entry(value: bytes | None) -> tuple[bytes, int, int]:
    """Namespace, offset and entity id; an offset beyond all others where `value` is no entry."""
    try:
        namespace, offset, entity_id = (value or b"").split(b":")
        return namespace, int(offset), int(entity_id)
    except ValueError:
        return b"", 2**63, 0


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:160]}… ({len(text)} characters)"

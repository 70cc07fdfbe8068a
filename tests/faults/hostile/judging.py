"""Holds the decoder against the reading of one input, and says in short how it ended.

`judge` raises `Complaint` for anything but an event or a `PermanentError`, two endings of one input, a
message that quotes the record, a decoder that takes too long, and every disagreement with `reading`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from service.core.errors import PermanentError
from service.core.types import Event
from service.entities.registry import ENTITIES
from service.formats import native, native_quick
from tests.e2e.messages import Change
from tests.faults.hostile.cases import CANARY, CANARY_DIGITS, Case
from tests.faults.hostile.reading import SINGULAR, Accepted, Refused, read

# A hundred times what it takes, so that a busy machine does not matter.
SECONDS_A_MEGABYTE = 2.0

_DECODE = {name: native.decoder(entity) for name, entity in ENTITIES.items()}
_QUICK = {name: native_quick.reader(entity) for name, entity in ENTITIES.items()}
_DIGITS = re.compile(r"\d+")
_ID = re.compile(rb"kafka:[0-9a-f]{64}")


class Complaint(AssertionError):
    """The decoder did what it must not do."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an input ended: as an event, or with an error of this class and message."""

    event: Event | None
    error_class: str | None = None
    message: str | None = None
    event_id: bytes | None = None
    entity_id: int | None = None

    def __str__(self) -> str:
        if self.event is not None:
            return "event"
        # The words of a JSON parser are its own affair.
        return "InvalidJson" if self.error_class == "InvalidJson" else f"{self.error_class}: {self.message}"


def judge(case: Case) -> Ending:
    """How `case` ends; raises `Complaint`."""
    started = time.process_time()
    ending = decode(case)
    elapsed = time.process_time() - started
    if elapsed > SECONDS_A_MEGABYTE * (1 + len(case.value or b"") / 1e6):
        raise Complaint(f"took {elapsed:.1f} s of processor time")
    if decode(case) != ending:
        raise Complaint("two endings of one input")
    if any(canary in (ending.message or "") for canary in (CANARY, CANARY_DIGITS)):
        raise Complaint(f"the message quotes the record: {ending.message}")
    for difference in disagreements(ending, read(case.table, case.key, case.value, case.timestamp_ms)):
        raise Complaint(difference)
    return ending


def decode(case: Case) -> Ending:
    """What the decoder of the topic makes of `case`."""
    try:
        return Ending(_DECODE[case.table](case.record()))
    except PermanentError as error:
        if error.stage != "decode" or error.__cause__ is not None:
            raise Complaint(f"not an error of decoding alone: {error.stage}, {error.__cause__!r}") from error
        return Ending(None, error.error_class, str(error), error.event_id, error.entity_id)
    except Exception as error:
        raise Complaint(f"the decoder raised {type(error).__name__}") from error


def disagreements(ending: Ending, expected: Accepted | Refused) -> Iterator[str]:
    """What the decoder says otherwise than specification 1."""
    if isinstance(expected, Refused):
        yield from _of_refusal(ending, expected)
    elif ending.event is None:
        yield f"refused what must be taken: {ending}"
    else:
        yield from _of_event(ending.event, expected)


def _of_refusal(ending: Ending, expected: Refused) -> Iterator[str]:
    if ending.event is not None:
        yield f"took what must be refused as {sorted(expected.classes)}"
    elif ending.error_class not in expected.classes:
        yield f"{ending}, where {sorted(expected.classes)} is wrong"
    elif (ending.event_id, ending.entity_id) != (expected.event_id, expected.entity_id):
        yield "the letter would name another event than its record"


def _of_event(event: Event, expected: Accepted) -> Iterator[str]:
    change = expected.change
    if change.event_id is None and not _ID.fullmatch(event.event_id):
        yield "the derived id is of another form"
    said = _said(event, change)
    for name, value in _meant(expected).items():
        if said[name] != value or type(said[name]) is not type(value):
            yield f"{name} is {said[name]!r}, not {value!r}"


def _said(event: Event, change: Change) -> Mapping[str, object]:
    lines = event.lines if event.lines is None else {line["line_no"]: _line(line) for line in event.lines}
    return {
        "event id": None if change.event_id is None else event.event_id,
        "entity": SINGULAR[event.entity],
        "entity id": event.entity_id,
        "operation": event.operation.value,
        "version": event.version,
        "time": event.occurred_at,
        "columns": {name: (value, type(value)) for name, value in event.columns.items()},
        "lines": lines,
        "unknown fields": event.unknown_fields,
        "key mismatch": event.key_mismatch,
    }


def _line(line: Mapping[str, object]) -> tuple[object, ...]:
    return (line["product_id"], line["quantity"], line["unit_price"])


def _meant(expected: Accepted) -> Mapping[str, object]:
    change = expected.change
    return {
        "event id": change.event_id,
        "entity": change.entity,
        "entity id": change.entity_id,
        "operation": change.operation,
        "version": change.version,
        "time": change.occurred_at,
        "columns": {name: (value, type(value)) for name, value in change.columns.items()},
        "lines": None if change.lines is None else {no: tuple(line) for no, line in change.lines.items()},
        "unknown fields": expected.unknown_fields,
        "key mismatch": expected.key_mismatch,
    }


def features(case: Case, ending: Ending) -> frozenset[str]:
    """What is remarkable about an input: one that has none but known ones teaches nothing new."""
    if ending.event is None:
        return frozenset({f"{ending.error_class} {_DIGITS.sub('#', ending.message or '')}"})
    return frozenset(f"{case.table} {feature}" for feature in _of_shape(case, ending.event))


def _of_shape(case: Case, event: Event) -> Iterator[str]:
    quick = case.value is not None and _QUICK[case.table](case.record(), case.value) is not None
    yield f"{'quick' if quick else 'careful'} {event.operation.value}"
    if event.key_mismatch:
        yield "key mismatch"
    if event.unknown_fields:
        yield "unknown fields"
    if event.lines is not None:
        yield f"lines {min(len(event.lines), 2)}"
    for name, value in event.columns.items():
        yield f"{name} {_kind(value)}"


def _kind(value: object) -> str:
    if isinstance(value, str):
        wide = any(each > "\uffff" for each in value)
        return "empty" if not value else "wide" if wide else "control" if not value.isprintable() else "text"
    return "null" if value is None else "negative" if str(value).startswith("-") else type(value).__name__

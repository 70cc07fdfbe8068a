"""Spelling a change as the native envelope, in every way that specification 1 accepts.

`workload` writes valid events with it; `hostile` starts from a valid envelope and breaks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from tests.e2e.jsontext import encode
from tests.e2e.messages import Change, Line

Envelope = dict[str, object]


@dataclass(frozen=True, slots=True)
class Spelling:
    """How an event is written: none of it changes what the event says.

    `zone_minutes` None writes times without a zone (UTC). `extra_digits` are digits beyond microseconds,
    which must be cut. `nulls` writes missing version, time and event id as null. `event_type` None leaves
    it out. `extra` are further fields. `repeated` writes another operation before the one that counts.
    """

    camel_case: bool = False
    ascii_only: bool = False
    id_as_text: bool = False
    money_as_text: bool = False
    zone_minutes: int | None = 0
    extra_digits: str = ""
    nulls: bool = False
    event_type: str | None = "changed"
    extra: Mapping[str, object] = field(default_factory=dict)
    repeated: bool = False


def spell(change: Change, spelling: Spelling) -> bytes:
    """Write `change` as the bytes of a record's value."""
    text = encode(envelope(change, spelling), ascii_only=spelling.ascii_only)
    if spelling.repeated:
        # The last of two equal names wins.
        text = '{"operation":"delete",' + text[1:]
    return text.encode()


def envelope(change: Change, spelling: Spelling) -> Envelope:
    """Build the document of `change`, ready for `encode`."""
    event_id = None if change.event_id is None else change.event_id.decode()
    optional: Envelope = {
        "event_id": event_id,
        "version": change.version,
        "occurred_at": None if change.occurred_at is None else _time(change.occurred_at, spelling),
    }
    document: Envelope = {
        "operation": change.operation,
        "entity_id": str(change.entity_id) if spelling.id_as_text else change.entity_id,
        **{name: value for name, value in optional.items() if value is not None or spelling.nulls},
        **spelling.extra,
    }
    if spelling.event_type is not None:
        document["event_type"] = f"{change.entity}.{spelling.event_type}"
    if change.operation != "delete":
        document["data"] = _data(change, spelling)
    return _cased(document) if spelling.camel_case else document


def _data(change: Change, spelling: Spelling) -> Envelope:
    data = {name: _plain(value, spelling) for name, value in change.columns.items()}
    if change.lines is not None:
        lines = [_line(number, line, spelling) for number, line in change.lines.items()]
        data["lines"] = [_cased(line) for line in lines] if spelling.camel_case else lines
    return _cased(data) if spelling.camel_case else data


def _line(number: int, line: Line, spelling: Spelling) -> Envelope:
    known = {name: value for name, value in line._asdict().items() if value is not None}
    return {"line_no": number, **{name: _plain(value, spelling) for name, value in known.items()}}


def _plain(value: object, spelling: Spelling) -> object:
    if isinstance(value, datetime):
        return _time(value, spelling)
    if isinstance(value, Decimal) and spelling.money_as_text:
        return format(value, "f")
    return value


def _time(moment: datetime, spelling: Spelling) -> str:
    if spelling.zone_minutes is None:
        return moment.isoformat(timespec="microseconds") + spelling.extra_digits
    local = moment + timedelta(minutes=spelling.zone_minutes)
    text = local.isoformat(timespec="microseconds") + spelling.extra_digits
    if spelling.zone_minutes == 0:
        return f"{text}Z"
    sign = "-" if spelling.zone_minutes < 0 else "+"
    return f"{text}{sign}{abs(spelling.zone_minutes) // 60:02}:{abs(spelling.zone_minutes) % 60:02}"


def _cased(document: Envelope) -> Envelope:
    return {_camel(name): value for name, value in document.items()}


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)

"""What the scenarios produce, each message with its meaning for the oracle.

An event is as old as its version says; what a scenario does not name takes a value that never matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.e2e.envelopes import Spelling, spell
from tests.e2e.messages import Change, Hopeless, Line, Message

_NOON = datetime(2026, 1, 1, 12)
_NOON_MS = 1_767_268_800_000
_SPELLING = Spelling()


def customer(
    event_id: str,
    entity_id: int = 1,
    *,
    version: int | None,
    minute: int | None = None,
    operation: str = "update",
    partition: int = 0,
    **columns: object,
) -> Message:
    """A change of a customer; without `minute` it occurred as many minutes after noon as its version says."""
    change = _change("customer", event_id, entity_id, version, minute)
    return _message(replace(change, operation=operation, columns=columns), partition)


def order(event_id: str, *, version: int, lines: Sequence[int]) -> Message:
    """A change of order 1, with lines of these numbers."""
    items: Mapping[int, Line] = {number: Line(version, None, None) for number in lines}
    change = _change("order", event_id, 1, version, None)
    return _message(replace(change, columns={"status": f"v{version}"}, lines=items), 0)


def not_json() -> Message:
    """A record that is no event: no key, an empty header, one that is null, and one that comes twice."""
    headers = (("a", b""), ("b", None), ("a", b"\xff"))
    return Message("not JSON", "customer", 0, None, b"\xff{", headers, _NOON_MS, Hopeless())


def hopeless(message: Message) -> Message:
    """The same record where it can never be applied."""
    return replace(message, meaning=Hopeless())


def _change(entity: str, event_id: str, entity_id: int, version: int | None, minute: int | None) -> Change:
    occurred_at = _NOON + timedelta(minutes=(version or 0) if minute is None else minute)
    return Change(entity, entity_id, "update", event_id.encode(), version, occurred_at)


def _message(change: Change, partition: int) -> Message:
    value = spell(change, _SPELLING)
    return Message("change", change.entity, partition, b"%d" % change.entity_id, value, (), _NOON_MS, change)

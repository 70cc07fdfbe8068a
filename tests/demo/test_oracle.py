"""The oracle's own rules, on a few records each."""

from __future__ import annotations

from datetime import datetime

from service.demo.messages import Change, Line, Message, Place
from service.demo.oracle import Oracle

_NOON = datetime(2026, 11, 22, 12)


def _message(
    event_id: bytes | None,
    version: int | None,
    *,
    operation: str = "update",
    lines: tuple[Line, ...] | None = None,
    **columns: object,
) -> Message:
    change = Change(1, event_id, operation, version, _NOON, columns, lines)
    return Message("test", "orders", 0, b"1", b"{}", 0, change)


def _taken(*messages: Message) -> Oracle:
    oracle = Oracle()
    for offset, message in enumerate(messages):
        oracle.take(message, offset)
    return oracle


def test_an_absent_field_is_left_alone() -> None:
    """An update changes what it names; what nobody named has its default."""
    row = _taken(_message(b"a", 1, currency="EUR"), _message(b"b", 2, status="paid")).rows["orders"][1]
    assert (row.columns["currency"], row.columns["status"], row.columns["total"]) == ("EUR", "paid", None)


def test_an_overtaken_event_is_stale() -> None:
    """It leaves a mark and changes nothing."""
    oracle = _taken(_message(b"a", 2, status="paid"), _message(b"b", 1, status="new"))
    assert oracle.rows["orders"][1].columns["status"] == "paid"
    assert oracle.marks[Place("orders", 0, 1)].outcome == "stale"


def test_a_copy_is_a_duplicate() -> None:
    """It leaves nothing at all."""
    oracle = _taken(_message(b"a", 1), _message(b"a", 1))
    assert oracle.outcomes == {"applied": 1, "duplicate": 1}
    assert list(oracle.marks) == [Place("orders", 0, 0)]


def test_a_delete_leaves_a_tombstone() -> None:
    """Columns go back to their defaults and the lines go, also by a null value; the version stays."""
    created = _message(b"a", 3, lines=({"line_no": 1},), status="paid")
    row = _taken(created, _message(None, None, operation="delete")).rows["orders"][1]
    assert (row.deleted, row.columns["status"], row.lines, row.version) == (True, "new", {}, 3)


def test_lines_are_replaced_or_left_alone() -> None:
    """Lines that an event carries replace all of them; an event without any leaves them."""
    first = _message(b"a", 1, lines=({"line_no": 1}, {"line_no": 2}))
    left = _taken(first, _message(b"b", 2))
    replaced = _taken(first, _message(b"b", 2, lines=({"line_no": 3},)))
    assert (list(left.rows["orders"][1].lines), list(replaced.rows["orders"][1].lines)) == ([1, 2], [3])


def test_what_is_no_event_becomes_a_letter() -> None:
    """It is kept where it lay, and marks nothing."""
    broken = Message("broken", "orders", 0, b"1", b"{", 0, None)
    oracle = _taken(broken)
    assert (oracle.letters, oracle.marks) == ({Place("orders", 0, 0): broken}, {})

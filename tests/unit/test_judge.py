"""The judge of the end-to-end proof notices every kind of difference: one of each is planted."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import datetime

import pytest

from tests.e2e.audit import Write, violations
from tests.e2e.hostile import CANARY
from tests.e2e.judge import compare
from tests.e2e.messages import Change, Hopeless, Message, Place, Produced
from tests.e2e.oracle import Model, Subject
from tests.e2e.world import Log, Observed, Progress, StoredPosition

LOG = Log("orders", 0)
ORDER = Subject("order", 7)
PLACE = Place("orders", 0, 0)
_HEADERS = (("a", b"1"), ("a", None), ("a", b""))


def _record(offset: int, meaning: Change | Hopeless, value: bytes | None) -> Produced:
    message = Message("test", "order", 0, b"7", value, _HEADERS, 5, meaning)
    return Produced(message, Place(*LOG, offset), 5)


def _change(version: int, event_id: bytes, order_id: int = 7) -> Change:
    occurred_at = datetime(2024, 5, version)
    return Change("order", order_id, "update", event_id, version, occurred_at, {"currency": "EUR"}, {})


@pytest.fixture
def model() -> Model:
    """An order changed twice, a hopeless record without value, and an id that was used for another order."""
    model = Model()
    model.take_all(
        [
            _record(0, _change(1, b"one"), b"{}"),
            _record(1, _change(2, b"two"), b"{}"),
            _record(2, Hopeless(), None),
            _record(3, _change(1, b"one", order_id=8), b"8"),
        ]
    )
    return model


@pytest.fixture
def seen(model: Model) -> Observed:
    """A world in which everything is as it must be."""
    return Observed(
        rows=deepcopy(model.rows),
        marks=[_stored_mark(model, place) for place in model.marks],
        letters=[_stored_letter(model, place) for place in model.letters],
        progress=Progress({LOG: StoredPosition(4, 4, "ns")}, {LOG: 4}, {LOG: 4}),
        cache={b"processed:event:one": b"ns:0:7", b"processed:event:unknown": b"other:0:1"},
    )


def _stored_mark(model: Model, place: Place) -> dict[str, object]:
    mark = model.marks[place]
    return {
        **_coordinates(place),
        "event_id": mark.event_id,
        "entity": "orders",
        "entity_id": mark.subject.entity_id,
        "operation": mark.operation,
        "outcome": mark.outcome,
        "occurred_at": mark.occurred_at,
    }


def _stored_letter(model: Model, place: Place) -> dict[str, object]:
    letter = model.letters[place]
    message = letter.record.message
    meaning = message.meaning
    headers = [
        (name, None if value is None else base64.b64encode(value).decode()) for name, value in _HEADERS
    ]
    return {
        **_coordinates(place),
        "event_id": meaning.event_id if isinstance(meaning, Change) else None,
        "entity_id": meaning.entity_id if isinstance(meaning, Change) else None,
        "record_key": message.key,
        "record_value": message.value,
        "record_timestamp": 5,
        "record_headers": json.dumps(headers),
        "digest": hashlib.sha256(message.value or b"").hexdigest(),
        "status": "dead",
        "stage": "decode",
        "error_class": letter.error_class or "InvalidJson",
        "error_message": "",
        "attempts": 1,
    }


def _coordinates(place: Place) -> dict[str, object]:
    return {"topic": place.topic, "partition_id": place.partition, "record_offset": place.offset}


def test_a_world_as_it_must_be_has_no_difference(model: Model, seen: Observed) -> None:
    """The ground on which one difference at a time is planted."""
    assert compare(model, seen) == []


def _lose_row(seen: Observed) -> None:
    del seen.rows[ORDER]


def _invent_row(seen: Observed) -> None:
    seen.rows[Subject("order", 99)] = deepcopy(seen.rows[ORDER])


def _change_column(seen: Observed) -> None:
    seen.rows[ORDER].columns["currency"] = "USD"


def _age_row(seen: Observed) -> None:
    seen.rows[ORDER].age = seen.rows[ORDER].age._replace(source_offset=0)


def _delete_row(seen: Observed) -> None:
    seen.rows[ORDER].deleted = True


def _lose_mark(seen: Observed) -> None:
    del seen.marks[0]


def _mark_twice(seen: Observed) -> None:
    seen.marks.append({**seen.marks[0], "event_id": b"again"})


def _mark_stale(seen: Observed) -> None:
    seen.marks[0]["outcome"] = "stale"


def _lose_letter(seen: Observed) -> None:
    del seen.letters[0]


def _invent_letter(seen: Observed) -> None:
    seen.letters.append({**seen.letters[0], **_coordinates(PLACE)})


def _empty_value(seen: Observed) -> None:
    seen.letters[0]["record_value"] = b""


def _shuffle_headers(seen: Observed) -> None:
    headers = json.loads(str(seen.letters[0]["record_headers"]))
    seen.letters[0]["record_headers"] = json.dumps(headers[::-1])


def _quote_record(seen: Observed) -> None:
    seen.letters[0]["error_message"] = f"bad name {CANARY}"


def _rename_error(seen: Observed) -> None:
    seen.letters[1]["error_class"] = "SchemaViolation"


def _commit_ahead(seen: Observed) -> None:
    seen.progress.group_offsets[LOG] = 5


def _lag(seen: Observed) -> None:
    seen.progress.ends[LOG] = 5


def _lose_position(seen: Observed) -> None:
    seen.progress.positions.clear()


def _cache_unmarked(seen: Observed) -> None:
    seen.cache[b"processed:event:lost"] = b"ns:3:7"


def _cache_other_record(seen: Observed) -> None:
    seen.cache[b"processed:event:one"] = b"ns:0:8"


@pytest.mark.parametrize(
    ("invariant", "plant"),
    [
        ("I1", _lose_row),
        ("I1", _invent_row),
        ("I1", _change_column),
        ("I1", _age_row),
        ("I1", _delete_row),
        ("I2", _lose_mark),
        ("I2", _mark_twice),
        ("I2", _mark_stale),
        ("I2", _lose_letter),
        ("I2", _invent_letter),
        ("I5", _empty_value),
        ("I5", _shuffle_headers),
        ("I9", _quote_record),
        ("I5", _rename_error),
        ("I3", _commit_ahead),
        ("I6", _lag),
        ("I3", _lose_position),
        ("I4", _cache_unmarked),
        ("I4", _cache_other_record),
    ],
)
def test_a_planted_difference_is_noticed(
    model: Model, seen: Observed, invariant: str, plant: Callable[[Observed], None]
) -> None:
    """Each is named by the invariant that it breaks."""
    plant(seen)
    assert any(invariant in difference for difference in compare(model, seen))


def test_an_open_letter_beside_a_mark_is_noticed(model: Model, seen: Observed) -> None:
    """Closed letters may stand beside a mark, open ones may not."""
    seen.letters.append({**seen.letters[0], **_coordinates(PLACE), "status": "retrying"})
    assert any("a mark and an open dead letter" in difference for difference in compare(model, seen))


def _side(version: int, offset: int) -> dict[str, object]:
    occurred_at = f"2024-05-0{version} 00:00:00.000000"
    age = {"version": version, "occurred_at": occurred_at, "source_partition": 0, "source_offset": offset}
    return {"id": 7, **age, "deleted_at": None}


FIRST, SECOND = _side(1, 0), _side(2, 1)
INSERTED = Write(1, "orders", "INSERT", True, None, FIRST)
UPDATED = Write(1, "orders", "UPDATE", True, FIRST, SECOND)
POSITION = {
    "topic": "orders",
    "partition_id": 0,
    "next_offset": 4,
    "handled_offset": 4,
    "claim_id": "a",
    "cache_namespace": "ns",
}


def _moved(**changes: object) -> Write:
    return Write(1, "consumer_positions", "UPDATE", True, POSITION, {**POSITION, **changes})


@pytest.mark.parametrize(
    "writes",
    [
        pytest.param([INSERTED, UPDATED], id="one-by-one"),
        pytest.param([Write(1, "orders", "INSERT", True, None, SECOND)], id="folded"),
        pytest.param([INSERTED, replace(UPDATED, new=FIRST, changed=False), UPDATED], id="unchanged-write"),
        pytest.param(
            [INSERTED, Write(1, "order_items", "INSERT", True, None, {"order_id": 7})], id="lines-with-order"
        ),
        pytest.param([_moved(next_offset=9, handled_offset=9)], id="position-moves-on"),
        pytest.param([_moved(claim_id="b")], id="claim"),
    ],
)
def test_honest_writes_pass_the_audit(model: Model, writes: list[Write]) -> None:
    """What a correct service writes is no violation."""
    assert violations(model, writes) == []


LINE = Write(1, "order_items", "INSERT", True, None, {"order_id": 7})
MARKED = Write(1, "processed_events", "INSERT", True, None, {"event_id": "00"})
DISCARDED = {"id": 1, "status": "discarded"}


@pytest.mark.parametrize(
    ("violation", "writes"),
    [
        ("became older", [INSERTED, UPDATED, replace(UPDATED, old=SECOND, new=FIRST)]),
        ("twice or out of order", [INSERTED, INSERTED]),
        ("twice or out of order", [INSERTED, replace(UPDATED, old=FIRST, new=FIRST)]),
        ("no event led there", [replace(INSERTED, new=_side(3, 5))]),
        ("was removed", [Write(1, "orders", "DELETE", True, FIRST, None)]),
        ("without it", [LINE]),
        ("without it", [INSERTED, replace(LINE, connection=2)]),
        ("marked twice", [MARKED, MARKED]),
        ("changed or removed", [replace(MARKED, action="UPDATE")]),
        ("reopened", [Write(1, "dead_letters", "UPDATE", True, DISCARDED, {**DISCARDED, "status": "dead"})]),
        ("without a claim", [_moved(next_offset=3)]),
        ("a claim moved", [_moved(next_offset=3, claim_id="b")]),
        ("a claim moved", [_moved(next_offset=5, handled_offset=5, claim_id="b")]),
        ("went down in its namespace", [_moved(handled_offset=3)]),
    ],
)
def test_dishonest_writes_fail_the_audit(model: Model, violation: str, writes: list[Write]) -> None:
    """One violation of each kind is planted."""
    assert any(violation in found for found in violations(model, writes))

"""The oracle of the end-to-end proof, on histories short enough to judge by eye."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from tests.e2e.messages import Change, Hopeless, Line, Meaning, Message, Place, Produced
from tests.e2e.oracle import Age, Model, Subject, is_newer
from tests.e2e.workload import Workload

NOON = datetime(2024, 5, 1, 12)
ANNA = Subject("customer", 1)


def change(version: int | None = 1, seconds: int = 0, **fields: object) -> Change:
    """A change of customer 1; its id is made of what it says."""
    made = Change("customer", 1, "update", None, version, NOON + timedelta(seconds=seconds))
    named = replace(made, event_id=f"{version} {seconds} {fields}".encode())
    return replace(named, **fields)  # type: ignore[arg-type]  # the fields are those of Change


def records(*meanings: Meaning, partition: int = 0) -> list[Produced]:
    """One record for each meaning, at the offsets 0, 1, 2 …"""
    return [
        Produced(
            Message("test", "customer", partition, b"1", b"{}", (), 0, meaning),
            Place("customers", partition, offset),
            timestamp_ms=offset * 1000,
        )
        for offset, meaning in enumerate(meanings)
    ]


def outcomes(model: Model, history: list[Produced]) -> list[str]:
    """Let `model` take a history and say what became of each record."""
    return [model.take(record) for record in history]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param((2, 0, 0, 0), (1, 9, 9, 9), id="higher-version"),
        pytest.param((1, 1, 0, 0), (1, 0, 9, 9), id="same-version-later-time"),
        pytest.param((None, 1, 0, 0), (7, 0, 9, 9), id="no-version-later-time"),
        pytest.param((7, 1, 0, 0), (None, 0, 9, 9), id="version-against-none-later-time"),
        pytest.param((1, 0, 1, 0), (1, 0, 0, 9), id="same-time-higher-partition"),
        pytest.param((1, 0, 0, 1), (1, 0, 0, 0), id="same-time-higher-offset"),
    ],
)
def test_newer_is_an_order_of_two(
    one: tuple[int | None, int, int, int], other: tuple[int, int, int, int]
) -> None:
    """Version, then time, then place decide, and never both ways."""
    first, second = (
        Age(version, NOON + timedelta(seconds=seconds), partition, offset)
        for version, seconds, partition, offset in (one, other)
    )
    assert is_newer(first, second)
    assert not is_newer(second, first)


def test_an_absent_field_is_left_alone_and_null_is_written() -> None:
    """An update changes the columns that it carries and no other."""
    model = Model()
    model.take_all(
        records(change(1, columns={"name": "Anna", "phone": "1"}), change(2, columns={"phone": None}))
    )
    assert model.rows[ANNA].columns["name"] == "Anna"
    assert model.rows[ANNA].columns["phone"] is None
    assert model.rows[ANNA].columns["status"] == "active"


def test_a_stale_event_changes_nothing_but_is_marked() -> None:
    """Not even columns that the newer event did not carry."""
    model = Model()
    found = outcomes(model, records(change(2, columns={"name": "new"}), change(1, columns={"phone": "old"})))
    assert found == ["applied", "stale"]
    assert model.rows[ANNA].columns["phone"] is None
    assert model.marks[Place("customers", 0, 1)].outcome == "stale"


def test_a_row_keeps_its_highest_version() -> None:
    """An event without a version that wins by its time leaves the version as it is."""
    model = Model()
    model.take_all(records(change(7), change(None, seconds=1)))
    assert model.rows[ANNA].age == Age(7, NOON + timedelta(seconds=1), 0, 1)
    assert outcomes(model, records(change(6, seconds=2))) == ["stale"]


def test_a_delete_leaves_a_tombstone_that_only_newer_events_revive() -> None:
    """Payload and lines go, the age stays, a newer change brings the record back on top of the defaults."""
    model = Model()
    lines = {1: Line(5, Decimal(1), None)}
    history = records(
        change(1, columns={"name": "Anna"}, lines=lines),
        change(3, operation="delete"),
        change(2, lines=lines),
    )
    assert outcomes(model, history) == ["applied", "applied", "stale"]
    assert model.rows[ANNA].deleted
    assert model.rows[ANNA].columns["name"] is None
    assert model.rows[ANNA].lines == {}
    model.take_all(records(change(4, columns={"phone": "4"})))
    assert not model.rows[ANNA].deleted
    assert model.rows[ANNA].columns["name"] is None


def test_lines_are_replaced_as_a_whole_or_left_alone() -> None:
    """Absent is not empty."""
    model = Model()
    two = {1: Line(5, None, None), 2: Line(6, None, None)}
    model.take_all(records(change(1, lines=two), change(2)))
    assert model.rows[ANNA].lines == two
    model.take_all(records(change(3, lines={2: Line(7, None, None)})))
    assert model.rows[ANNA].lines == {2: Line(7, None, None)}
    model.take_all(records(change(4, lines={})))
    assert model.rows[ANNA].lines == {}


def test_a_known_id_of_the_same_record_is_a_duplicate_whatever_its_body() -> None:
    """The first body counts."""
    model = Model()
    found = outcomes(
        model, records(change(1, event_id=b"x"), change(2, event_id=b"x", columns={"name": "no"}))
    )
    assert found == ["applied", "duplicate"]
    assert model.rows[ANNA].columns["name"] is None


def test_a_known_id_of_another_record_is_a_dead_letter() -> None:
    """Ids are unique over all records; bytes decide."""
    model = Model()
    other = change(1, event_id=b"x", entity_id=2)
    spelled = change(2, event_id=b"X", entity_id=2)
    assert outcomes(model, records(change(1, event_id=b"x"), other, spelled)) == [
        "applied",
        "dead",
        "applied",
    ]
    assert model.letters[Place("customers", 0, 1)].error_class == "EventIdReused"


def test_the_id_of_a_hopeless_record_is_free() -> None:
    """A dead letter marks nothing; reading it again adds nothing."""
    model = Model()
    history = records(Hopeless(), change(1, event_id=b"x"))
    assert outcomes(model, history) == ["dead", "applied"]
    assert outcomes(model, history) == ["dead", "duplicate"]
    assert len(model.letters) == 1


def test_an_event_without_id_is_known_by_its_place() -> None:
    """Read again it is a duplicate; the same bytes at another offset are another event."""
    model = Model()
    history = records(change(1, event_id=None), change(1, event_id=None))
    assert outcomes(model, history) == ["applied", "applied"]
    assert outcomes(model, history) == ["duplicate", "duplicate"]


def test_a_missing_time_is_kafkas() -> None:
    """The record's timestamp stands in for `occurred_at`."""
    model = Model()
    model.take_all(records(change(1), change(1, occurred_at=None)))
    assert model.rows[ANNA].age.occurred_at == NOON
    assert model.marks[Place("customers", 0, 1)].occurred_at == datetime(1970, 1, 1, 0, 0, 1)


def test_applying_a_dead_letters_record_closes_the_letter() -> None:
    """A record is never both open and marked."""
    model = Model()
    [first] = records(Hopeless())
    [second] = records(change(1))
    assert outcomes(model, [first, second]) == ["dead", "applied"]
    assert model.letters[first.place].status == "superseded"


def test_the_same_seed_gives_the_same_messages() -> None:
    """A failing run can be repeated."""
    assert Workload(7).take(500) == Workload(7).take(500)
    assert Workload(7).take(500) != Workload(8).take(500)


def test_a_parked_record_is_handled_when_it_is_tried_again() -> None:
    """After what came meanwhile: applied it is replayed, overtaken it is superseded."""
    model = Model()
    first, second, third = records(change(1), change(2), change(3))
    for record in (first, second):
        model.park(record, "LockTimeout")
    assert model.marks == {}
    assert model.retry(second) == "applied"
    model.take(third)
    assert model.retry(first) == "stale"
    assert [letter.status for letter in model.letters.values()] == ["superseded", "replayed"]


def test_a_closed_letter_stays_closed() -> None:
    """Also when its record is read again and applied."""
    model = Model()
    [record] = records(change(1))
    model.park(record, "LockTimeout")
    model.close(record, "discarded")
    assert model.take(record) == "applied"
    assert model.letters[record.place].status == "discarded"

"""Traffic without end, and seeing by positions when its events become visible."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest

from benchmarks.live.sight import Log, Seen, Sight
from benchmarks.live.traffic import APART, Event, Kind, Traffic
from benchmarks.load import Message


@pytest.fixture
def traffic() -> Traffic:
    return Traffic(7, copied_share=0.3, hostile_share=0.05, records=2_000)


def test_the_same_seed_makes_the_same_traffic(traffic: Traffic) -> None:
    """Two runs with one seed measure the same bytes."""
    again = Traffic(7, copied_share=0.3, hostile_share=0.05, records=2_000)
    assert traffic.first() == again.first()
    assert list(islice(traffic, 3_000)) == list(islice(again, 3_000))


def test_every_original_makes_its_record_one_version_newer(traffic: Traffic) -> None:
    """So the sum of all versions is the number of originals, and a lost or stale one is missing in it."""
    events = [*traffic.first(), *islice(traffic, 10_000)]
    newest: Counter[int] = Counter()
    for message, kind in events:
        if kind is Kind.ORIGINAL:
            content = json.loads(message.value)
            assert content["version"] == newest[content["entity_id"]] + 1
            newest[content["entity_id"]] += 1
    assert len(newest) == 2_000
    assert len({message.event_id for message, kind in events if kind is Kind.ORIGINAL}) == newest.total()


def test_a_copy_comes_long_after_its_original_byte_for_byte(traffic: Traffic) -> None:
    """At least a thousand events of its partition, as everywhere here."""
    originals: dict[Message, int] = {}
    copies = 0
    for message, kind in [*traffic.first(), *islice(traffic, 12_000)]:
        if kind is Kind.ORIGINAL:
            originals[message] = len(originals)
        elif kind is Kind.COPY:
            copies += 1
            assert len(originals) - originals[message] >= APART
    assert 2_000 < copies < 4_000


def test_hostile_records_have_ids_of_their_own(traffic: Traffic) -> None:
    """No mark of theirs hides an original."""
    events = list(islice(traffic, 5_000))
    hostile = {message.event_id for message, kind in events if kind is Kind.HOSTILE}
    assert len(hostile) == sum(kind is Kind.HOSTILE for _, kind in events) > 100
    assert not hostile & {message.event_id for message, kind in events if kind is Kind.ORIGINAL}


class _Database:
    """Says where the partitions stand."""

    def __init__(self) -> None:
        self.positions: dict[Log, int] = {}
        self.time = 100.0
        self.sight = Sight(lambda: self.positions, lambda: self.time)

    def send(self, kind: Kind, partition: int, due: float) -> None:
        self.sight.note(Event(Message("customers", partition, b"", b"", ""), kind), due)


@pytest.fixture
def database() -> _Database:
    return _Database()


def test_an_original_is_seen_when_the_position_is_beyond_it(database: _Database) -> None:
    """Not when it stands at it; its delay begins when it was due."""
    database.send(Kind.ORIGINAL, 0, due=99.5)
    database.send(Kind.ORIGINAL, 0, due=99.75)
    database.positions = {("customers", 0): 1}
    assert database.sight.look() == [Seen(99.5, 0.5)]
    assert database.sight.pending == 1
    database.time = 101.75
    assert database.sight.waited_seconds() == 2
    database.positions = {("customers", 0): 2}
    assert database.sight.look() == [Seen(99.75, 2)]
    assert database.sight.waited_seconds() == 0


def test_copies_and_garbage_count_as_offsets_only(database: _Database) -> None:
    """They leave nothing to see, and the original behind them has a later offset."""
    for kind in (Kind.COPY, Kind.HOSTILE, Kind.ORIGINAL):
        database.send(kind, 2, due=100)
    database.positions = {("customers", 2): 2}
    assert database.sight.look() == []
    database.positions = {("customers", 2): 3}
    assert len(database.sight.look()) == 1
    assert database.sight.sent == 3


def test_partitions_do_not_hide_one_another(database: _Database) -> None:
    """Each has offsets of its own."""
    database.send(Kind.ORIGINAL, 0, due=100)
    database.send(Kind.ORIGINAL, 1, due=100)
    database.positions = {("customers", 1): 1}
    assert len(database.sight.look()) == 1
    assert database.sight.pending == 1

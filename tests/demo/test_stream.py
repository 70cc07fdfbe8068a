"""What the demo's producers send: seeded, with copies at a distance, and judged rightly by its own author."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import pytest

from service.core.errors import PermanentError
from service.core.types import Partition, Record
from service.demo.hostile import ways
from service.demo.messages import TOPICS, Message
from service.demo.stream import FARTHEST_COPY, NEAREST_COPY, Stream
from service.entities.registry import ENTITIES
from service.formats.native import decoder

_START = datetime(2026, 11, 22, 9, 30)
_NUMBER = 6000


def _sent(seed: int = 1, duplicates: float = 0.3, number: int = _NUMBER) -> list[Message]:
    stream = Stream(seed, duplicates)
    return [stream.next(_START + timedelta(milliseconds=5 * index)) for index in range(number)]


@pytest.fixture(scope="module")
def sent() -> list[Message]:
    """A stream as the demo sends it by default."""
    return _sent()


def test_the_same_seed_gives_the_same_stream() -> None:
    """Whoever sees a demo fail can see it again."""
    assert _sent(seed=7, number=500) == _sent(seed=7, number=500)


def test_another_seed_gives_another_stream() -> None:
    """The seed is used."""
    assert _sent(seed=7, number=50) != _sent(seed=8, number=50)


@pytest.mark.parametrize("duplicates", [0.0, 0.3, 0.85])
def test_as_many_copies_as_were_asked_for(duplicates: float) -> None:
    """The share of copies among all records, but for the first ones, which have nothing to copy."""
    copies = sum(message.kind == "copy" for message in _sent(duplicates=duplicates))
    assert copies / _NUMBER == pytest.approx(duplicates, abs=0.02)


@pytest.mark.parametrize("duplicates", [0.3, 0.85])
def test_copies_lie_at_a_distance(duplicates: float) -> None:
    """Between two records with the same id lie many others, as after a producer's timeout."""
    last: dict[bytes, int] = {}
    distances = []
    for number, message in enumerate(_sent(duplicates=duplicates)):
        if message.change is not None and message.change.event_id is not None:
            if message.kind == "copy":
                distances.append(number - last[message.change.event_id])
            last[message.change.event_id] = number
    assert min(distances) > NEAREST_COPY
    assert max(distances) > FARTHEST_COPY / 2


def test_a_copy_is_the_same_record_again(sent: list[Message]) -> None:
    """Key, value and partition of a copy are those of an earlier record; it carries its own time."""
    seen: set[tuple[str, int, bytes | None, bytes | None]] = set()
    for message in sent:
        what = (message.topic, message.partition, message.key, message.value)
        assert message.kind != "copy" or what in seen
        seen.add(what)


def test_overtaken_events_come_after_newer_ones(sent: list[Message]) -> None:
    """Each is older than an event of the same record that was sent before it."""
    newest: dict[tuple[str, int], int] = {}
    overtaken = 0
    for message in sent:
        if message.change is None or message.change.version is None:
            continue
        which = (message.topic, message.change.entity_id)
        if message.kind == "overtaken":
            assert message.change.version < newest[which]
            overtaken += 1
        newest[which] = max(newest.get(which, 0), message.change.version)
    assert overtaken > 100


def test_every_way_to_be_hostile_occurs(sent: list[Message]) -> None:
    """A default demo shows all of them."""
    kinds = Counter(message.kind for message in sent if message.change is None)
    assert kinds.keys() == {name for topic in TOPICS for name, _ in ways(topic)} | {"id of another record"}


def test_the_service_agrees_on_what_is_an_event(sent: list[Message]) -> None:
    """Hostile records cannot be decoded, but for those whose id is another record's; all others can."""
    decoders = {topic: decoder(ENTITIES[topic]) for topic in TOPICS}
    for message in sent:
        record = Record(
            Partition(message.topic, message.partition), 0, message.timestamp_ms, message.key, message.value
        )
        if message.change is None and message.kind != "id of another record":
            with pytest.raises(PermanentError):
                decoders[message.topic](record)
        else:
            event = decoders[message.topic](record)
            assert message.change is None or event.columns == message.change.columns

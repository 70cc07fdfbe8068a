"""What the sink wrote, read back through the plain driver, is what the records said: on each database."""

from __future__ import annotations

import base64
import json
from itertools import chain
from random import Random

import pytest

from service.core.types import DeadLetter, Partition, Record, Work
from tests.contracts.sink_worlds import SqlWorld, claimed
from tests.e2e.oracle import Model
from tests.e2e.world import Fields
from tests.faults.hostile import corpus, growing
from tests.faults.hostile.cases import CLUSTER
from tests.faults.hostile.column_texts import VALUES
from tests.faults.hostile.histories import Player, batches, produced
from tests.faults.hostile.reading import SINGULAR
from tests.faults.hostile.stores import observed

HISTORIES = 4
BATCHES = 12
RECORDS = 60


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_the_tables_hold_what_the_records_said(world: SqlWorld, url: str, seed: int) -> None:
    """Rows value by value, lines, marks, letters byte for byte; the server alone refuses nothing."""
    player = Player(world)
    for batch in batches(Random(f"history {seed}"), BATCHES, RECORDS):
        await player.play(batch)
    assert await player.differences(url) == []


def test_the_histories_have_everything() -> None:
    """Every outcome, records deleted and alive again, lines: or the test above compares little."""
    model = Model()
    for seed in range(HISTORIES):
        cases = chain.from_iterable(batches(Random(f"history {seed}"), BATCHES, RECORDS))
        for offset, case in enumerate(cases):
            model.take(produced(case, case.record(offset, seed)))
    assert min(model.outcomes[name] for name in ("applied", "stale", "duplicate", "dead")) > 20
    lives = ["".join("x" if deleted else "." for _, deleted in past) for past in model.past.values()]
    assert any("x." in life for life in lives)
    assert any(life.endswith("x") for life in lives)
    assert sum(len(row.lines) for row in model.rows.values()) > 20
    assert any(letter.error_class == "EventIdReused" for letter in model.letters.values())


async def test_the_corpus_is_stored_as_it_was_sent(world: SqlWorld, url: str) -> None:
    """Every kept input, in one batch a table, at the last offsets and in the last partition there are."""
    cases = [kept.case for kept in corpus.load()]
    player = Player(world, first_offset=2**63 - 2 - len(cases))
    for table in SINGULAR:
        await player.play([case for case in cases if case.table == table], 2**31 - 1)
    assert await player.differences(url) == []


@pytest.mark.parametrize("seed", range(2))
async def test_a_letter_is_its_record_byte_for_byte(world: SqlWorld, url: str, seed: int) -> None:
    """Null and empty apart, headers in order and repeated, any bytes, the extremes of every number."""
    rng = Random(f"letters {seed}")
    partition = Partition("t" * 249, 2**31 - 1)
    lease = await claimed(world, partition, 2**63 - 60)
    letters = [_letter(rng, partition, lease.expected + number) for number in range(50)]
    await world.sink.apply(Work((), tuple(letters), lease.expected + 50), lease)
    stored = {letter["record_offset"]: letter for letter in (await observed(url)).letters}
    assert [_told(stored[letter.record.offset]) for letter in letters] == [_meant(each) for each in letters]


def _letter(rng: Random, partition: Partition, offset: int) -> DeadLetter:
    timestamp_ms = rng.choice([-1, 0, 2**63 - 1, -(2**63)])
    key, value = (rng.choice([None, b"", b"\0", _octets(rng)]) for _ in range(2))
    record = Record(partition, offset, timestamp_ms, key, value, growing.headers(rng), CLUSTER)
    event_id = rng.choice([None, b"\0\xff'\\", rng.randbytes(255), b"e" * 255])
    entity_id = rng.choice([None, 1, 2**63 - 1])
    words = rng.choice(["", "'\\\"%s:x", "\U0001f600" * 1_024])
    return DeadLetter(record, "decode", "SchemaViolation", words, event_id, "customers", entity_id)


def _octets(rng: Random) -> bytes:
    """Bytes that are no text, bytes that are one, and bytes that are one but for the last."""
    text = VALUES["name"](rng).encode()
    return rng.choice([rng.randbytes(rng.randrange(300)), text, text + b"\xf0\x9f", bytes(range(256))])


def _told(stored: Fields) -> dict[str, object]:
    headers = json.loads(str(stored["record_headers"]))
    names = ("record_key", "record_value", "record_timestamp", "event_id", "entity_id", "error_message")
    decoded = [(name, None if value is None else base64.b64decode(value)) for name, value in headers]
    return {name: stored[name] for name in names} | {
        "place": (stored["topic"], stored["partition_id"]),
        "headers": decoded,
    }


def _meant(letter: DeadLetter) -> dict[str, object]:
    record = letter.record
    return {
        "record_key": record.key,
        "record_value": record.value,
        "record_timestamp": record.timestamp_ms,
        "event_id": letter.event_id,
        "entity_id": letter.entity_id,
        "error_message": letter.error_message,
        "place": (record.partition.topic, record.partition.number),
        "headers": list(record.headers),
    }

"""`upsertd replay` as an operator runs it, on a real Kafka and MariaDB: ranges, outcomes, refusals."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from service.__main__ import main
from service.entities.registry import ENTITIES
from tests.conftest import NewTopic
from tests.servers import Kafka, MariaDb, database_of

RECORDS = 5
GARBAGE = b"\xff"
Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Shop:
    """A migrated database, a topic of two partitions with customers in the first, and a group."""

    kafka: Kafka
    mariadb: MariaDb
    database: str
    topic: str
    group_id: str

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement."""
        return self.mariadb.execute(statement, self.database, parameters)

    def column(self, query: str) -> list[object]:
        """The first column of what a query finds."""
        return [row[0] for row in self.sql(query)]

    def stand_at(self, next_offset: int) -> None:
        """Let the group have come to this offset of the first partition."""
        self.sql(
            "INSERT INTO consumer_positions (group_id, topic, partition_id, next_offset, handled_offset,"
            " claim_id, epoch, cache_namespace, updated_at)"
            " VALUES (%s, %s, 0, %s, %s, 'c', 1, 'n', '2026-11-21')",
            self.group_id,
            self.topic,
            next_offset,
            next_offset,
        )

    def produce(self, *values: bytes) -> None:
        """Add records to the first partition, a second after each other."""
        asyncio.run(self._produce(values))

    async def _produce(self, values: tuple[bytes, ...]) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        await producer.start()
        try:
            for value in values:
                sent = await producer.send_and_wait(self.topic, value, b"1", 0, timestamp_ms=1)
                assert sent.offset >= 0
        finally:
            await producer.stop()

    def trim(self, beginning: int) -> None:
        """Let Kafka remove the first records."""
        asyncio.run(self._trim(beginning))

    async def _trim(self, beginning: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(self.topic, 0): RecordsToDelete(beginning)})
        finally:
            await admin.close()


def customer(
    entity_id: int,
    version: int | None = 1,
    *,
    name: str | None = None,
    occurred_at: str = "2026-11-21T10:00:00Z",
) -> bytes:
    """A change of a customer; its event id is made of both numbers."""
    event = {
        "event_id": f"{entity_id}-{version}",
        "entity_id": entity_id,
        "operation": "update",
        "version": version,
        "occurred_at": occurred_at,
        "data": {"name": name or f"customer {entity_id}"},
    }
    return json.dumps(event).encode()


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Leave the process's log alone."""
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.fixture
def shop(
    kafka: Kafka,
    mariadb: MariaDb,
    migrated_url: str,
    new_topic: NewTopic,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """A shop with a few customers in its log, and everything that the settings name."""
    topic = new_topic(2, retention_ms=-1)
    shop = Shop(kafka, mariadb, database_of(migrated_url), topic, f"group-{secrets.token_hex(4)}")
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA_GROUP_ID": shop.group_id,
        "KAFKA_TOPIC_CUSTOMERS": shop.topic,
        **{f"KAFKA_TOPIC_{name.upper()}": "" for name in ENTITIES if name != "customers"},
        "DATABASE_URL": migrated_url,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    shop.produce(*(customer(number) for number in range(1, RECORDS + 1)))
    return shop


def replay(shop: Shop, capsys: Captured, arguments: str) -> Mapping[str, Any]:
    """The summary of a replay that succeeds."""
    assert main(f"replay --json --topic {shop.topic} {arguments}".split()) == 0, capsys.readouterr().err
    summary: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    return summary


def outcomes(summary: Mapping[str, Any]) -> dict[str, int]:
    """What became of the records, without the zeros."""
    return {name: number for name, number in summary["total"].items() if number and name != "read"}


def test_a_range_is_taken_once(shop: Shop, capsys: Captured) -> None:
    """What is marked is a duplicate the next time; no position comes about."""
    first, second = replay(shop, capsys, "--from-offset 0")["partitions"]
    assert (first["from_offset"], first["to_offset"], first["applied"]) == (0, RECORDS, RECORDS)
    assert (second["read"], second["to_offset"]) == (0, 0)
    assert shop.column("SELECT COUNT(*) FROM customers") == [RECORDS]
    assert outcomes(replay(shop, capsys, "--from-offset 0")) == {"duplicate": RECORDS}
    assert shop.sql("SELECT * FROM consumer_positions") == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param("--from-offset 1 --until 3", [2, 3], id="offsets"),
        pytest.param("--from-offset 3 --partition 0", [4, 5], id="a-partition"),
        pytest.param("--from-offset 0 --partition 1", [], id="another-partition"),
        pytest.param("--from-offset 2 --until 99", [3, 4, 5], id="beyond-the-end"),
        pytest.param("--from-offset 99", [], id="from-beyond-the-end"),
        pytest.param("--from-time 1970-01-01 --until 2", [1, 2], id="from-a-time"),
        pytest.param("--from-offset 3 --until 1970-01-02", [4, 5], id="until-a-time"),
        pytest.param("--from-offset 3 --until 1970-01-01T00:00:00.001Z", [], id="until-a-time-before-it"),
        pytest.param("--from-time 2100-01-01T00:00:00Z", [], id="a-time-to-come"),
    ],
)
def test_the_range_that_is_meant(shop: Shop, capsys: Captured, arguments: str, expected: list[int]) -> None:
    """And nothing else."""
    shop.stand_at(RECORDS)
    replay(shop, capsys, arguments)
    assert shop.column("SELECT id FROM customers ORDER BY id") == expected


def test_what_the_group_has_yet_to_come_to_is_left_to_it(shop: Shop, capsys: Captured) -> None:
    """An earlier record that carries other fields would be stale afterwards, and these lost."""
    shop.stand_at(1)
    assert main(f"replay --topic {shop.topic} --from-offset 2".split()) == 0
    assert "the group stands at 1 and has yet to come to 2" in capsys.readouterr().err
    assert shop.column("SELECT id FROM customers") == []
    assert outcomes(replay(shop, capsys, "--from-offset 1")) == {"applied": RECORDS - 1}


def test_a_dry_run_writes_nothing(shop: Shop, capsys: Captured) -> None:
    """And says what would have become of the records, dead letters included."""
    shop.produce(GARBAGE)
    summary = replay(shop, capsys, "--from-offset 0 --dry-run")
    assert outcomes(summary) == {"applied": RECORDS, "dead": 1}
    for table in ("customers", "processed_events", "dead_letters", "consumer_positions"):
        assert shop.column(f"SELECT COUNT(*) FROM {table}") == [0]


def test_a_dead_letter_is_written_once(shop: Shop, capsys: Captured) -> None:
    """One that is there stays as it is."""
    shop.produce(GARBAGE)
    for _ in range(2):
        assert replay(shop, capsys, "--from-offset 0")["total"]["dead"] == 1
    assert shop.column("SELECT record_offset FROM dead_letters") == [RECORDS]
    shop.sql("UPDATE dead_letters SET status = 'discarded'")
    replay(shop, capsys, "--from-offset 0")
    assert shop.column("SELECT status FROM dead_letters") == ["discarded"]


def test_a_record_that_can_be_applied_now_closes_its_letter(shop: Shop, capsys: Captured) -> None:
    """It failed once, for a reason that is gone."""
    shop.sql("ALTER TABLE customers MODIFY name VARCHAR(3)")
    assert outcomes(replay(shop, capsys, "--from-offset 0 --until 1")) == {"dead": 1}
    shop.sql("ALTER TABLE customers MODIFY name VARCHAR(255)")
    assert outcomes(replay(shop, capsys, "--from-offset 0 --until 1")) == {"applied": 1}
    assert shop.column("SELECT status FROM dead_letters") == ["superseded"]


def test_rows_removed_by_hand_come_back_with_force_only(shop: Shop, capsys: Captured) -> None:
    """The mark stays as it was."""
    replay(shop, capsys, "--from-offset 0")
    marks = shop.sql("SELECT * FROM processed_events ORDER BY event_id")
    shop.sql("DELETE FROM customers WHERE id <= 2")
    assert outcomes(replay(shop, capsys, "--from-offset 0")) == {"duplicate": RECORDS}
    assert shop.column("SELECT COUNT(*) FROM customers") == [RECORDS - 2]
    assert outcomes(replay(shop, capsys, "--from-offset 0 --force")) == {"applied": 2, "stale": RECORDS - 2}
    assert shop.column("SELECT COUNT(*) FROM customers") == [RECORDS]
    assert shop.sql("SELECT * FROM processed_events ORDER BY event_id") == marks


def test_force_keeps_the_version_rule_and_copies_out(shop: Shop, capsys: Captured) -> None:
    """A row is never made older, and a copy elsewhere stays a duplicate."""
    shop.produce(customer(1, version=7, name="newest"), customer(1, version=7, name="newest"))
    replay(shop, capsys, "--from-offset 0")
    assert outcomes(replay(shop, capsys, "--from-offset 0 --force")) == {"stale": RECORDS + 1, "duplicate": 1}
    assert shop.column("SELECT name FROM customers WHERE id = 1") == ["newest"]


def test_force_lets_nobody_win_twice(shop: Shop, capsys: Captured) -> None:
    """Without a version and of a later time it beats what came after it by its version: it had its say."""
    shop.produce(customer(1, None, occurred_at="2026-11-21T12:00:00Z"))
    shop.produce(customer(1, version=9, name="higher", occurred_at="2026-11-21T11:00:00Z"))
    replay(shop, capsys, "--from-offset 0")
    rows = shop.sql("SELECT id, name, version, source_offset FROM customers ORDER BY id")
    assert rows[0] == (1, "higher", 9, RECORDS + 1)
    replay(shop, capsys, "--from-offset 0 --force")
    assert shop.sql("SELECT id, name, version, source_offset FROM customers ORDER BY id") == rows
    shop.sql("DELETE FROM customers")
    replay(shop, capsys, "--from-offset 0 --force")
    assert shop.sql("SELECT id, name, version, source_offset FROM customers ORDER BY id") == rows


def test_a_marked_record_that_fails_when_forced_gets_no_letter(shop: Shop, capsys: Captured) -> None:
    """A mark and an open letter of one record never stand together (I2)."""
    replay(shop, capsys, "--from-offset 0")
    shop.sql("DELETE FROM customers")
    shop.sql("ALTER TABLE customers MODIFY name VARCHAR(3)")
    assert outcomes(replay(shop, capsys, "--from-offset 0 --until 2 --force")) == {"dead": 2}
    assert shop.sql("SELECT * FROM dead_letters") == []
    assert shop.column("SELECT COUNT(*) FROM processed_events") == [RECORDS]


def failure(shop: Shop, capsys: Captured, arguments: str) -> tuple[int, str]:
    """The exit code and the line of a replay that is refused."""
    code = main(f"replay --topic {shop.topic} {arguments}".split())
    (line,) = capsys.readouterr().err.splitlines()
    return code, line


def test_records_that_are_gone_are_not_skipped(shop: Shop, capsys: Captured) -> None:
    """The line says where the log begins; a time begins with what there is."""
    shop.stand_at(RECORDS)
    shop.trim(2)
    code, line = failure(shop, capsys, "--from-offset 1")
    assert (code, f"the log of {shop.topic}/0 begins at 2" in line) == (1, True)
    assert replay(shop, capsys, "--from-time 1970-01-01")["partitions"][0]["from_offset"] == 2


def test_a_halted_partition_is_refused(shop: Shop, capsys: Captured) -> None:
    """Its position speaks of another log."""
    shop.stand_at(RECORDS + 1)
    code, line = failure(shop, capsys, "--from-offset 0")
    assert (code, "beyond the log's end" in line) == (1, True)


def test_an_unknown_partition_is_wrong_usage(shop: Shop, capsys: Captured) -> None:
    """The line says which there are."""
    code, line = failure(shop, capsys, "--from-offset 0 --partition 2")
    assert (code, "has partitions 0 to 1" in line) == (2, True)


def test_a_topic_that_kafka_does_not_have(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It is configured, and not there."""
    monkeypatch.setenv("KAFKA_TOPIC_CUSTOMERS", f"{shop.topic}-not")
    assert main(["replay", "--topic", f"{shop.topic}-not", "--from-offset", "0"]) == 2
    assert "Kafka has no topic" in capsys.readouterr().err


def test_a_schema_that_is_behind_is_refused(shop: Shop, capsys: Captured) -> None:
    """With what to do."""
    shop.sql("DELETE FROM alembic_version")
    code, line = failure(shop, capsys, "--from-offset 0")
    assert (code, "upsertd migrate" in line) == (1, True)


def test_kafka_that_is_away_exits_1(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Before anything was read."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code, line = failure(shop, capsys, "--from-offset 0")
    assert (code, "connection refused" in line) == (1, True)

"""The commands as an operator runs them, on a real Kafka, MariaDB and Redis."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from service.__main__ import main
from service.entities.registry import ENTITIES
from service.stores import dead_letters
from tests.conftest import NewTopic
from tests.servers import Kafka, MariaDb, database_of

HOSTILE = b'{"name": "\x1b]0;owned\x07\xe2\x80\xae"}\r\n\x00'
RECORDS = 5

Captured = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Shop:
    """A migrated database, a topic of two partitions with some records in the first, and a group."""

    kafka: Kafka
    mariadb: MariaDb
    database: str
    topic: str
    group_id: str

    def sql(self, statement: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement."""
        return self.mariadb.execute(statement, self.database, parameters)

    def insert(self, table: str, row: Mapping[str, object]) -> None:
        """Insert a row."""
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", *row.values())

    def insert_position(self, next_offset: int, **columns: object) -> None:
        """Insert the position of the first partition."""
        row = {
            "group_id": self.group_id,
            "topic": self.topic,
            "partition_id": 0,
            "next_offset": next_offset,
            "handled_offset": next_offset,
            "claim_id": "c" * 32,
            "epoch": 7,
            "owner": "somebody",
            "cache_namespace": "n" * 16,
            "cluster_id": None,
            "updated_at": "2026-11-21",
        }
        self.insert("consumer_positions", row | columns)

    def position(self) -> dict[str, object]:
        """The position of the first partition."""
        names = (
            "next_offset",
            "handled_offset",
            "claim_id",
            "epoch",
            "owner",
            "cache_namespace",
            "cluster_id",
        )
        (row,) = self.sql(f"SELECT {', '.join(names)} FROM consumer_positions WHERE partition_id = 0")
        return dict(zip(names, row, strict=True))

    def group_offset(self) -> tuple[int, str] | None:
        """The group's offset of the first partition, and its metadata."""

        async def ask() -> tuple[int, str] | None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
            await admin.start()
            try:
                offsets = await admin.list_consumer_group_offsets(self.group_id)
            finally:
                await admin.close()
            found = offsets.get(TopicPartition(self.topic, 0))
            return None if found is None else (found.offset, found.metadata)

        return asyncio.run(ask())


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
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """Everything that the settings name."""
    shop = Shop(kafka, mariadb, database_of(migrated_url), new_topic(2), f"group-{secrets.token_hex(4)}")
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
        "KAFKA_GROUP_ID": shop.group_id,
        "KAFKA_TOPIC_CUSTOMERS": shop.topic,
        **{f"KAFKA_TOPIC_{name.upper()}": "" for name in ENTITIES if name != "customers"},
        "DATABASE_URL": migrated_url,
        "REDIS_URL": redis_url,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    asyncio.run(produce(shop))
    return shop


async def produce(shop: Shop) -> None:
    """Write records into the first partition."""
    producer = AIOKafkaProducer(bootstrap_servers=shop.kafka.bootstrap)
    await producer.start()
    try:
        for _ in range(RECORDS):
            await producer.send_and_wait(shop.topic, b"{}", partition=0)
    finally:
        await producer.stop()


def shown(capsys: Captured, arguments: str) -> str:
    """What a command that succeeds prints."""
    code = main(arguments.split())
    output = capsys.readouterr()
    assert (code, output.err) == (0, "")
    return output.out


# ---------------------------------------------------------------- migrate and check


def test_migrate_makes_the_tables_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The first run says what it did, the next one that there is nothing to do."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert shown(capsys, "migrate").startswith("migrated from nothing to ")
    assert shown(capsys, "migrate").startswith("nothing to do")


def test_migrate_leaves_a_newer_schema_alone(shop: Shop, capsys: Captured) -> None:
    """A replica of the former version that starts during an upgrade does not fail."""
    shop.sql("UPDATE alembic_version SET version_num = 'from-the-future'")
    assert "newer" in shown(capsys, "migrate")


@pytest.mark.usefixtures("shop")
def test_check_names_every_part(capsys: Captured) -> None:
    """When all is well there is a line for each part, and it exits 0."""
    lines = shown(capsys, "check").splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", part] for part in ("database", "schema", "redis", "kafka", "topic")
    ]


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        pytest.param("KAFKA_TOPIC_ORDERS", "ordres", "FAIL topic ordres Kafka has no such topic", id="topic"),
        pytest.param(
            "REDIS_URL",
            "redis://127.0.0.1:1",
            "FAIL redis the server cannot be reached: connection refused",
            id="redis",
        ),
        pytest.param(
            "DATABASE_URL",
            "mysql://u:secret@127.0.0.1:1/x",
            "FAIL database the server cannot be reached: connection refused (SQL error 2003)",
            id="database",
        ),
    ],
)
@pytest.mark.usefixtures("shop")
def test_check_says_what_fails(
    setting: str, value: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It exits 1; the other parts are asked all the same."""
    monkeypatch.setenv(setting, value)
    assert main(["check"]) == 1
    text = capsys.readouterr().out
    assert line in [" ".join(each.split()) for each in text.splitlines()]
    assert "ok    kafka" in text
    assert "secret" not in text


def test_check_tells_a_schema_that_is_behind(shop: Shop, capsys: Captured) -> None:
    """Nothing was migrated: the line says what to do."""
    shop.sql("DELETE FROM alembic_version")
    assert main(["check"]) == 1
    assert "run `upsertd migrate`" in capsys.readouterr().out


def test_check_tells_a_wrong_password(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """In words, and without the password."""
    monkeypatch.setenv("DATABASE_URL", f"mysql://upsertd:secret@127.0.0.1:{shop.mariadb.port}/shop")
    assert main(["check"]) == 1
    text = capsys.readouterr().out
    assert "wrong user or password" in text
    assert "secret" not in text


# ---------------------------------------------------------------- positions


def positions(capsys: Captured) -> list[dict[str, Any]]:
    """What `positions --json` lists."""
    listed: list[dict[str, Any]] = json.loads(shown(capsys, "positions --json"))
    return listed


def test_positions_lists_partitions_that_were_never_claimed(shop: Shop, capsys: Captured) -> None:
    """Without a row and without a group offset everything is still to come."""
    first, second = positions(capsys)
    assert first == {
        "topic": shop.topic,
        "partition": 0,
        "group_offset": None,
        "database_offset": None,
        "end_offset": RECORDS,
        "lag": RECORDS,
        "owner": None,
        "halted": None,
    }
    assert (second["partition"], second["end_offset"], second["lag"]) == (1, 0, 0)


def test_positions_shows_where_the_database_stands(shop: Shop, capsys: Captured) -> None:
    """Offset, lag and owner come from the row."""
    shop.insert_position(2)
    first = positions(capsys)[0]
    assert (first["database_offset"], first["lag"], first["owner"]) == (2, RECORDS - 2, "somebody")
    assert first["halted"] is None


def test_positions_says_why_a_partition_is_halted(shop: Shop, capsys: Captured) -> None:
    """A position beyond the log's end cannot be read on from."""
    shop.insert_position(RECORDS + 1)
    assert "beyond the log's end" in positions(capsys)[0]["halted"]
    assert "beyond the log's end" in shown(capsys, "positions")


def test_positions_keeps_what_is_no_longer_consumed(shop: Shop, capsys: Captured) -> None:
    """A row whose topic Kafka does not have is listed, too."""
    shop.insert_position(2, topic="gone")
    gone = next(each for each in positions(capsys) if each["topic"] == "gone")
    assert (gone["database_offset"], gone["end_offset"], gone["lag"]) == (2, None, None)


def test_positions_fails_in_one_line_without_kafka(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """And says that nobody answers there."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert main(["positions"]) == 1
    assert capsys.readouterr().err == "upsertd: kafka: 127.0.0.1:1: connection refused\n"
    assert shop.topic


def test_reset_of_a_stopped_group_writes_row_and_group_offset(shop: Shop, capsys: Captured) -> None:
    """Without a row: it is inserted; Kafka's offset carries our metadata, so it is no operator's reset."""
    told = shown(capsys, f"positions reset --topic {shop.topic} --partition 0 --to-offset 3")
    assert "no position -> 3" in told
    row = shop.position()
    assert (row["next_offset"], row["handled_offset"], row["epoch"], row["owner"]) == (3, 3, 1, None)
    assert shop.group_offset() == (3, "upsertd")
    assert positions(capsys)[0]["lag"] == RECORDS - 3


def test_reset_takes_the_row_from_its_owner(shop: Shop, capsys: Captured) -> None:
    """A fresh claim and namespace, nobody's, in the cluster that is there now: a halted partition goes on."""
    shop.insert_position(RECORDS + 9, cluster_id="another")
    before = shop.position()
    shown(capsys, f"positions reset --topic {shop.topic} --partition 0 --to-earliest")
    after = shop.position()
    assert (after["next_offset"], after["handled_offset"], after["epoch"], after["owner"]) == (0, 0, 8, None)
    assert after["claim_id"] != before["claim_id"]
    assert after["cache_namespace"] != before["cache_namespace"]
    assert positions(capsys)[0]["halted"] is None


def test_reset_beside_a_running_group_leaves_its_offset_to_the_owner(shop: Shop, capsys: Captured) -> None:
    """Kafka would not take a commit from outside; the row is what the owner looks at."""

    async def reset_beside_a_member() -> str:
        member = AIOKafkaConsumer(
            shop.topic,
            bootstrap_servers=shop.kafka.bootstrap,
            group_id=shop.group_id,
            enable_auto_commit=False,
        )
        await member.start()
        try:
            arguments = f"positions reset --topic {shop.topic} --partition 0 --to-latest"
            return await asyncio.to_thread(shown, capsys, arguments)
        finally:
            await member.stop()

    assert "the group has members" in asyncio.run(reset_beside_a_member())
    assert shop.position()["next_offset"] == RECORDS
    assert shop.group_offset() is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(f"--partition 0 --to-offset {RECORDS + 1}", "--to-offset", id="beyond-the-log"),
        pytest.param("--partition 2 --to-earliest", "--partition", id="unknown-partition"),
    ],
)
def test_reset_to_what_does_not_exist_is_wrong_usage(
    arguments: str, named: str, shop: Shop, capsys: Captured
) -> None:
    """It exits 2, names the option and writes nothing."""
    assert main(["positions", "reset", "--topic", shop.topic, *arguments.split()]) == 2
    assert named in capsys.readouterr().err
    assert shop.sql("SELECT COUNT(*) FROM consumer_positions") == [(0,)]


# ---------------------------------------------------------------- dead letters


def insert_letter(shop: Shop, offset: int, **columns: object) -> int:
    """Insert a dead letter and return its id."""
    row = {
        "event_id": b"e-%d" % offset,
        "entity": "customers",
        "entity_id": offset,
        "topic": "customers",
        "partition_id": 0,
        "record_offset": offset,
        "record_timestamp": 0,
        "record_key": b"1",
        "record_value": HOSTILE,
        "record_headers": "[]",
        "size": len(HOSTILE),
        "digest": "0" * 64,
        "stage": "decode",
        "error_class": "InvalidJson",
        "error_message": "not JSON",
        "attempts": 1,
        "status": "dead",
        "first_failed_at": "2026-11-21 10:00:00",
        "last_failed_at": "2026-11-21 10:00:00",
    }
    shop.insert("dead_letters", row | columns)
    ((letter_id,),) = shop.sql("SELECT MAX(id) FROM dead_letters")
    assert isinstance(letter_id, int)
    return letter_id


@pytest.mark.parametrize(
    "filters",
    [
        pytest.param("--entity orders", id="entity"),
        pytest.param("--topic orders", id="topic"),
        pytest.param("--error-class EventIdReused", id="error-class"),
        pytest.param("--status discarded", id="status"),
        pytest.param("--since 2026-11-21T13:00:00+01:00", id="since"),
        pytest.param("--limit 1", id="limit"),
    ],
)
def test_list_finds_what_fits_the_filters(filters: str, shop: Shop, capsys: Captured) -> None:
    """One of two letters differs in everything; it is also the newest."""
    insert_letter(shop, 1)
    other = insert_letter(
        shop,
        2,
        entity="orders",
        topic="orders",
        error_class="EventIdReused",
        status="discarded",
        last_failed_at="2026-11-21 12:00:00",
    )
    found = json.loads(shown(capsys, f"dead-letters list --json {filters}"))
    assert [letter["id"] for letter in found] == [other]
    assert found[0]["event_id"] == "e-2"


def test_until_leaves_out_its_own_moment(shop: Shop, capsys: Captured) -> None:
    """Ranges that follow each other share no letter."""
    insert_letter(shop, 1, last_failed_at="2026-11-21 12:00:00")
    assert json.loads(shown(capsys, "dead-letters list --json --until 2026-11-21T12:00:00Z")) == []
    assert len(json.loads(shown(capsys, "dead-letters list --json --since 2026-11-21T12:00:00Z"))) == 1


@pytest.mark.parametrize(("limit", "count"), [("", 5), ("--limit 4", 4), ("--limit 3", 3), ("--limit 9", 5)])
def test_list_reads_page_after_page(
    limit: str, count: int, shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """No letter is missing and none stands twice, the newest first."""
    monkeypatch.setattr(dead_letters, "PAGE_LETTERS", 2)
    ids = [insert_letter(shop, offset) for offset in range(5)]
    lines = shown(capsys, f"dead-letters list {limit}").splitlines()
    assert [int(line.split()[0]) for line in lines] == ids[::-1][:count]


def test_show_prints_a_hostile_record_safely(shop: Shop, capsys: Captured) -> None:
    """Nothing of it reaches the terminal as a control character."""
    headers = json.dumps([["h", base64.b64encode(b"\xff").decode()], ["h\x1b[2J", None]])
    letter_id = insert_letter(shop, 1, record_headers=headers)
    lines = shown(capsys, f"dead-letters show {letter_id}").split("\n")
    assert all(line.isprintable() for line in lines)
    assert r'  {"name": "\x1b]0;owned\x07\u202e"}\r' in lines
    assert "  h: base64, 1 byte" in lines


def test_show_gives_the_bytes_back_exactly(shop: Shop, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """`--raw` is the value and nothing else; `--json` has it as base64."""
    letter_id = str(insert_letter(shop, 1))
    assert main(["dead-letters", "show", letter_id, "--raw"]) == 0
    assert capsysbinary.readouterr().out == HOSTILE
    assert main(["dead-letters", "show", letter_id, "--json"]) == 0
    value = json.loads(capsysbinary.readouterr().out)["record_value"]
    assert base64.b64decode(value["base64"]) == value["text"].encode() == HOSTILE


def test_an_unknown_letter_exits_1(shop: Shop, capsys: Captured) -> None:
    """With one line."""
    assert main(["dead-letters", "show", "4711"]) == 1
    assert capsys.readouterr().err == "upsertd: there is no dead letter 4711\n"
    assert shop.sql("SELECT COUNT(*) FROM dead_letters") == [(0,)]


def test_a_closed_pipe_ends_the_list_quietly(shop: Shop) -> None:
    """`upsertd dead-letters list | head -1`: no traceback, no complaint, exit 0."""
    shop.sql(  # more than a pipe holds
        "INSERT INTO dead_letters (entity, topic, partition_id, record_offset, record_timestamp,"
        " record_headers, size, digest, stage, error_class, error_message, attempts, status,"
        " first_failed_at, last_failed_at) SELECT 'customers', 'customers', 0, seq, 0, '[]', 0, '', 'decode',"
        " 'InvalidJson', '', 1, 'dead', NOW(), NOW() FROM seq_1_to_4000"
    )
    command = [sys.executable, "-m", "service", "dead-letters", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"customers" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0

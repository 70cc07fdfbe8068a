"""The real servers do what the fault tests ask of them: restart, hang, die, come back with their data."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from tests.conftest import NewTopic
from tests.servers import Kafka, MariaDb, Redis, ServerFailed, database_of
from tests.servers.kafka import plain_logins
from tests.servers.ports import free_port
from tests.servers.processes import STOP_SECONDS

VARIABLES = [Kafka.address_variable, MariaDb.address_variable, Redis.address_variable]
NASTY = bytes(range(256)) + b"\\0'\r\n" + b"\xf0\x9f\x98\x80"


@pytest.fixture
def _no_given_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests kill servers, which must be their own."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("_no_given_servers")
def test_a_preferred_port_is_taken_only_while_it_is_free() -> None:
    """`make servers` uses its well-known ports unless somebody else does."""
    port = free_port()
    assert free_port(port) == port
    with Redis(port=port):
        assert free_port(port) != port


@pytest.mark.usefixtures("_no_given_servers")
def test_a_server_that_ends_while_starting_shows_its_log() -> None:
    """The error of a server that does not come up says why."""
    with pytest.raises(ServerFailed, match="no-such-option"), Redis(options=("--no-such-option", "1")):
        pass


@pytest.mark.usefixtures("_no_given_servers")
def test_a_server_keeps_its_port_over_a_restart_and_a_kill() -> None:
    """Clients find a restarted server where it was."""
    with Redis() as server:
        url = server.url
        server.restart()
        server.kill()
        assert not server.running
        assert not server.answers()
        server.start()
        assert server.answers()
        assert server.url == url


@pytest.mark.usefixtures("_no_given_servers")
def test_a_suspended_server_is_silent_until_it_is_resumed() -> None:
    """A hanging server keeps its process and answers nobody."""
    with Redis() as server:
        server.suspend()
        assert server.running
        assert not server.answers()
        server.resume()
        assert server.answers()


@pytest.mark.usefixtures("_no_given_servers")
def test_stopping_reaches_a_suspended_server() -> None:
    """A hanging server takes its SIGTERM only when it is resumed, which stopping does."""
    with Redis() as server:
        server.suspend()
        began = time.monotonic()
        server.stop()
        assert not server.running
        assert time.monotonic() - began < STOP_SECONDS / 2


@pytest.mark.usefixtures("_no_given_servers")
def test_a_closed_server_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process and data are gone after `close`."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Redis() as server:
        pid = server.pid
        assert list(tmp_path.iterdir())
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def database(mariadb: MariaDb, database_url: str) -> str:
    """A database with one row of every kind of value that is easily damaged."""
    name = database_of(database_url)
    mariadb.execute(
        "CREATE TABLE kept (id VARBINARY(255) PRIMARY KEY, bytes LONGBLOB, text JSON,"
        " at DATETIME(6), money DECIMAL(18,4), nothing INT)",
        name,
    )
    row = (
        NASTY[:255],
        NASTY,
        '{"a": 1.50,  "ü": "😀"}',
        "2026-01-02 03:04:05.123456",
        "12345678901234.5678",
        None,
    )
    mariadb.execute("INSERT INTO kept VALUES (%s, %s, %s, %s, %s, %s)", name, row)
    return name


def test_a_restored_database_is_what_it_was(mariadb: MariaDb, database: str) -> None:
    """Every value comes back exactly, and what was made after the backup is gone."""
    rows = mariadb.execute("SELECT * FROM kept", database)
    assert rows[0][1] == NASTY
    backup = mariadb.dump(database)
    mariadb.execute("UPDATE kept SET bytes = NULL", database)
    mariadb.execute("CREATE TABLE later (id INT)", database)
    mariadb.restore(database, backup)
    assert mariadb.execute("SELECT * FROM kept", database) == rows
    assert mariadb.execute("SHOW TABLES", database) == [("kept",)]


def test_a_restore_fits_another_database(mariadb: MariaDb, database: str) -> None:
    """A backup can be cloned beside its original."""
    clone = database_of(mariadb.create_database())
    mariadb.restore(clone, mariadb.dump(database))
    rows = mariadb.execute("SELECT * FROM kept", clone)
    mariadb.drop_database(clone)
    assert rows == mariadb.execute("SELECT * FROM kept", database)


@pytest.mark.usefixtures("_no_given_servers")
def test_a_killed_database_keeps_what_was_committed() -> None:
    """A commit outlives the server, though it is not synced to the disk."""
    with MariaDb() as server:
        name = database_of(server.create_database("mine"))
        server.execute("CREATE TABLE kept (id INT)", name)
        server.execute("INSERT INTO kept VALUES (7)", name)
        server.kill()
        server.start()
        assert server.execute("SELECT id FROM kept", name) == [(7,)]


async def test_topics_can_be_made_and_deleted_inside_a_running_loop(
    new_topic: NewTopic, kafka: Kafka
) -> None:
    """Fixtures and tests are often asynchronous, the servers are not."""
    kafka.create_topic("within-a-loop", 2)
    kafka.delete_topic("within-a-loop")
    kafka.create_topic("within-a-loop")
    kafka.delete_topic("within-a-loop")
    name = new_topic(2, cleanup_policy="compact")
    with pytest.raises(KafkaError, match=name):
        kafka.create_topic(name)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_committed_records_are_read_and_aborted_ones_are_not(
    kafka: Kafka, topic: str, compression: str
) -> None:
    """Transactions and every compression work on the broker."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=f"to-{topic}", compression_type=compression
    )
    async with producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"committed" * 100)
    assert await read_one(kafka.bootstrap, topic) == b"committed" * 100


@pytest.mark.usefixtures("_no_given_servers")
async def test_a_killed_broker_comes_back_with_its_records_behind_a_login() -> None:
    """Records outlive the broker; a further listener asks for a name and a password."""
    properties = plain_logins("SASL_PLAINTEXT", {"alice": "wonder"})
    with Kafka(protocols=["SASL_PLAINTEXT"], properties=properties) as server:
        server.create_topic("kept")
        async with AIOKafkaProducer(
            bootstrap_servers=server.address("SASL_PLAINTEXT"),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username="alice",
            sasl_plain_password="wonder",
        ) as producer:
            await producer.send_and_wait("kept", b"record")
        server.kill()
        server.start()
        assert await read_one(server.bootstrap, "kept") == b"record"


async def read_one(bootstrap: str, topic: str) -> bytes | None:
    """The first record of the first partition that readers of committed records see."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        record = await asyncio.wait_for(consumer.getone(), 30)
    value: bytes | None = record.value
    return value

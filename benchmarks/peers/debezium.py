"""Debezium's JDBC sink on Kafka Connect: its settings, its tables, its process. Called by `peers.runs`.

Connect runs standalone, one connector for each topic, each with a table beside upsertd's that has the same
columns.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from benchmarks.load import Message
from benchmarks.peers.connect_jars import ConnectJars
from benchmarks.peers.rows import PAYLOAD
from benchmarks.probe import Probe
from benchmarks.process import ConsumerProcess
from benchmarks.stage import Stage
from tests.servers.folders import guarded_folder
from tests.servers.ports import free_port

DEBEZIUM = "debezium"
_ASK_SECONDS = 5.0
_TRACE_CHARACTERS = 2_000

# The second compiler stays on, unlike the broker's: here it earns what it costs.
JAVA_OPTIONS = ("-Xms1g", "-Xmx1g", "-XX:+UseSerialGC")

# Those of the worker that are not addresses.
WORKER = {
    "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    "plugin.discovery": "service_load",
    # A poll fills a batch of the sink's; 500 is the default of both.
    "consumer.max.poll.records": "1000",
    "consumer.max.partition.fetch.bytes": "8388608",
    "consumer.fetch.max.bytes": "52428800",
}
# Those of each connector that are the same for all. A reduction buffer has nothing to reduce where no batch
# has two events of one record. `--debezium NAME=VALUE` tries other values.
CONNECTOR = {
    "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
    "tasks.max": "1",
    "value.converter": "upsertd.peers.RowConverter",
    "insert.mode": "upsert",
    # A key of the record would have to be a struct; ours are plain text.
    "primary.key.mode": "record_value",
    "primary.key.fields": "id",
    "schema.evolution": "none",
    "batch.size": "1000",
    "use.reduction.buffer": "false",
    "connection.pool.min_size": "1",
}
# Both, and not rewriteBatchedStatements: then the driver sends a batch in one packet (COM_STMT_BULK_EXECUTE).
DRIVER = {"useBulkStmts": "true", "useServerPrepStmts": "true"}

# What the sink does not write, because no event says it: it may be left out of an INSERT.
_UNSAID = (
    "MODIFY source_partition INT NOT NULL DEFAULT 0",
    "MODIFY source_offset BIGINT NOT NULL DEFAULT 0",
    "MODIFY synced_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)",
)


def table(entity: str) -> str:
    """The table that the sink writes."""
    return f"{entity}_by_debezium"


class Debezium:
    """Kafka Connect with a connector for each of the stage's topics; its tables are made right away."""

    def __init__(
        self, stage: Stage, probe: Probe, jars: ConnectJars, settings: Mapping[str, str] | None = None
    ) -> None:
        self._probe = probe
        self._names = [f"{topic}-sink" for topic in stage.topics.values()]
        self._port = free_port()
        self._asked = time.monotonic()
        for entity in stage.topics:
            _make_table(probe, entity)
        files = _write_settings(stage, self._port, settings or {})
        options = [*JAVA_OPTIONS, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        command = jars.command(*options, main, *map(str, files))
        self.process = ConsumerProcess(DEBEZIUM, command, jars.java.environment)

    def has(self, messages: Iterable[Message]) -> bool:
        """Whether the rows of all these messages are there."""
        by_entity: dict[str, list[int]] = {}
        for message in messages:
            by_entity.setdefault(message.entity, []).append(int(message.key))
        return all(self._has_rows(entity, ids) for entity, ids in by_entity.items())

    def check(self) -> None:
        """Raise `ConsumerFailed` when the process has ended or, asked now and then, a task has given up."""
        self.process.check()
        if time.monotonic() < self._asked + _ASK_SECONDS:
            return
        self._asked = time.monotonic()
        for name in self._names:
            if trace := self._trace(name):
                raise self.process.failed(f"has given up {name}: {trace}")

    def _trace(self, name: str) -> str | None:
        try:
            url = f"http://127.0.0.1:{self._port}/connectors/{name}/status"
            return trace_of(httpx.get(url, timeout=5, trust_env=False))
        except httpx.TransportError:
            return None  # not up yet

    def _has_rows(self, entity: str, ids: Sequence[int]) -> bool:
        places = ",".join(["%s"] * len(ids))
        sql = f"SELECT COUNT(*) FROM {table(entity)} WHERE id IN ({places})"
        [(found,)] = self._probe.select(sql, ids)
        return found == len(ids)


def worker_settings(bootstrap: str, port: int, offsets: Path, changed: Mapping[str, str]) -> dict[str, str]:
    """The settings of the worker, whose REST interface has `port`; `changed` replaces its own."""
    return {
        "bootstrap.servers": bootstrap,
        "listeners": f"http://127.0.0.1:{port}",
        "offset.storage.file.filename": str(offsets),
        **WORKER,
        **{name: value for name, value in changed.items() if _is_of_worker(name)},
    }


def connector_settings(
    entity: str, topic: str, database_url: str, changed: Mapping[str, str]
) -> dict[str, str]:
    """The settings of the connector of one topic; `changed` replaces what is not the worker's, or adds."""
    address = urlsplit(database_url)
    options = "&".join(f"{name}={value}" for name, value in DRIVER.items())
    return {
        "name": f"{topic}-sink",
        "topics": topic,
        "collection.name.format": table(entity),
        "value.converter.columns": converter_columns(entity),
        "connection.url": f"jdbc:mariadb://{address.hostname}:{address.port}{address.path}?{options}",
        "connection.username": unquote(address.username or ""),
        "connection.password": unquote(address.password or ""),
        **CONNECTOR,
        **{name: value for name, value in changed.items() if not _is_of_worker(name)},
    }


def trace_of(status: httpx.Response) -> str | None:
    """Why a task of a connector has given up; None when none has, or when Connect is still coming up."""
    if status.is_error:
        return None
    tasks = status.json()["tasks"]
    return next((task["trace"][:_TRACE_CHARACTERS] for task in tasks if task["state"] == "FAILED"), None)


def told_settings(changed: Mapping[str, str]) -> dict[str, str]:
    """What differs from the defaults of Java, Connect, the sink and the driver, without addresses."""
    driver = {f"connection.url: {name}": value for name, value in DRIVER.items()}
    return {"java": " ".join(JAVA_OPTIONS), **WORKER, **CONNECTOR, **changed, **driver}


def converter_columns(entity: str) -> str:
    """What the converter is told of an entity's payload."""
    return ",".join(f"{name}:{kind}" for name, kind in PAYLOAD[entity].items())


def _is_of_worker(name: str) -> bool:
    return name in WORKER and name not in CONNECTOR


def _write_settings(stage: Stage, port: int, changed: Mapping[str, str]) -> list[Path]:
    """The files of all settings, the worker's first, as Connect wants it."""
    folder = guarded_folder("connect-settings")
    worker = worker_settings(stage.servers.kafka.bootstrap, port, folder / "offsets", changed)
    url = stage.servers.mariadb.url(stage.database)
    connectors = {
        entity: connector_settings(entity, topic, url, changed) for entity, topic in stage.topics.items()
    }
    return [
        _write(folder / f"{name}.properties", told) for name, told in {"worker": worker, **connectors}.items()
    ]


def _make_table(probe: Probe, entity: str) -> None:
    probe.select(f"CREATE TABLE {table(entity)} LIKE {entity}")
    probe.select(f"ALTER TABLE {table(entity)} {', '.join(_UNSAID)}")


def _write(file: Path, settings: Mapping[str, str]) -> Path:
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
    return file

"""The tables beside the entities: what was handled, where each partition stands, what was given up.

The sink writes them inside the transaction of a batch; the stores read them for operators. Everything
that is compared (ids, topics, groups) is compared byte for byte: a case-insensitive or padding
collation would make one event out of two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from service.core.types import Action, LetterStatus, Partition, StoredPosition

metadata = MetaData()

OPEN_STATUSES = (LetterStatus.RETRYING.value, LetterStatus.DEAD.value)

_BINARY: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def _time() -> TypeEngine[Any]:
    """UTC with microseconds."""
    return DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def _event_id() -> TypeEngine[Any]:
    return LargeBinary(255).with_variant(mysql.VARBINARY(255), "mysql", "mariadb")


def _bytes() -> TypeEngine[Any]:
    return LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _id() -> TypeEngine[Any]:
    # SQLite counts up only a column that is INTEGER to the letter.
    return BigInteger().with_variant(Integer(), "sqlite")


processed_events = Table(
    "processed_events",
    metadata,
    Column("event_id", _event_id(), primary_key=True),
    Column("entity", String(64), nullable=False),
    Column("entity_id", BigInteger, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("topic", String(249), nullable=False),
    Column("partition_id", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("occurred_at", _time(), nullable=False),
    Column("processed_at", _time(), nullable=False),
    Index("ix_processed_events_processed_at", "processed_at"),
    **_BINARY,
)

consumer_positions = Table(
    "consumer_positions",
    metadata,
    Column("group_id", String(255), primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition_id", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("handled_offset", BigInteger, nullable=False),
    Column("claim_id", String(32), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", String(255)),
    Column("cache_namespace", String(32), nullable=False),
    Column("cluster_id", String(64)),
    Column("updated_at", _time(), nullable=False),
    # Where `cache_namespace` begins: what a jump passed over lies below it and was never handled.
    Column("handled_from", BigInteger, nullable=False, server_default="0"),
    **_BINARY,
)

_POSITION_FIELDS = StoredPosition.__struct_fields__
position_columns = tuple(consumer_positions.c[name] for name in _POSITION_FIELDS)


def is_position_of(group_id: str, partition: Partition) -> ColumnElement[bool]:
    """The condition that finds a partition's row."""
    columns = consumer_positions.c
    return and_(
        columns.group_id == group_id,
        columns.topic == partition.topic,
        columns.partition_id == partition.number,
    )


def position_of(row: Row[Any]) -> StoredPosition:
    """A row that has `position_columns`, among others."""
    return StoredPosition(**{name: row._mapping[name] for name in _POSITION_FIELDS})


def position_values(position: StoredPosition) -> dict[str, object]:
    """What to write into a partition's row, by column."""
    return {name: getattr(position, name) for name in _POSITION_FIELDS}


def position_key(group_id: str, partition: Partition) -> dict[str, object]:
    """The primary key of a partition's row, by column."""
    return {"group_id": group_id, "topic": partition.topic, "partition_id": partition.number}


dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", _id(), primary_key=True, autoincrement=True),
    Column("event_id", _event_id()),
    Column("entity", String(64)),
    Column("entity_id", BigInteger),
    Column("topic", String(249), nullable=False),
    Column("partition_id", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    # Kafka's own milliseconds: a hostile producer's may lie beyond every DATETIME.
    Column("record_timestamp", BigInteger, nullable=False),
    Column("record_key", _bytes()),
    Column("record_value", _bytes()),
    Column("record_headers", Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("error_class", String(128), nullable=False),
    Column("error_message", String(1024), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("next_attempt_at", _time()),
    Column("first_failed_at", _time(), nullable=False),
    Column("last_failed_at", _time(), nullable=False),
    # Ids that are derived from a record name its cluster: a retry has to derive the same.
    Column("cluster_id", String(64)),
    # What an operator sent in the place of the value, which stays.
    Column("corrected_value", _bytes()),
    UniqueConstraint("topic", "partition_id", "record_offset", "digest", name="uq_dead_letters_record"),
    Index("ix_dead_letters_status", "status", "next_attempt_at"),
    # An operator's note names a letter by its id: it is never given to another one.
    sqlite_autoincrement=True,
    **_BINARY,
)

dead_letter_actions = Table(
    "dead_letter_actions",
    metadata,
    Column("id", _id(), primary_key=True, autoincrement=True),
    Column("letter_id", BigInteger, nullable=False),
    Column("action", String(16), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("reason", String(1024)),
    # What the letter's status was afterwards.
    Column("status", String(16), nullable=False),
    Column("acted_at", _time(), nullable=False),
    Index("ix_dead_letter_actions_letter_id", "letter_id"),
    **_BINARY,
)


def action_row(letter_id: int, action: Action, status: LetterStatus, now: datetime) -> dict[str, object]:
    """The row of what an operator did; `status` is the letter's afterwards."""
    return {
        "letter_id": letter_id,
        "action": action.kind,
        "actor": action.actor[:255],
        "reason": None if action.reason is None else action.reason[:1024],
        "status": status.value,
        "acted_at": now,
    }

"""`LOAD DATA LOCAL INFILE … REPLACE`: the same rows and marks as fast as the server takes them.

Called by `peers.runs`; this is the limit that the others are measured against. The files are written
beforehand: nobody reads Kafka, decodes, compares versions or asks whether a mark is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql

from benchmarks.peers import rows
from benchmarks.peers.rows import Placed

LOAD_DATA = "load-data"
# Enough that a commit's share does not show.
EVENTS_PER_TRANSACTION = 10_000
_NOW = "2026-11-21 10:15:31.000000"
_PLACE_COLUMNS = ("source_partition", "source_offset", "synced_at", "deleted_at")
_MARKS = "processed_events"
_MARK_COLUMNS = (
    "event_id", "entity", "entity_id", "operation", "outcome",
    "topic", "partition_id", "record_offset", "occurred_at", "processed_at",
)  # fmt: skip
_NULL = None
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction loads: a file for each table."""

    files: Mapping[str, Path]


def write_batches(folder: Path, topics: Mapping[str, str], messages: Iterable[Placed]) -> list[Batch]:
    """Write the files of all messages; `topics` maps entities to what the marks call the topic."""
    batches: list[Batch] = []
    rest = iter(messages)
    while batch := list(islice(rest, EVENTS_PER_TRANSACTION)):
        lines = _lines_by_table(batch, topics)
        files = {table: folder / f"{len(batches)}-{table}.tsv" for table in lines}
        for table, file in files.items():
            file.write_text("".join(lines[table]), encoding="utf-8", newline="")
        batches.append(Batch(files))
    return batches


def load(url: str, batches: Sequence[Batch]) -> None:
    """Load all batches over one connection, each in a transaction, durably."""
    with closing(_connect(url)) as connection, connection.cursor() as cursor:
        for batch in batches:
            for table, file in batch.files.items():
                cursor.execute(_statement(table, file))
            connection.commit()


def _statement(table: str, file: Path) -> str:
    names = ", ".join(_columns(table))
    return f"LOAD DATA LOCAL INFILE '{file}' REPLACE INTO TABLE {table} CHARACTER SET utf8mb4 ({names})"


def _columns(table: str) -> Sequence[str]:
    if table == _MARKS:
        return _MARK_COLUMNS
    if table == "order_items":
        return rows.LINE_COLUMNS
    return (*rows.columns(table), *_PLACE_COLUMNS)


def _lines_by_table(batch: Sequence[Placed], topics: Mapping[str, str]) -> Mapping[str, list[str]]:
    lines: dict[str, list[str]] = defaultdict(list)
    for message, offset in batch:
        event = rows.rows_of(message)
        place = (str(message.partition), str(offset))
        topic = topics[message.entity]
        mark = (
            message.event_id, message.entity, event.entity_id, event.operation, "applied",
            topic, *place, event.occurred_at, _NOW,
        )  # fmt: skip
        lines[message.entity].append(_line((*event.row, *place, _NOW, _NULL)))
        lines["order_items"] += map(_line, event.lines)
        lines[_MARKS].append(_line(mark))
    return {table: each for table, each in lines.items() if each}


def _line(values: Sequence[str | None]) -> str:
    cells: Iterator[str] = ("\\N" if value is None else value.translate(_ESCAPES) for value in values)
    return "\t".join(cells) + "\n"


def _connect(url: str) -> pymysql.Connection:
    address = urlsplit(url)
    return pymysql.connect(
        host=address.hostname or "",
        port=address.port or 3306,
        user=unquote(address.username or ""),
        password=unquote(address.password or ""),
        database=address.path.strip("/"),
        charset="utf8mb4",
        local_infile=True,
    )

"""Whether a run did its work: a fast consumer that loses events is no result. Called after every run."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import xor

import msgspec

from benchmarks.contenders import Counted
from benchmarks.load import Load, Message
from benchmarks.probe import Probe
from benchmarks.tables import LINES_PER_ORDER


class _Versioned(msgspec.Struct):
    """Of a message, what its row must be checked for."""

    version: int


_decoder = msgspec.json.Decoder(_Versioned)


class WrongResult(Exception):
    """The database does not hold what it must; the run does not count."""


def verify(probe: Probe, load: Load, counted: Counted | None) -> None:
    """Raise `WrongResult` unless every original has its row and its mark, and nothing else is there.

    `counted`: what the consumer says at its end, None where it counts nothing.
    """
    originals = list(load.originals)
    found = [*_wrong_tables(probe, originals), *_wrong_counts(load, len(originals), counted)]
    if found:
        raise WrongResult("; ".join(found))


def _wrong_tables(probe: Probe, originals: Sequence[Message]) -> Iterator[str]:
    marks = [zlib.crc32(message.event_id.encode()) for message in originals]
    yield from differences(probe, "processed_events", "CRC32(event_id)", marks)
    for entity in sorted({message.entity for message in originals}):
        versions = _newest(message for message in originals if message.entity == entity)
        ids = list(versions)
        yield from differences(probe, entity, "id", ids)
        yield from differences(probe, entity, "version", list(versions.values()))
        if entity == "orders":
            yield from differences(probe, "order_items", "order_id", ids * LINES_PER_ORDER)


def _newest(messages: Iterable[Message]) -> dict[int, int]:
    """The highest version of each record."""
    versions: dict[int, int] = {}
    for message in messages:
        record = int(message.key)
        versions[record] = max(versions.get(record, 0), _decoder.decode(message.value).version)
    return versions


def differences(probe: Probe, table: str, column: str, expected: Sequence[int]) -> Iterator[str]:
    """A line when the column does not hold exactly these numbers, one in each row."""
    sql = f"SELECT COUNT(*), COALESCE(SUM({column}), 0), COALESCE(BIT_XOR({column}), 0) FROM {table}"
    [row] = probe.select(sql)
    wanted = (len(expected), sum(expected), reduce(xor, expected, 0))
    if tuple(int(str(value)) for value in row) != wanted:
        yield f"{table} has {row[0]} rows, not exactly the {len(expected)} that belong there (by {column})"


def _wrong_counts(load: Load, originals: int, counted: Counted | None) -> Iterator[str]:
    if counted is not None:
        said = (counted.applied, counted.duplicates, counted.dead)
        wanted = (originals, load.copies, 0)
        if said != wanted:
            yield f"counted (applied, duplicate, dead) {said}, not {wanted}"

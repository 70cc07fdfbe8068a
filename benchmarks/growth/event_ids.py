"""The kinds of event ids that are compared: made one by one for the load, and by SQL for bulk filling.

Called by `marks` and `layouts`. SQL makes the ids of row 1 to `rows` in the order of the key, random ones
too, so that filling a table is sequential; those of the load come after them where the ids have an order.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import load

# The first moment of the load's UUIDv7s.
_BEGIN_MS = int(uuid.UUID(load.event_id(random.Random(0), 0)).int >> 80)
# As many digits for what was there before as for what comes.
_FIRST_COUNT = 5 * 10**12
_FACTORS = (99_999_999_977, 88_888_888_933, 77_777_777_783, 66_666_666_671)


@dataclass(frozen=True, slots=True)
class IdKind:
    """`make` draws the id of event `number` of a load; `column` is SQL over `seq` for a number of rows."""

    name: str
    about: str
    ordered: bool
    make: Callable[[random.Random, int], str]
    column: Callable[[int], str]


def _uuid4(draw: random.Random, _number: int) -> str:
    return str(uuid.UUID(int=draw.getrandbits(128), version=4))


def _derived(draw: random.Random, _number: int) -> str:
    return f"kafka_{draw.getrandbits(256):064x}"


def _counter(_draw: random.Random, number: int) -> str:
    return f"shop-{_FIRST_COUNT + number}"


def _uuid_column(head: str, version: int) -> str:
    """A UUID whose first 48 bits are the SQL number `head`; the others are a hash of `seq`."""
    digits = f"CONCAT(LPAD(HEX({head}), 12, '0'), '{version}', {_hashed(3)}, '8', {_hashed(15, 1)})"
    # From the right to the left: what is inserted moves no place that is still to come.
    for place in (21, 17, 13, 9):
        digits = f"INSERT({digits}, {place}, 0, '-')"
    return f"LOWER({digits})"


def _uuid4_column(rows: int) -> str:
    return _uuid_column(_spread(rows), 4)


def _uuid7_column(rows: int) -> str:
    return _uuid_column(f"{_BEGIN_MS - rows - 1} + seq", 7)


def _derived_column(rows: int) -> str:
    tail = ", ".join(_hashed(13, salt) for salt in range(4))
    return f"LOWER(CONCAT('kafka_', LPAD(HEX({_spread(rows)}), 12, '0'), {tail}))"


def hashed_column(rows: int) -> str:
    """A key of 16 bytes, in its order, in the place of any event id."""
    return _bytes_column(_spread(rows))


def hashed_by_day_column(rows: int) -> str:
    """The same for a number of days with `rows` rows each, one day after the other."""
    return _bytes_column(_spread(rows, f"((seq - 1) % {rows} + 1)"))


def _bytes_column(head: str) -> str:
    return f"UNHEX(CONCAT(LPAD(HEX({head}), 12, '0'), {_hashed(13)}, {_hashed(7, 1)}))"


def _counter_column(rows: int) -> str:
    return f"CONCAT('shop-', {_FIRST_COUNT - rows - 1} + seq)"


def _spread(rows: int, number: str = "seq") -> str:
    """Ascending numbers of 48 bits, one anywhere in each of `rows` equal strips."""
    strip = 2**48 // rows
    return f"({number} - 1) * {strip} + (seq * 2654435761) % {strip}"


def _hashed(digits: int, salt: int = 0) -> str:
    """So many hexadecimal digits that differ from row to row."""
    # Below 2**63 for ninety million rows.
    factor = _FACTORS[salt]
    return f"LPAD(HEX(seq * {factor} % {16**digits - 1}), {digits}, '0')"


KINDS = {
    kind.name: kind
    for kind in (
        IdKind("uuid7", "UUIDv7: in the order of time", True, load.event_id, _uuid7_column),
        IdKind("counter", "a counter: in the order of time", True, _counter, _counter_column),
        IdKind("uuid4", "UUIDv4: random", False, _uuid4, _uuid4_column),
        IdKind("derived", "derived by SHA-256: random, 70 bytes", False, _derived, _derived_column),
    )
}

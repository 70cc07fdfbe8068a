"""Rows as MariaDB's COM_STMT_BULK_EXECUTE takes them: in binary, nothing escaped and nothing parsed.

`mysql_run` uses it where the server offers it (`mysql_connection`). A value is a byte that says whether it
is NULL, then its bytes: eight of a whole number, otherwise a length and what follows. Work goes column by
column, because a call for each value would cost more than all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain, repeat
from struct import Struct
from typing import Any

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Numeric

Values = Sequence[Any]
Chunks = Iterable[bytes]
Packer = Callable[[Values], tuple[Chunks, ...]]
"""Writes the values of a column; the chunks of a value follow each other."""

_NULL = b"\1"
_WHOLE = Struct("<Bq").pack
# How a value of fewer than 251 bytes begins.
_SHORT = [bytes((0, length)) for length in range(251)]
_LONGER = ((1 << 16, b"\0\xfc", 2), (1 << 24, b"\0\xfd", 3), (1 << 64, b"\0\xfe", 8))

# Not NULL, a length; year, month, day; hours, minutes, seconds; microseconds: no text to be read.
_MOMENT = Struct("<BBHBBBBBI").pack
_MOMENT_BYTES = 11

_LONGLONG, _DATETIME, _BLOB, _STRING = b"\x08\0", b"\x0c\0", b"\xfc\0", b"\xfd\0"


def type_of(column: Column[Any]) -> bytes:
    """What the server is told of the values of `column`."""
    if isinstance(column.type, Integer):
        return _LONGLONG
    if isinstance(column.type, DateTime):
        return _DATETIME
    return _BLOB if isinstance(column.type, LargeBinary) else _STRING


def packer_of(column: Column[Any]) -> Packer:
    """What writes the values of `column`."""
    kind = column.type
    if isinstance(kind, Integer):
        return _whole_numbers
    if isinstance(kind, LargeBinary):
        return _octets
    if isinstance(kind, DateTime):
        return _moments
    return _amounts if isinstance(kind, Numeric) else _texts


def pack(packers: Sequence[Packer], rows: Sequence[Values]) -> bytes:
    """All rows, one after the other; `packers` are those of their columns."""
    columns = zip(packers, zip(*rows, strict=True), strict=True)
    chunks = chain.from_iterable(_packed(pack, values) for pack, values in columns)
    return b"".join(chain.from_iterable(zip(*chunks, strict=True)))


def _packed(pack: Packer, values: Values) -> tuple[Chunks, ...]:
    first = values[0]
    if values[-1] == first and values.count(first) == len(values):
        return (repeat(b"".join(map(next, map(iter, pack((first,))))), len(values)),)
    return pack(values)


def _whole_numbers(values: Values) -> tuple[Chunks, ...]:
    if None in values:
        return ([_NULL if value is None else _WHOLE(0, value) for value in values],)
    return (map(_WHOLE, repeat(0), values),)


def _texts(values: Values) -> tuple[Chunks, ...]:
    return _sized(list(map(str.encode, values))) if None not in values else _some(str.encode, values)


def _octets(values: Values) -> tuple[Chunks, ...]:
    return _sized(values) if None not in values else _some(bytes, values)


def _moments(values: Values) -> tuple[Chunks, ...]:
    if None in values:
        return ([_NULL if value is None else _moment(value) for value in values],)
    return (map(_moment, values),)


def _amounts(values: Values) -> tuple[Chunks, ...]:
    return _sized(list(map(str.encode, map(str, values)))) if None not in values else _some(_amount, values)


def _sized(values: Sequence[bytes]) -> tuple[Chunks, ...]:
    """Before each value its length: two chunks, which takes less than to make one of them."""
    lengths = list(map(len, values))
    if max(lengths) < len(_SHORT):
        return map(_SHORT.__getitem__, lengths), values
    return map(_prefix, lengths), values


def _some(convert: Callable[[Any], bytes], values: Values) -> tuple[Chunks, ...]:
    """Values of which some are None."""
    return ([_NULL if value is None else _alone(convert(value)) for value in values],)


def _alone(value: bytes) -> bytes:
    return _prefix(len(value)) + value


def _prefix(length: int) -> bytes:
    return _SHORT[length] if length < len(_SHORT) else _long_prefix(length)


def _long_prefix(length: int) -> bytes:
    prefix, width = next((prefix, width) for limit, prefix, width in _LONGER if length < limit)
    return prefix + length.to_bytes(width, "little")


def _moment(value: datetime) -> bytes:
    date = (value.year, value.month, value.day)
    return _MOMENT(0, _MOMENT_BYTES, *date, value.hour, value.minute, value.second, value.microsecond)


def _amount(value: object) -> bytes:
    return str(value).encode()

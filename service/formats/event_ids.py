"""The id of an event: the producer's own, or one derived from where and what its record is.

Called by the formats. An id is opaque bytes, compared byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from service.core.errors import PermanentError
from service.core.types import Record

MAX_BYTES = 255
DERIVED = b"kafka:"
_DERIVED_TEXT = DERIVED.decode()


def supplied(text: str) -> bytes:
    """The id that a producer gave; raises `PermanentError` for one that cannot be told apart for sure."""
    event_id = text.encode()
    if not 1 <= len(event_id) <= MAX_BYTES:
        raise invalid(f"event_id is not of 1 to {MAX_BYTES} bytes")
    if "\0" in text:
        raise invalid("event_id contains a NUL")
    if text.startswith(_DERIVED_TEXT):
        raise invalid("event_id has the prefix of derived ids")
    return event_id


def derived(record: Record) -> bytes:
    """The id of a record without one: the same whenever, and by whomever, this record is read."""
    where = (record.partition.topic.encode(), _digits(record.partition.number), _digits(record.offset))
    parts = (record.cluster_id.encode(), *where, _digits(record.timestamp_ms), record.key, record.value)
    return DERIVED + sha256(_framed(parts)).hexdigest().encode()


def invalid(message: str) -> PermanentError:
    """The error of an event id that may not be used; `message` does not quote it."""
    return PermanentError(message, error_class="InvalidEventId", stage="decode")


def _digits(number: int) -> bytes:
    return b"%d" % number


def _framed(parts: Iterable[bytes | None]) -> bytes:
    # Each part with its length, and null apart from empty: no two records give the same bytes.
    return b"".join(b"-;" if part is None else b"%d:%b;" % (len(part), part) for part in parts)

"""JSON values into SQL values, exactly or not at all: nothing is cut, rounded or read through a float.

Called by `fields` for payload columns and by the formats for the envelope. Every function takes the raw
JSON of one value that is not null, and raises `InvalidValue` when the value does not fit. NUL characters
and bytes that are not UTF-8 are the format's to refuse, for the record as a whole: `msgspec.Raw` lets
both pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Context, Decimal, DecimalException, Inexact, InvalidOperation
from itertools import accumulate, repeat
from typing import Annotated, TypeVar

from msgspec import DecodeError, Meta, Raw, ValidationError
from msgspec.json import Decoder

MAX_ID = 2**63 - 1
EPOCH = datetime(1970, 1, 1)

T = TypeVar("T")

# What msgspec takes for these; a numeric id may also be a string, which is read here.
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Version = Annotated[int, Meta(ge=0, le=MAX_ID)]
Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
Currency = Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]

_STRING = Decoder(str)
_INT32: Decoder[int] = Decoder(Int32)
_VERSION: Decoder[int] = Decoder(Version)
_ID: Decoder[int] = Decoder(Id)

_DIGITS = re.compile(r"0*+([0-9]{1,19})", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
# A string that never ends goes to the end: looking for its end from each of its quotes would take for ever.
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?')
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_NO_OPENERS = bytes(set(range(256)) - set(b"[{"))
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?",
    re.ASCII,
)

_TOO_LARGE = "has more than 14 digits before the point"
_FOUR_DECIMALS = Decimal("0.0001")
# There is a negative one too.
_ZERO = Decimal("0.0000")
# Quantizing in this context succeeds exactly for what DECIMAL(18,4) holds, and is quick for 1e999999 too.
# Rounding up, which would trap anyhow, could add a digit and give the wrong reason.
_DECIMAL_18_4 = Context(prec=18, rounding=ROUND_DOWN, traps=[Inexact, InvalidOperation])
# MySQL and MariaDB promise DATETIME from this year on.
_FIRST_YEAR = 1000
_TEXT_MAX_BYTES = 65535
JSON_MAX_LEVELS = 31
_NO_OFFSET = timedelta(0)


class InvalidValue(Exception):
    """A value that does not fit; the message says why and holds no part of the value (I9)."""


def string(raw: Raw) -> str:
    """Any JSON string."""
    return _decode(_STRING, raw, "is not a string")


def string_up_to(length: int) -> Callable[[Raw], str]:
    """The reader of a string of at most `length` characters, as VARCHAR counts them."""
    decoder: Decoder[str] = Decoder(Annotated[str, Meta(max_length=length)])

    def read(raw: Raw) -> str:
        try:
            return decoder.decode(raw)
        except (ValidationError, DecodeError):
            string(raw)  # it may be no string at all
            raise InvalidValue(f"is longer than {length} characters") from None

    return read


def long_string(raw: Raw) -> str:
    """A string that fits MySQL's TEXT, which counts bytes."""
    value = string(raw)
    if len(value.encode()) > _TEXT_MAX_BYTES:
        raise InvalidValue(f"is longer than {_TEXT_MAX_BYTES} bytes")
    return value


def json_text(raw: Raw) -> str:
    """The text of any JSON value, exactly as it stands in the record, nested as deeply as MariaDB takes.

    The server would refuse what is deeper (4025), but not where a later event of the same batch replaces
    the value before it is written: the limit holds here, or a batch is not what its records are one by one.
    """
    text = str(raw, "utf-8")
    if is_deeper(text, JSON_MAX_LEVELS):
        raise InvalidValue(f"is nested deeper than {JSON_MAX_LEVELS} levels")
    return text


def is_deeper(text: str, levels: int) -> bool:
    """Whether JSON is nested deeper than so many levels; of other texts, whether a part of it is."""
    # Most texts are too short, and hardly any has as many brackets at all.
    return len(text) > 2 * levels and text.count("[") + text.count("{") > levels and _levels(text) > levels


def openers(value: bytes) -> int:
    """How many brackets of a JSON text begin a level; those in strings count as well."""
    return len(value.translate(None, _NO_OPENERS))


def _levels(text: str) -> int:
    brackets = _JSON_STRING.sub("", text)
    return max(accumulate(map(_STEPS.get, brackets, repeat(0))), default=0)


def int32(raw: Raw) -> int:
    """A JSON integer that fits INT."""
    return _decode(_INT32, raw, "is not an integer in the range of INT")


def version(raw: Raw) -> int:
    """A JSON integer from 0 to 2^63-1."""
    return _decode(_VERSION, raw, "is not an integer from 0 to 2^63-1")


def identifier(raw: Raw) -> int:
    """An id from 1 to 2^63-1: a JSON integer, or a string of ASCII digits."""
    try:
        return _ID.decode(raw)
    except (ValidationError, DecodeError):
        if _is_string(raw):
            return identifier_in(string(raw))
        raise InvalidValue("is not an id from 1 to 2^63-1") from None


def identifier_in(text: str) -> int:
    """An id from 1 to 2^63-1 in ASCII digits."""
    digits = _DIGITS.fullmatch(text)
    value = int(digits[1]) if digits else 0
    if not 1 <= value <= MAX_ID:
        raise InvalidValue("is not an id from 1 to 2^63-1")
    return value


def exact_decimal(raw: Raw) -> Decimal:
    """A JSON number, or a string that is written like one, that DECIMAL(18,4) holds without rounding."""
    text = str(raw, "utf-8")
    return amount(string(raw) if text.startswith('"') else text)


def amount(value: object) -> Decimal:
    """The same for a decoded value: a float as the `Decimal` of its digits, or as their text."""
    number = value if isinstance(value, Decimal) else _number(value)
    try:
        return number.quantize(_FOUR_DECIMALS, None, _DECIMAL_18_4) or _ZERO
    except Inexact:
        raise InvalidValue("has more than four decimals") from None
    except DecimalException:
        raise InvalidValue(_TOO_LARGE) from None


def _number(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise InvalidValue("is not a decimal number")
    try:
        return Decimal(value)
    except DecimalException:  # an exponent that no Decimal has
        raise InvalidValue(_TOO_LARGE) from None


def currency(raw: Raw) -> str:
    """Three capital letters, as in ISO 4217."""
    value = string(raw)
    if not _CURRENCY.fullmatch(value):
        raise InvalidValue("is not a currency of three capital letters")
    return value


def moment(raw: Raw) -> datetime:
    """An RFC 3339 time as naive UTC: without a zone it is UTC, digits beyond microseconds are cut."""
    return moment_in(string(raw))


def moment_in(text: str) -> datetime:
    """The same for a text that was a string in JSON."""
    try:
        if _is_usual_moment(text):
            return _storable(datetime.fromisoformat(text[:-1]))
        if not _RFC3339.fullmatch(text):
            raise InvalidValue("is not a time as in RFC 3339")
        value = datetime.fromisoformat(text.upper())
        utc = (value - (value.utcoffset() or _NO_OFFSET)).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise InvalidValue("is a time that does not exist or cannot be stored") from None
    return _storable(utc)


def _is_usual_moment(text: str) -> bool:
    """Whether `text`, if all else in it are digits, is as `2026-11-21T10:15:30.123Z`: a third of the regex.

    With three decimals, six or none; whether all else are digits is for whoever reads it.
    """
    between = text[4:20:3]
    if between == "--T::.":
        return len(text) in (24, 27) and text[-1] == "Z"
    return between == "--T::Z" and len(text) == 20


def moment_of(timestamp_ms: int) -> datetime:
    """Kafka's timestamp as naive UTC; -1, which stands for none, is the epoch."""
    if timestamp_ms == -1:
        return EPOCH
    try:
        return _storable(EPOCH + timedelta(milliseconds=timestamp_ms))
    except OverflowError:
        raise InvalidValue("is a time that cannot be stored") from None


def _storable(value: datetime) -> datetime:
    if value.year < _FIRST_YEAR:
        raise InvalidValue("is a time that cannot be stored")
    return value


def _is_string(raw: Raw) -> bool:
    return bytes(raw).startswith(b'"')


def _decode(decoder: Decoder[T], raw: Raw, problem: str) -> T:
    try:
        return decoder.decode(raw)
    except (ValidationError, DecodeError):
        # Without the cause: msgspec's words may quote the value.
        raise InvalidValue(problem) from None

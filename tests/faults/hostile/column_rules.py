"""What each column takes, and what it then holds: specification 1 once more, without a line of the service.

Called by `reading`, which knows the envelope around the columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from tests.faults.hostile.strict_json import Node

MAX_ID = 2**63 - 1
_INTEGER = re.compile(r"-?[0-9]+")
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:([Zz])|([+-])([0-9]{2}):([0-9]{2}))?",
    re.ASCII,
)


class Unfit(Exception):
    """A value that its column does not take."""


Rule = Callable[[Node], object]


class Column(NamedTuple):
    """A payload column: its rule, and what it holds where nothing is said (never null, if not null)."""

    rule: Rule
    default: str | None = None

    def read(self, node: Node) -> object:
        """What SQL must hold for `node`; raises `Unfit`."""
        if not node.is_null:
            return self.rule(node)
        if self.default is not None:
            raise Unfit("null")
        return None


def characters(node: Node) -> str:
    """Any string."""
    if node.kind != "string":
        raise Unfit("no string")
    return node.characters


def varchar(length: int) -> Rule:
    """A string that is counted in characters."""

    def rule(node: Node) -> str:
        if len(characters(node)) > length:
            raise Unfit("too long")
        return node.characters

    return rule


def text(node: Node) -> str:
    """A string that is counted in bytes, as MySQL counts TEXT."""
    if len(characters(node).encode()) > 65_535:
        raise Unfit("too long")
    return node.characters


def document(node: Node) -> str:
    """Any JSON value as the text that it came as."""
    if node.levels > 31:
        raise Unfit("too deep for MariaDB")
    return node.text


def integer(lowest: int, highest: int) -> Rule:
    """A JSON number without fraction and exponent, within these bounds."""

    def rule(node: Node) -> int:
        if node.kind != "number" or not _INTEGER.fullmatch(node.text):
            raise Unfit("no integer")
        return _bounded(node.text, lowest, highest)

    return rule


version = integer(0, MAX_ID)
int32 = integer(-(2**31), 2**31 - 1)


def identifier(node: Node) -> int:
    """An id: an integer, or a string of ASCII digits."""
    if node.kind == "string" and _DIGITS.fullmatch(node.characters):
        return _bounded(node.characters, 1, MAX_ID)
    return integer(1, MAX_ID)(node)  # type: ignore[return-value]  # an integer's rule gives one


def _bounded(digits: str, lowest: int, highest: int) -> int:
    # Python refuses to read more than some thousand digits, leading zeros included.
    sign, rest = ("-", digits[1:]) if digits.startswith("-") else ("", digits)
    significant = rest.lstrip("0") or "0"
    number = int(sign + significant) if len(significant) < 25 else None
    if number is None or not lowest <= number <= highest:
        raise Unfit("out of range")
    return number


def money(node: Node) -> Decimal:
    """A number, or a string that is written like one, which DECIMAL(18,4) holds as it is."""
    match = _DECIMAL.fullmatch(node.text if node.kind == "number" else characters(node))
    if match is None:
        raise Unfit("no number")
    sign, whole, fraction, exponent = match[1], match[2], match[3] or "", match[4] or "0"
    shift = _exponent(exponent)
    digits = (whole + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return Decimal("0.0000")
    power = shift - len(fraction) + len(digits) - len(significant)
    if power < -4 or len(significant) + power > 14:
        raise Unfit("does not fit 14 digits and four decimals")
    return Decimal(f"{sign}{significant}" + "0" * (power + 4)).scaleb(-4)


def _exponent(text: str) -> int:
    digits = text.lstrip("+-").lstrip("0")
    if len(digits) > 18:
        raise Unfit("an exponent that no decimal arithmetic knows, even of a zero")
    return int(digits or "0") * (-1 if text.startswith("-") else 1)


def currency(node: Node) -> str:
    """Three capital letters."""
    if not re.fullmatch(r"[A-Z]{3}", characters(node)):
        raise Unfit("no currency")
    return node.characters


def moment(node: Node) -> datetime:
    """A time as in RFC 3339 as naive UTC, cut to microseconds, from the year 1000 on."""
    match = _TIME.fullmatch(characters(node))
    if match is None:
        raise Unfit("no time")
    fraction = ((match[7] or "") + "000000")[:6]
    try:
        year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
        local = datetime(year, month, day, hour, minute, second, int(fraction))
        return stored_moment(local - _offset(match))
    except (ValueError, OverflowError) as error:
        raise Unfit("no such time") from error


def _offset(match: re.Match[str]) -> timedelta:
    if match[9] is None:
        return timedelta(0)
    hours, minutes = int(match[10]), int(match[11])
    if hours > 23 or minutes > 59:
        raise Unfit("no such offset")
    return timedelta(hours=hours, minutes=minutes) * (-1 if match[9] == "-" else 1)


def stored_moment(utc: datetime) -> datetime:
    """The moment, unless it lies before what the column promises to hold."""
    if utc.year < 1000:
        raise Unfit("too long ago")
    return utc


_STATUS = varchar(32)
COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "customers": {
        "email": Column(varchar(320)),
        "name": Column(varchar(255)),
        "phone": Column(varchar(64)),
        "status": Column(_STATUS, "active"),
        "address": Column(document),
        "attributes": Column(document),
    },
    "products": {
        "sku": Column(varchar(64)),
        "name": Column(varchar(255)),
        "description": Column(text),
        "category": Column(varchar(128)),
        "price": Column(money),
        "currency": Column(currency),
        "stock_quantity": Column(int32),
        "status": Column(_STATUS, "active"),
        "attributes": Column(document),
    },
    "orders": {
        "customer_id": Column(identifier),
        "order_number": Column(varchar(64)),
        "status": Column(_STATUS, "new"),
        "currency": Column(currency),
        "total": Column(money),
        "placed_at": Column(moment),
    },
}
LINE_COLUMNS: Mapping[str, Column] = {
    "line_no": Column(int32),
    "product_id": Column(identifier),
    "quantity": Column(money),
    "unit_price": Column(money),
}

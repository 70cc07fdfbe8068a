"""JSON texts that fit each column: the usual ones, its extremes, and what means something to somebody else.

`growing` makes envelopes of them, `mutating` puts them where they do not belong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random

from tests.faults.hostile.cases import CANARY, CANARY_DIGITS

Grow = Callable[[Random], str]

MAX_ID = 2**63 - 1
# What means something to SQL, to JSON, to a format string, to a collation or to none of them.
_PIECES = (
    *("'", '"', "`", "\\", "\\\\", "\\'", "\\n", "\\u0041", "\\f", "%", "%s", "%(x)s", ":x", "?", "--"),
    *("/*", ";", "\n", "\r", "\t", "\b", "\f", "\x01", "\x1a", "\x1f", "\x7f", "\x85", "\u2028"),
    *("\ufeff", "\uffff", "]\n[", "),(", "NULL", "x'00'", "{", "}", "[", "]", "e\u0301", "\u00e9"),
    *("\u00df", "\U0001f600", "\U0010ffff", " ", "  ", CANARY, "a", "A"),
)
_WIDE = ("x", "\u00e9", "\u20ac", "\U0001f600", "\\", '"', " ")
_AMOUNTS = (
    *("0", "-0", "0.0", "-0.0000", "0e400", "0e-400", "1", "1.5", "-7.25", "0.0001", "-0.0001", "1e-4"),
    *("10e-5", "99999999999999.9999", "-99999999999999.9999", "99999999999999.99990"),
    *("12345678901234.5678", "1e13", f"{CANARY_DIGITS}.25", "0.1", "1E+2", "9007199254740993.0E-3"),
)
TIMES = (
    *("2026-11-21T10:15:30Z", "2026-11-21t10:15:30.123456789z", "2026-11-21 10:15:30"),
    *("2024-02-29T23:59:59.999999Z", "1000-01-01T00:00:00Z", "0999-12-31T23:30:00-01:00"),
    *("9999-12-31T23:59:59.9999999Z", "1970-01-01T00:00:00Z", "2026-03-29T02:30:00+05:45"),
    *("1969-12-31T23:59:59.999999-23:59", "2038-01-19T03:14:08.000001Z"),
)
DOCUMENTS = (
    *("null", "true", "0", '""', "{}", "[]", '{"":1}', '{"a":1,"a":2}', '{ "spaces" : [ 1 , 2.50 ] }'),
    *("\t[ ]", "-0.0", "-0", "1e400", "-1E-400", "1E+5", "0e0"),
    *("12345678901234567890.12345678901234567890", "9" * 400, '"\\u00e9\\/\\n\\"\\\\"', '"\U0001f600"'),
    *('"\\ud83d\\ude00"', '"\x7f\u2028\ufeff"', '"\\\\u0000"', '"\'"', '{"a":' * 31 + "1" + "}" * 31),
    *("[" * 31 + "]" * 31, '"' + "[" * 40 + '"', f'{{"{CANARY}":"{CANARY}"}}', '{"\\"[":[{"\\\\":"]"}]}'),
    *("[" + "{}," * 40 + "1]",),
)


def string(rng: Random, text: str) -> str:
    """`text` as JSON: each character as it is, or escaped in one of the ways that there are."""
    escape = rng.choice([0.0, 0.0, 0.3, 1.0])
    return '"' + "".join(_spelled(rng, each, escape) for each in text) + '"'


def _spelled(rng: Random, character: str, escape: float) -> str:
    if character >= " " and character not in '"\\' and rng.random() >= escape:
        return character
    short = json.dumps(character)[1:-1]
    return short.upper().replace("\\U", "\\u") if "\\u" in short and rng.random() < 0.5 else short


def _text(length: int) -> Grow:
    def grow(rng: Random) -> str:
        kind = rng.randrange(4)
        if kind == 0:
            return string(rng, rng.choice(_WIDE) * rng.choice([0, 1, length - 1, length]))
        if kind == 1:
            return string(rng, f"{CANARY}  "[: length or 1])
        return string(rng, "".join(rng.choices(_PIECES, k=rng.randrange(6)))[:length])

    return grow


def _long_text(rng: Random) -> str:
    if rng.random() < 0.97:
        return _text(2_000)(rng)
    character = rng.choice(_WIDE[:4])
    return string(rng, character * (65_535 // len(character.encode())))


def _picked(texts: Sequence[str], quoted: float) -> Grow:
    """One of these, now and then as a string."""

    def grow(rng: Random) -> str:
        text = rng.choice(texts)
        return string(rng, text) if rng.random() < quoted else text

    return grow


def _integer(lowest: int, highest: int, quoted: float = 0.0) -> Grow:
    def grow(rng: Random) -> str:
        number = rng.choice(
            [lowest, highest, rng.randint(lowest, highest), rng.randint(max(lowest, 0), 50) or lowest]
        )
        return f'"{rng.choice(["", "000"])}{number}"' if rng.random() < quoted else str(number)

    return grow


_id = _integer(1, MAX_ID, 0.3)
_money = _picked(_AMOUNTS, 0.4)
VALUES: Mapping[str, Grow] = {
    "email": _text(320),
    "name": _text(255),
    "phone": _text(64),
    "status": _text(32),
    "address": _picked(DOCUMENTS, 0),
    "attributes": _picked(DOCUMENTS, 0),
    "sku": _text(64),
    "description": _long_text,
    "category": _text(128),
    "price": _money,
    "currency": _picked(("EUR", "USD", "XXX"), 1),
    "stock_quantity": _integer(-(2**31), 2**31 - 1),
    "customer_id": _id,
    "order_number": _text(64),
    "total": _money,
    "placed_at": _picked(TIMES, 1),
    "line_no": _integer(-(2**31), 2**31 - 1),
    "product_id": _id,
    "quantity": _money,
    "unit_price": _money,
}

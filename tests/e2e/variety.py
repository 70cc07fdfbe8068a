"""Valid but unusual parts of events: values at their columns' limits, odd ids, spellings and headers.

`workload` mixes them into its stream. Everything here must be accepted by the service and come back from
SQL exactly as written.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from tests.e2e.envelopes import Spelling
from tests.e2e.jsontext import Literal
from tests.e2e.messages import Line

Headers = tuple[tuple[str, bytes | None], ...]

_MONEY = tuple(
    Decimal(text)
    for text in ("0", "0.0001", "-0.0001", "1.1", "12345678901234.5678", "99999999999999.9999", "-7.25")
)
_NASTY = 'O\'Brien "x" \\ %s %(x)s :name -- ; /* \r\n\t\x1a\x7f \u2028 \u00e9e\u0301 \U0001f600 '
_JSON = (
    Literal('{ "spaces" : [ 1 , 2.50 ] }'),
    Literal('{"digits":12345678901234567890.12345678901234567890,"zero":-0.0,"ten":1.0e1}'),
    Literal('{"twice":1,"twice":2}'),
    Literal('{"escaped":"\\u00e9\\/\\n\\"\\\\","raw":"é \U0001f600 \'"}'),
    Literal("{}"),
    Literal('{"a":' * 31 + "1" + "}" * 31),  # the deepest that MariaDB takes
)
_VALUES: Mapping[str, Sequence[object]] = {
    "email": ("", "e" * 320, None, "Upper@Example.Test"),
    "name": ("", "\U0001f600" * 255, _NASTY, None, "trailing blanks  "),
    "phone": ("", "+1 (555) 010-9999", None, "0" * 64),
    "status": ("", "inactive", "s" * 32),
    "address": (*_JSON, None),
    "attributes": (*_JSON, None),
    "sku": ("", "\u00df" * 64, None),
    "description": ("", _NASTY * 20, "\u20ac" * 2_000, None),
    "category": ("", "c" * 128, None),
    "price": (*_MONEY, None),
    "currency": ("EUR", "JPY", None),
    "stock_quantity": (0, -(2**31), 2**31 - 1, None),
    "customer_id": (1, 2**63 - 1, None),
    "order_number": ("", "n" * 64, None),
    "total": (*_MONEY, None),
    "placed_at": (datetime(1999, 12, 31, 23, 59, 59, 999999), datetime(2400, 2, 29, 0, 0, 0, 1), None),
}
_SPELLINGS = (
    Spelling(),
    Spelling(camel_case=True),
    Spelling(camel_case=True, id_as_text=True, nulls=True),
    Spelling(ascii_only=True, money_as_text=True, zone_minutes=None),
    Spelling(zone_minutes=330, extra_digits="789", nulls=True),
    Spelling(zone_minutes=-480, event_type=None, id_as_text=True),
    Spelling(event_type="deleted", extra={"source": "shop", "trace": {"deep": [1, None]}}),
    # Where both spellings stand, the one with underscores counts.
    Spelling(extra={"entityId": 999_999_999, "eventType": "supplier.changed"}),
    Spelling(repeated=True),
)
_HEADERS: tuple[Headers, ...] = (
    (),
    (("source", b"shop"),),
    (("trace", b"1"), ("trace", b"2"), ("trace", b"1")),
    (("null", None), ("empty", b"")),
    (("bytes", bytes(range(256))), ("", b"no name"), ("na\u00efve", b"\xff")),
)


def odd_columns(rng: random.Random, columns: Mapping[str, object]) -> Mapping[str, object]:
    """Leave some columns out, now and then all of them, and give others unusual values."""
    kept = rng.choice([0.0, 0.3, 0.6, 1.0, 1.0, 1.0])
    return {
        name: rng.choice(_VALUES[name]) if rng.random() < 0.25 else value
        for name, value in columns.items()
        if rng.random() < kept
    }


def odd_lines(rng: random.Random, lines: Mapping[int, Line] | None) -> Mapping[int, Line] | None:
    """No word about the lines, none left, some of them, or all with other quantities."""
    if lines is None or rng.random() < 0.3:
        return None
    kept = rng.choice([0.0, 0.5, 1.0, 1.0])
    return {number: _odd_line(rng, line) for number, line in lines.items() if rng.random() < kept}


def _odd_line(rng: random.Random, line: Line) -> Line:
    [quantity] = rng.choices([line.quantity, rng.choice(_MONEY), None], [6, 3, 1])
    return line._replace(quantity=quantity)


def odd_id(rng: random.Random, plain: str, twin: str) -> bytes:
    """An unusual id made of `plain`, or one that differs from `twin` by case or blanks only."""
    if twin and rng.random() < 0.5:
        return rng.choice([twin.upper(), f"{twin} ", f"{twin}\t", f" {twin}"]).encode()
    stem = plain[:13]
    spellings = (
        stem + "\u00e9" * 120 + "xx",  # 255 bytes
        f"{stem} 'quoted' \"twice\" \\ %s {{}} * ? [a-z] \n \U0001f600",
        f"KAFKA:{stem}",
    )
    return rng.choice(spellings).encode()


def odd_spelling(rng: random.Random) -> Spelling:
    """The usual spelling, or one of the others that mean the same."""
    return _SPELLINGS[0] if rng.random() < 0.5 else rng.choice(_SPELLINGS)


def odd_headers(rng: random.Random) -> Headers:
    """Mostly no headers; repeated, null, empty and nameless ones otherwise."""
    return () if rng.random() < 0.5 else rng.choice(_HEADERS)

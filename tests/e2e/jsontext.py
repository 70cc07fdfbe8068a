"""JSON text written by hand: exact decimals, text kept as it stands, spellings that `json` would not write.

`workload` and `hostile` build their values with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal


class Literal(str):
    """Text that is JSON already: it goes into a document, and into a JSON column, as it stands."""

    __slots__ = ()


def encode(value: object, *, ascii_only: bool = False) -> str:
    """Write `value` as JSON. Decimals become numbers, digit by digit; a `Literal` is copied."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        fields = (f"{json.dumps(name)}:{encode(item, ascii_only=ascii_only)}" for name, item in value.items())
        return "{" + ",".join(fields) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(encode(item, ascii_only=ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)

"""The examples of docs/data-contract.md: a JSON document, and the line below it that says what comes of it.

`→ `customers` 4711: `{"name": "Ada"}`` is an event with these columns, `deleted` a delete, and
`→ `customers` refused: `SchemaViolation`: name is missing` an error; its message may be left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import cast

from service.core.types import Event, Operation
from tests.docs.pages import CHECKOUT, Block, blocks

PAGE = CHECKOUT / "docs" / "data-contract.md"

_TAKEN = re.compile(r"→ `(\w+)` (\d+): (?:`(\{.*\})`|deleted)")
_REFUSED = re.compile(r"→ `(\w+)` refused: `(\w+)`(?:: (.+))?")


@dataclass(frozen=True, slots=True)
class Example:
    """One document and what the page says of it: columns (None: a delete), or an error."""

    block: Block
    entity: str
    entity_id: int | None = None
    columns: dict[str, object] | None = None
    error_class: str | None = None
    message: str | None = None


def examples() -> Iterator[Example]:
    """Every JSON document of the page; raises ValueError for one of which it says nothing."""
    for block in blocks(PAGE):
        if block.language == "json":
            yield _example(block)


def columns_of(event: Event) -> dict[str, object] | None:
    """What an event writes, as the page writes it; None for a delete."""
    if event.operation is Operation.DELETE:
        return None
    lines = {} if event.lines is None else {"lines": list(event.lines)}
    return cast(dict[str, object], json.loads(json.dumps({**event.columns, **lines}, default=_as_text)))


def _example(block: Block) -> Example:
    said = " ".join(block.below.split())
    if refused := _REFUSED.fullmatch(said):
        return Example(block, refused[1], error_class=refused[2], message=refused[3])
    taken = _TAKEN.fullmatch(said)
    if taken is None:
        raise ValueError(f"{block}: the page does not say what comes of it")
    return Example(block, taken[1], int(taken[2]), json.loads(taken[3]) if taken[3] else None)


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(cast(Decimal, value))

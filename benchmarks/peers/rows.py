"""The rows that the events of a load give: what `LOAD DATA` is fed with, and what every table must hold.

Called by `loading` and `checking`; the names and kinds of the columns are also what Debezium's converter is
told. Nothing here asks the service: a judge reads the events himself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from benchmarks.load import Message

# The kinds of column, as the converter knows them too.
TEXT, INTEGER, MOMENT, AMOUNT, JSON = "text", "integer", "moment", "amount", "json"

# What comes from `data`, by entity, in the order of the tables.
PAYLOAD: Mapping[str, Mapping[str, str]] = {
    "customers": {
        "email": TEXT,
        "name": TEXT,
        "phone": TEXT,
        "status": TEXT,
        "address": JSON,
        "attributes": JSON,
    },
    "products": {
        "sku": TEXT,
        "name": TEXT,
        "description": TEXT,
        "category": TEXT,
        "price": AMOUNT,
        "currency": TEXT,
        "stock_quantity": INTEGER,
        "status": TEXT,
        "attributes": JSON,
    },
    "orders": {
        "customer_id": INTEGER,
        "order_number": TEXT,
        "status": TEXT,
        "currency": TEXT,
        "total": AMOUNT,
        "placed_at": MOMENT,
    },
}
LINE_COLUMNS = ("order_id", "line_no", "product_id", "quantity", "unit_price")

Row = tuple[str, ...]


class _Envelope(msgspec.Struct):
    event_id: str
    operation: str
    entity_id: int
    version: int
    occurred_at: str
    data: dict[str, msgspec.Raw]


class _Line(msgspec.Struct):
    line_no: int
    product_id: int
    quantity: Decimal
    unit_price: Decimal


class Placed(NamedTuple):
    """A message and where its partition has it."""

    message: Message
    offset: int


class EventRows(NamedTuple):
    """What one event gives, every value as text: the row but for its place, its lines, what its mark says."""

    row: Row
    lines: Sequence[Row]
    entity_id: str
    operation: str
    occurred_at: str


_decode = msgspec.json.Decoder(_Envelope).decode
_lines = msgspec.json.Decoder(list[_Line]).decode


def columns(entity: str) -> tuple[str, ...]:
    """The columns that an event alone determines."""
    return ("id", *PAYLOAD[entity], "version", "occurred_at")


def placed(messages: Sequence[Message]) -> Iterator[Placed]:
    """Each message with the offset that it has when all of them are produced into empty topics."""
    ends: Counter[tuple[str, int]] = Counter()
    for message in messages:
        yield Placed(message, ends[message.log])
        ends[message.log] += 1


def rows_of(message: Message) -> EventRows:
    """Everything that an event gives; the columns are those of `columns`."""
    event = _decode(message.value)
    kinds = PAYLOAD[message.entity]
    payload = (_text(event.data[name], kind) for name, kind in kinds.items())
    occurred_at = _moment(event.occurred_at)
    row = (str(event.entity_id), *payload, str(event.version), occurred_at)
    lines = _lines(event.data["lines"]) if "lines" in event.data else ()
    line_rows = [tuple(map(str, (event.entity_id, *msgspec.structs.astuple(line)))) for line in lines]
    return EventRows(row, line_rows, str(event.entity_id), event.operation, occurred_at)


def _text(raw: msgspec.Raw, kind: str) -> str:
    match kind:
        case "text":
            return msgspec.json.decode(raw, type=str)
        case "moment":
            return _moment(msgspec.json.decode(raw, type=str))
        case "amount":
            # As DECIMAL(18, 4) says it.
            return f"{Decimal(bytes(raw).decode()):.4f}"
        case _:
            return bytes(raw).decode()


def _moment(text: str) -> str:
    """As DATETIME(6) says it; the moments of the events are in UTC, with milliseconds at most."""
    day, _, time = text.removesuffix("Z").partition("T")
    whole, _, fraction = time.partition(".")
    return f"{day} {whole}.{fraction:0<6}"

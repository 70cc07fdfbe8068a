"""The records that the demo's producers keep: what a customer, a product and an order look like.

`stream` asks for the payload of the next change. A payload comes twice: as JSON for the event, and as the
SQL values that have to come out of it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from service.demo.messages import Line

_NAMES = (
    "Ada Lovelace",
    "Zoë Krüger",
    "Łukasz Nowak",
    "李雷",
    "Åsa Öberg",
    "O'Brien, Pat",
    "Наталья",
    "Mia 🦊",
)
_CITIES = ("Berlin", "Kraków", "São Paulo", "東京", "Malmö", "Saint-Étienne")
_THINGS = ("lamp", "kettle", "bicycle", "notebook", "teapot", "hammock", "compass")
_CATEGORIES = ("kitchen", "garden", "office", "travel")
_CURRENCIES = ("EUR", "USD", "PLN", "JPY")
_ORDER_STATES = ("new", "paid", "packed", "shipped", "returned")
_PRODUCTS = 100


@dataclass(frozen=True, slots=True)
class Payload:
    """An after-image: `data` for the event's JSON, `columns` and `lines` as SQL is to hold them."""

    data: dict[str, object]
    columns: dict[str, object]
    lines: tuple[Line, ...] | None = None

    def only(self, names: set[str]) -> Payload:
        """The part of it that a producer tells who knows only the fields `names`."""
        data = {name: value for name, value in self.data.items() if name in names}
        columns = {name: value for name, value in self.columns.items() if name in names}
        return Payload(data, columns, self.lines if "lines" in names else None)


def json_text(value: object) -> str:
    """JSON as our producers write it."""
    return json.dumps(value, ensure_ascii=False)


def customer(rng: random.Random, entity_id: int, _now: datetime) -> Payload:
    """A customer with an address."""
    name = rng.choice(_NAMES)
    address = {"city": rng.choice(_CITIES), "street": f"{rng.randint(1, 99)} Long Road", "zip": None}
    data: dict[str, object] = {
        "email": f"customer{entity_id}@example.com",
        "name": name,
        "phone": rng.choice((None, f"+49 30 {rng.randint(10000, 99999)}")),
        "status": rng.choice(("active", "active", "blocked")),
        "address": address,
        "attributes": {"points": rng.randint(0, 5000), "tags": rng.sample(_CATEGORIES, 2)},
    }
    texts = {column: json_text(data[column]) for column in ("address", "attributes")}
    return Payload(data, {**data, **texts})


def product(rng: random.Random, entity_id: int, _now: datetime) -> Payload:
    """A product with a price that no float could hold."""
    thing = rng.choice(_THINGS)
    price = _money(rng)
    data: dict[str, object] = {
        "sku": f"SKU-{entity_id:05}",
        "name": f"{rng.choice(_CITIES)} {thing}",
        "description": f'A {thing}.\nNumber {entity_id}, "as seen" in {rng.choice(_CITIES)}.',
        "category": rng.choice(_CATEGORIES),
        "price": str(price),
        "currency": rng.choice(_CURRENCIES),
        "stock_quantity": rng.randint(-5, 100_000),
        "status": "active",
        "attributes": {"weight": rng.randint(1, 900) / 10, "colours": rng.sample(_CURRENCIES, 2)},
    }
    return Payload(data, {**data, "price": price, "attributes": json_text(data["attributes"])})


def order(rng: random.Random, entity_id: int, now: datetime) -> Payload:
    """An order with up to five lines."""
    total = _money(rng)
    placed_at = (now - timedelta(minutes=rng.randint(0, 10_000))).replace(microsecond=0)
    lines = tuple(_line(rng, number) for number in range(1, rng.randint(1, 6)))
    data: dict[str, object] = {
        "customer_id": rng.randint(1, 500),
        "order_number": f"{placed_at:%Y}-{entity_id:06}",
        "status": rng.choice(_ORDER_STATES),
        "currency": rng.choice(_CURRENCIES),
        "total": str(total),
        "placed_at": f"{placed_at.isoformat()}Z",
        "lines": [{name: _plain(value) for name, value in line.items()} for line in lines],
    }
    columns = {name: value for name, value in data.items() if name != "lines"}
    return Payload(data, {**columns, "total": total, "placed_at": placed_at}, lines)


PAYLOADS: dict[str, Callable[[random.Random, int, datetime], Payload]] = {
    "customers": customer,
    "products": product,
    "orders": order,
}
SINGULAR = {"customers": "customer", "products": "product", "orders": "order"}


def _line(rng: random.Random, number: int) -> Line:
    return {
        "line_no": number,
        "product_id": rng.randint(1, _PRODUCTS),
        "quantity": Decimal(rng.randint(1, 9_999)).scaleb(-rng.randint(0, 3)),
        "unit_price": _money(rng),
    }


def _money(rng: random.Random) -> Decimal:
    """An amount with up to four decimals; now and then all the digits that the column has."""
    decimals = rng.randint(0, 4)
    digits = decimals + (14 if rng.random() < 0.05 else rng.randint(1, 5))
    return Decimal(rng.randint(1, 10**digits - 1)).scaleb(-decimals)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Decimal) else value

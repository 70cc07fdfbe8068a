"""Products."""

from __future__ import annotations

from service.entities.entity import Entity
from service.entities.fields import currency, decimal, integer, json_text, long_text, text

products = Entity(
    name="products",
    singular="product",
    fields=(
        text("sku", 64),
        text("name", 255),
        long_text("description"),
        text("category", 128),
        decimal("price"),
        currency("currency"),
        integer("stock_quantity"),
        text("status", 32, default="active"),
        json_text("attributes"),
    ),
)

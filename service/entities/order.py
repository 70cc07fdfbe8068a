"""Orders and their lines."""

from __future__ import annotations

from service.entities.entity import Entity, Lines
from service.entities.fields import currency, decimal, integer, reference, text, timestamp

orders = Entity(
    name="orders",
    singular="order",
    fields=(
        reference("customer_id"),
        text("order_number", 64),
        text("status", 32, default="new"),
        currency("currency"),
        decimal("total"),
        timestamp("placed_at"),
    ),
    lines=Lines(
        name="order_items",
        parent="order_id",
        key=integer("line_no"),
        fields=(
            reference("product_id"),
            decimal("quantity"),
            decimal("unit_price"),
        ),
    ),
)

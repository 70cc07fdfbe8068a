"""Customers."""

from __future__ import annotations

from service.entities.entity import Entity
from service.entities.fields import json_text, text

customers = Entity(
    name="customers",
    singular="customer",
    fields=(
        text("email", 320),
        text("name", 255),
        text("phone", 64),
        text("status", 32, default="active"),
        json_text("address"),
        json_text("attributes"),
    ),
)

"""Every entity, one line each: decoding, tables, metrics, migrations, tests and docs walk this list."""

from __future__ import annotations

from collections.abc import Mapping

from service.entities.customer import customers
from service.entities.entity import Entity
from service.entities.order import orders
from service.entities.product import products

ENTITIES: Mapping[str, Entity] = {
    entity.name: entity
    for entity in (
        customers,
        products,
        orders,
    )
}

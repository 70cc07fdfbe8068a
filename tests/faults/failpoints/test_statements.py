"""Steps are named after the statements that the service really builds."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from service.bookkeeping import consumer_positions, dead_letters, processed_events
from service.dialects.dialect import Statement
from service.dialects.mysql import MySql
from service.entities.registry import ENTITIES
from tests.faults.failpoints.statements import name_of

_CUSTOMERS = ENTITIES["customers"].table
_ROW = [(1, "INSERT INTO `orders` (`id`) VALUES (1) ON DUPLICATE KEY UPDATE")]
_COLUMNS = ("id", "name")
_MYSQL = MySql()


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        (_MYSQL.insert(_CUSTOMERS, _COLUMNS, _ROW), "insert customers"),
        (_MYSQL.overwrite(_CUSTOMERS, _COLUMNS, _ROW), "overwrite customers"),
        (_MYSQL.insert_once(dead_letters, ("id", "status"), _ROW), "insert dead_letters"),
        (_MYSQL.select_in([_CUSTOMERS.c.id], _CUSTOMERS.c.id, [1], lock=True), "select customers"),
        (_MYSQL.delete_in(_CUSTOMERS.c.id, [1]), "delete customers"),
    ],
)
def test_texts(statement: Statement, name: str) -> None:
    """Complete texts, whatever the values in them say."""
    assert name_of(statement.sql) == name


def test_expressions() -> None:
    """What SQLAlchemy compiles."""
    assert name_of(select(processed_events.c.event_id)) == "select processed_events"
    assert name_of(update(consumer_positions)) == "update consumer_positions"

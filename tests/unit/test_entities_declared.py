"""Every declared entity: its table keeps the rules that the sink relies on, its examples hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ForeignKeyConstraint, MetaData, Table, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from service.core.types import Event
from service.entities.entity import Entity, metadata
from service.entities.registry import ENTITIES
from tests.unit.native_records import decoded, record, refused, with_data

EXAMPLES = Path(__file__).parents[1] / "examples"
TABLES = sorted(metadata.tables)


class Example(msgspec.Struct, forbid_unknown_fields=True):
    """A record, its value byte for byte as it stands in the file, and what becomes of it."""

    about: str
    key: str
    value: msgspec.Raw
    event: dict[str, object] | None = None
    error_class: str | None = None


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_every_entity_has_examples(entity: Entity) -> None:
    """At least one that is applied and one that is refused."""
    examples = [read(path) for path in (EXAMPLES / entity.name).glob("*.json")]
    assert any(example.event for example in examples), f"no valid example in tests/examples/{entity.name}"
    assert any(example.error_class for example in examples), f"no refused one in tests/examples/{entity.name}"


def test_every_example_belongs_to_an_entity() -> None:
    """A folder of another name would never be read."""
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} <= set(ENTITIES)


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_an_example_becomes_what_it_says(path: Path) -> None:
    """The event, or the class of the error."""
    example = read(path)
    value = None if example.value == msgspec.Raw(b"null") else bytes(example.value)
    sent = record(value, example.key.encode())
    if example.event is None:
        assert refused(sent, path.parent.name).error_class == example.error_class
    else:
        assert described(decoded(sent, path.parent.name)) == {
            "unknown_fields": 0,
            "lines": None,
            **example.event,
        }


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_one_unique_key_and_no_foreign_key(name: str) -> None:
    """An upsert fires on any unique key; Kafka keeps no order between topics."""
    table = metadata.tables[name]
    assert table.primary_key.columns
    assert not any(isinstance(each, UniqueConstraint | ForeignKeyConstraint) for each in table.constraints)
    assert not any(index.unique for index in table.indexes)


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_a_tombstone_can_be_written(entity: Entity) -> None:
    """Every payload column takes a default: NULL where it may be, the server's own where it may not."""
    assert set(entity.defaults) == {field.name for field in entity.fields}
    for name, default in entity.defaults.items():
        column = entity.table.c[name]
        assert column.nullable == (default is None)
        assert (column.server_default is None) == (default is None)


@pytest.mark.parametrize("name", TABLES)
def test_nothing_counts_up_by_itself(name: str) -> None:
    """Ids are the producers'."""
    assert "AUTO_INCREMENT" not in statement(metadata.tables[name])


def test_the_columns_are_those_of_the_specification() -> None:
    """Name, type and nullability, as MySQL is told."""
    products = statement(ENTITIES["products"].table)
    for column in (
        "id BIGINT NOT NULL",
        "description TEXT",
        "price NUMERIC(18, 4)",
        "currency CHAR(3)",
        "stock_quantity INTEGER",
        "status VARCHAR(32) NOT NULL DEFAULT 'active'",
        "attributes LONGTEXT",
        "version BIGINT",
        "occurred_at DATETIME(6) NOT NULL",
        "source_partition INTEGER NOT NULL",
        "source_offset BIGINT NOT NULL",
        "synced_at DATETIME(6) NOT NULL",
        "deleted_at DATETIME(6)",
        "PRIMARY KEY (id)",
        "CHECK (json_valid(attributes))",
    ):
        assert column in products


def test_a_null_is_taken_where_the_column_takes_it() -> None:
    """And refused in a column with a default."""
    assert decoded(with_data("email", "null")).columns == {"email": None}
    assert str(refused(with_data("status", "null"))) == "status must not be null"


@pytest.mark.parametrize(
    "lines",
    ["null", "1", '"x"', "{}", "[1]", "[null]", "[[]]", "[{}]", '[{"line_no":null}]', '[{"line_no":"1"}]'],
)
def test_lines_are_a_list_of_objects_with_a_number(lines: str) -> None:
    """Null is no list: absent leaves the lines alone, an empty list removes them."""
    assert str(refused(with_data("lines", lines), "orders")).startswith("lines")


def test_the_error_in_a_line_says_where() -> None:
    """By position and field."""
    error = refused(with_data("lines", '[{"line_no":1},{"line_no":2,"quantity":"many"}]'), "orders")
    assert str(error) == "lines[1]: quantity is not a decimal number"


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=32)
AMOUNT = st.decimals(Decimal("-99999999999999.9999"), Decimal("99999999999999.9999"), places=4)
MOMENT = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
ID = st.integers(1, 2**63 - 1)
LINES = st.lists(
    st.fixed_dictionaries(
        {
            "line_no": st.integers(-(2**31), 2**31 - 1),
            "product_id": st.none() | ID,
            "quantity": st.none() | AMOUNT,
            "unit_price": st.none() | AMOUNT,
        }
    ),
    max_size=4,
    unique_by=lambda line: line["line_no"],
)
ORDERS = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": st.none() | ID,
        "order_number": st.none() | TEXT,
        "status": TEXT,
        "currency": st.none() | st.from_regex("[A-Z]{3}", fullmatch=True),
        "total": st.none() | AMOUNT,
        "placed_at": st.none() | MOMENT,
    },
)


@given(columns=ORDERS, lines=st.none() | LINES, escaped=st.booleans())
def test_an_order_survives_the_way_through_json(
    columns: dict[str, object], lines: list[dict[str, object]] | None, escaped: bool
) -> None:
    """What a producer knows arrives as it was, absent fields stay absent."""
    data = columns if lines is None else {**columns, "lines": lines}
    text = json.dumps(
        {"operation": "update", "entity_id": 1, "data": data}, default=str, ensure_ascii=escaped
    )
    event = decoded(text.encode(), "orders")
    assert event.columns == columns
    assert event.lines == (None if lines is None else tuple(lines))


@given(
    value=st.recursive(
        st.none() | st.booleans() | TEXT, lambda inner: st.lists(inner, min_size=1), max_leaves=9
    )
)
def test_a_json_column_keeps_its_text(value: object) -> None:
    """Spaces, escapes and all; a bare null is SQL's."""
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        kept = decoded(with_data("attributes", text)).columns["attributes"]
        assert kept == (None if value is None else text)


def read(path: Path) -> Example:
    return msgspec.json.decode(path.read_bytes(), type=Example)


def statement(table: Table) -> str:
    return str(CreateTable(table.to_metadata(MetaData())).compile(dialect=mysql.dialect()))


def described(event: Event) -> dict[str, object]:
    """An event in the words of the examples: decimals and times as text."""
    event_id = event.event_id.decode()
    return {
        "event_id": "kafka:DERIVED" if event_id.startswith("kafka:") else event_id,
        "entity_id": event.entity_id,
        "operation": event.operation.value,
        "version": event.version,
        "occurred_at": event.occurred_at.isoformat(),
        "columns": plain(event.columns),
        "lines": None if event.lines is None else [plain(line) for line in event.lines],
        "unknown_fields": event.unknown_fields,
    }


def plain(columns: Mapping[str, object]) -> dict[str, object]:
    return {name: _text(value) for name, value in columns.items()}


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value

"""The first tables: three entities, the lines of orders, and the bookkeeping.

MySQL commits after every statement. Run again after a crash in the middle, this goes on where it stopped.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "customers",
    "products",
    "orders",
    "order_items",
    "processed_events",
    "consumer_positions",
    "dead_letters",
)


def upgrade() -> None:
    create_customers()
    create_products()
    create_orders()
    create_order_items()
    create_processed_events()
    create_consumer_positions()
    create_dead_letters()


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name, if_exists=True)


def create_customers() -> None:
    create_entity(
        "customers",
        sa.Column("email", sa.String(320)),
        sa.Column("name", sa.String(255)),
        sa.Column("phone", sa.String(64)),
        sa.Column("status", sa.String(32), nullable=False, server_default="active"),
        sa.Column("address", document()),
        sa.Column("attributes", document()),
        json_check("customers", "address"),
        json_check("customers", "attributes"),
    )


def create_products() -> None:
    create_entity(
        "products",
        sa.Column("sku", sa.String(64)),
        sa.Column("name", sa.String(255)),
        sa.Column("description", sa.Text()),
        sa.Column("category", sa.String(128)),
        sa.Column("price", amount()),
        sa.Column("currency", sa.CHAR(3)),
        sa.Column("stock_quantity", sa.Integer()),
        sa.Column("status", sa.String(32), nullable=False, server_default="active"),
        sa.Column("attributes", document()),
        json_check("products", "attributes"),
    )


def create_orders() -> None:
    create_entity(
        "orders",
        sa.Column("customer_id", sa.BigInteger()),
        sa.Column("order_number", sa.String(64)),
        sa.Column("status", sa.String(32), nullable=False, server_default="new"),
        sa.Column("currency", sa.CHAR(3)),
        sa.Column("total", amount()),
        sa.Column("placed_at", moment()),
    )


def create_order_items() -> None:
    create(
        "order_items",
        sa.Column("order_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("line_no", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("product_id", sa.BigInteger()),
        sa.Column("quantity", amount()),
        sa.Column("unit_price", amount()),
    )


def create_processed_events() -> None:
    create(
        "processed_events",
        sa.Column("event_id", event_id(), primary_key=True),
        sa.Column("entity", sa.String(64), nullable=False),
        sa.Column("entity_id", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", moment(), nullable=False),
        sa.Column("processed_at", moment(), nullable=False),
    )
    create_index("ix_processed_events_processed_at", "processed_events", "processed_at")


def create_consumer_positions() -> None:
    create(
        "consumer_positions",
        sa.Column("group_id", sa.String(255), primary_key=True),
        sa.Column("topic", sa.String(249), primary_key=True),
        sa.Column("partition_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("handled_offset", sa.BigInteger(), nullable=False),
        sa.Column("claim_id", sa.String(32), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("cache_namespace", sa.String(32), nullable=False),
        sa.Column("cluster_id", sa.String(64)),
        sa.Column("updated_at", moment(), nullable=False),
    )


def create_dead_letters() -> None:
    create(
        "dead_letters",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("event_id", event_id()),
        sa.Column("entity", sa.String(64)),
        sa.Column("entity_id", sa.BigInteger()),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition_id", sa.Integer(), nullable=False),
        sa.Column("record_offset", sa.BigInteger(), nullable=False),
        sa.Column("record_timestamp", sa.BigInteger(), nullable=False),
        sa.Column("record_key", octets()),
        sa.Column("record_value", octets()),
        sa.Column("record_headers", document(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("error_class", sa.String(128), nullable=False),
        sa.Column("error_message", sa.String(1024), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("next_attempt_at", moment()),
        sa.Column("first_failed_at", moment(), nullable=False),
        sa.Column("last_failed_at", moment(), nullable=False),
        sa.UniqueConstraint(
            "topic", "partition_id", "record_offset", "digest", name="uq_dead_letters_record"
        ),
        sqlite_autoincrement=True,
    )
    create_index("ix_dead_letters_status", "dead_letters", "status", "next_attempt_at")


def create_entity(name: str, *payload: sa.schema.SchemaItem) -> None:
    create(
        name,
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        *payload,
        sa.Column("version", sa.BigInteger()),
        sa.Column("occurred_at", moment(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("synced_at", moment(), nullable=False),
        sa.Column("deleted_at", moment()),
    )


def create(name: str, *items: sa.schema.SchemaItem, **options: Any) -> None:
    op.create_table(
        name,
        *items,
        **options,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        if_not_exists=True,
    )


def create_index(name: str, table: str, *columns: str) -> None:
    # MySQL has no CREATE INDEX IF NOT EXISTS; printed statements (`--sql`) are for an empty database.
    printed = op.get_context().as_sql
    known = [] if printed else [index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)]
    if name not in known:
        op.create_index(name, table, columns)


def moment() -> TypeEngine[Any]:
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def amount() -> TypeEngine[Any]:
    return sa.Numeric(18, 4).with_variant(sa.Text(), "sqlite")


def document() -> TypeEngine[Any]:
    return sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def json_check(table: str, column: str) -> sa.CheckConstraint:
    # Elsewhere there is no such function, or it takes NULL for no JSON.
    check = sa.CheckConstraint(f"json_valid({column})", name=f"ck_{table}_{column}_json")
    return check.ddl_if(dialect="mysql")


def octets() -> TypeEngine[Any]:
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def event_id() -> TypeEngine[Any]:
    return sa.LargeBinary(255).with_variant(mysql.VARBINARY(255), "mysql", "mariadb")

"""Dead letters that are tried again, with the cluster they came from, a corrected value, and who did what.

Positions say where their cache namespace begins: 0 for those that are there.

MySQL commits after every statement. Run again after a crash in the middle, this goes on where it stopped.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column("dead_letters", "cluster_id", sa.String(64))
    add_column(
        "dead_letters", "corrected_value", sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
    )
    add_column("consumer_positions", "handled_from", sa.BigInteger(), nullable=False, server_default="0")
    create_actions()


def downgrade() -> None:
    op.drop_table("dead_letter_actions", if_exists=True)
    added = {"consumer_positions": ["handled_from"], "dead_letters": ["corrected_value", "cluster_id"]}
    for table, names in added.items():
        for name in names:
            if is_printed() or has_column(table, name):
                op.drop_column(table, name)


def create_actions() -> None:
    op.create_table(
        "dead_letter_actions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("letter_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(1024)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column(
            "acted_at", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb"), nullable=False
        ),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        if_not_exists=True,
    )
    name = "ix_dead_letter_actions_letter_id"
    if is_printed() or not has_index("dead_letter_actions", name):
        op.create_index(name, "dead_letter_actions", ["letter_id"])


def add_column(table: str, name: str, kind: TypeEngine[Any], **options: Any) -> None:
    if is_printed() or not has_column(table, name):
        op.add_column(table, sa.Column(name, kind, **options))


def has_column(table: str, name: str) -> bool:
    return any(column["name"] == name for column in sa.inspect(op.get_bind()).get_columns(table))


def has_index(table: str, name: str) -> bool:
    return any(index["name"] == name for index in sa.inspect(op.get_bind()).get_indexes(table))


def is_printed() -> bool:
    """Whether the statements are for people (`--sql`): then there is no database to look at."""
    return bool(op.get_context().as_sql)

"""Runs the migrations; Alembic loads this file for each of its commands.

The tables come from the entities' registry and from the bookkeeping; the database from the settings,
unless the caller of `alembic_config` gave one. Replicas that migrate at the same time wait for each other.
"""

from __future__ import annotations

import asyncio
from logging.config import fileConfig
from ssl import SSLContext
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import CreateTableOp, MigrationScript
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import URL, Connection, String
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeEngine

from service import bookkeeping
from service.dialects.registry import async_url, dialect_of
from service.entities import entity, registry
from service.entities.sql_types import DecimalText
from service.settings import DatabaseSettings, SettingsError, load_group

# By way of the registry: an entity that is not in it has no table.
assert registry.ENTITIES  # noqa: S101 - states what the import is for
METADATA = [entity.metadata, bookkeeping.metadata]


def where() -> tuple[URL, SSLContext | None]:
    """The database, and how to encrypt the way to it: from the caller, or else from the settings."""
    given = context.config.attributes
    if given.get("url"):
        return async_url(given["url"]), given.get("ssl")
    try:
        settings = load_group(DatabaseSettings)
    except SettingsError as error:
        raise CommandError(str(error)) from None
    return async_url(settings.connection_url), settings.ssl_context()


def render_type(kind: str, item: object, autogen: AutogenContext) -> str | Literal[False]:
    """Write our own type as the plain one: a migration must not change when the code does."""
    return "sa.Text()" if kind == "type" and isinstance(item, DecimalText) else False


def compare_type(
    comparing: MigrationContext, _found: object, _declared: object, found: object, declared: TypeEngine[Any]
) -> bool | None:
    """Whether a column's type differs; None leaves that to Alembic, which knows nothing of our own type."""
    ours = isinstance(declared.dialect_impl(comparing.dialect), DecimalText)
    return not isinstance(found, String) if ours else None


def resume(_context: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
    """Let generated migrations go on where a crash cut them off: MySQL commits after each statement."""
    for directive in directives:
        for operation in directive.upgrade_ops.ops if directive.upgrade_ops else ():
            if isinstance(operation, CreateTableOp):
                operation.if_not_exists = True


def migrate_offline() -> None:
    """Print the statements instead of running them (`--sql`)."""
    url, _ = where()
    context.configure(url=url, target_metadata=METADATA, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


async def migrate_online() -> None:
    """Run the migrations on one connection of their own."""
    url, ssl = where()
    arguments = {} if ssl is None else {"ssl": ssl}
    engine = create_async_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
    finally:
        await engine.dispose()


def migrate(connection: Connection) -> None:
    """Run the migrations on `connection`, alone."""
    with dialect_of(connection.engine.url).migrating_alone(connection):
        context.configure(
            connection=connection,
            target_metadata=METADATA,
            compare_type=compare_type,
            compare_server_default=True,
            # SQLite alters nothing in place: a batch makes the table anew there, and is plain elsewhere.
            render_as_batch=True,
            render_item=render_type,
            process_revision_directives=resume,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
if context.is_offline_mode():
    migrate_offline()
else:
    asyncio.run(migrate_online())

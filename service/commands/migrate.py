"""`upsertd migrate`: brings the database to the newest schema, as `alembic upgrade head` does."""

from __future__ import annotations

import click
from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from migrations import alembic_config
from service.commands.ending import Failed
from service.commands.opening import open_database, run_briefly
from service.dialects.registry import dialect_of
from service.schema import SchemaState, SchemaStatus, schema_state
from service.settings import DatabaseSettings, load_group


@click.command(
    epilog="""\b
Examples:
  upsertd migrate
  DATABASE_URL=mysql://user:password@db:3306/shop upsertd migrate

Reads DATABASE_URL (or DATABASE_URL_FILE) and DB_SSL_*, nothing else. Several at the same time wait for each
other. Running it again does nothing."""
)
def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = load_group(DatabaseSettings)
    before = run_briefly(_state(settings))
    if before.status is SchemaStatus.CURRENT:
        click.echo(f"nothing to do: the schema is at {before.found}")
    elif before.status is SchemaStatus.AHEAD:
        click.echo(
            f"nothing to do: the schema is at {before.found}, newer than {before.wanted} of this version"
        )
    else:
        _upgrade(settings)
        after = run_briefly(_state(settings))
        click.echo(f"migrated from {before.found or 'nothing'} to {after.found}")


async def _state(settings: DatabaseSettings) -> SchemaState:
    async with open_database(settings) as database:
        return await schema_state(database)


def _upgrade(settings: DatabaseSettings) -> None:
    # Outside of any event loop: Alembic's environment starts its own.
    try:
        command.upgrade(alembic_config(settings.connection_url, settings.ssl_context()), "head")
    except DBAPIError as error:
        raise dialect_of(settings.connection_url).translate(error) from error
    except CommandError as error:
        raise Failed(f"migration failed: {error}") from error

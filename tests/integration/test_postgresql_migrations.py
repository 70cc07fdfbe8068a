"""The migrations on a real PostgreSQL: up, down, all or nothing, and one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine

from migrations import alembic_config
from service.dialects.registry import async_url, dialect_of
from tests.contracts.sink_worlds import TABLES, create_tables
from tests.integration.test_postgresql import until_waiting
from tests.servers import PostgreSql, database_of

TABLE_NAMES = {table.name for table in TABLES}
LOCKS = (
    "SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
    " WHERE locktype = 'advisory' AND datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Schema:
    """A database of its own, as migrations see it."""

    server: PostgreSql
    url: str

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self.server.execute(sql, database_of(self.url))

    def columns(self) -> list[tuple[object, ...]]:
        """Each column of each table, as the server words it, and each constraint and index."""
        return [
            *self.query(
                "SELECT table_name, column_name, data_type, character_maximum_length, numeric_precision,"
                " numeric_scale, datetime_precision, is_nullable, column_default"
                " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
            ),
            *self.query(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
            ),
            *self.query("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"),
        ]

    def tables(self) -> set[object]:
        return {name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    @property
    def user(self) -> str:
        return str(make_url(self.url).username)

    async def alembic(self, run: Callable[..., object], *arguments: str) -> None:
        # In a thread: Alembic's commands start an event loop of their own.
        await asyncio.to_thread(run, alembic_config(self.url), *arguments)


@pytest.fixture
def fresh(postgresql: PostgreSql, postgresql_url: str) -> Schema:
    """An empty database."""
    return Schema(postgresql, postgresql_url)


@pytest.fixture
def declared(postgresql: PostgreSql) -> Iterator[Schema]:
    """A database with the tables as the code declares them."""
    url = postgresql.create_database()
    create_tables(url)
    yield Schema(postgresql, url)
    postgresql.drop_database(database_of(url))


async def test_there_and_back_and_there_again(fresh: Schema) -> None:
    """Up makes every table, down leaves none, up again works."""
    await fresh.alembic(command.upgrade, "head")
    first = fresh.columns()
    assert fresh.tables() == {*TABLE_NAMES, "alembic_version"}
    await fresh.alembic(command.downgrade, "base")
    assert fresh.tables() == {"alembic_version"}
    await fresh.alembic(command.upgrade, "head")
    assert fresh.columns() == first


async def test_the_migrations_make_what_the_code_declares(fresh: Schema, declared: Schema) -> None:
    """Autogenerate finds nothing to do, and the server words both the same."""
    await fresh.alembic(command.upgrade, "head")
    await fresh.alembic(command.check)
    migrated = [row for row in fresh.columns() if "alembic_version" not in str(row)]
    assert migrated == declared.columns()


async def test_a_migration_that_fails_leaves_nothing(fresh: Schema) -> None:
    """All of it is one transaction, and the lock is given back."""
    fresh.query("CREATE TABLE ix_dead_letters_status (id INT)")
    with pytest.raises(ProgrammingError):
        await fresh.alembic(command.upgrade, "head")
    assert fresh.tables() == {"ix_dead_letters_status"}
    assert fresh.query(LOCKS) == []


async def test_replicas_that_migrate_at_once_wait_for_each_other(fresh: Schema) -> None:
    """While one holds the lock, the other has not begun; no limit of the user's cuts its wait short."""
    fresh.query(f"ALTER ROLE \"{fresh.user}\" SET statement_timeout = '100ms'")
    try:
        async with migration_lock(fresh.url):
            other = asyncio.create_task(fresh.alembic(command.upgrade, "head"))
            await until_waiting(fresh.server)
            await asyncio.sleep(0.3)
            assert not other.done()
            assert fresh.tables() == set()
        await other
    finally:
        fresh.query(f'ALTER ROLE "{fresh.user}" RESET statement_timeout')
    assert fresh.tables() == {*TABLE_NAMES, "alembic_version"}
    assert fresh.query(LOCKS) == []


async def test_who_waits_for_too_long_is_told(fresh: Schema, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another migration hangs: that is for people."""
    monkeypatch.setattr("service.dialects.postgresql.MIGRATION_LOCK_SECONDS", 0.2)
    async with migration_lock(fresh.url):
        with pytest.raises(CommandError, match="another migration"):
            await fresh.alembic(command.upgrade, "head")


async def test_a_database_that_lacks_characters_is_refused(postgresql: PostgreSql) -> None:
    """Records would wait for a character that it cannot store."""
    name = "upsertd_latin1"
    latin = Schema(postgresql, postgresql.url(name))
    owner = f'OWNER "{latin.user}"'
    postgresql.execute(f"CREATE DATABASE {name} {owner} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(CommandError, match="LATIN1"):
        await latin.alembic(command.upgrade, "head")
    postgresql.drop_database(name)


@asynccontextmanager
async def migration_lock(url: str) -> AsyncIterator[None]:
    """Hold the migration lock of a database, as a replica that migrates does."""
    engine = create_async_engine(async_url(url))
    async with engine.connect() as connection:
        with_lock = dialect_of(url).migrating_alone
        holding = await connection.run_sync(lambda sync: enter(with_lock(sync)))
        yield
        await connection.run_sync(lambda _: holding.close())
    await engine.dispose()


def enter(context: AbstractContextManager[None]) -> ExitStack:
    stack = ExitStack()
    stack.enter_context(context)
    return stack

"""The migrations on a real server: up, down, twice at once, cut off, and with a fourth entity."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pymysql
import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from migrations import alembic_config, revisions
from service import bookkeeping
from service.dialects.registry import async_url
from service.entities import entity, registry
from tests.servers.mariadb import MariaDb

ROOT = Path(__file__).parents[2]
LOCK = "CONCAT('upsertd:', MD5(DATABASE()))"
WAITING = "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock'"
TABLES = {*entity.metadata.tables, *bookkeeping.metadata.tables}


@dataclass(frozen=True, slots=True)
class Schema:
    """A database of its own."""

    server: MariaDb
    url: str

    @property
    def name(self) -> str:
        return str(make_url(self.url).database)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self.server.execute(sql, self.name)

    def tables(self) -> dict[str, str]:
        """The statement that would make each table, as the server words it."""
        names = [str(row[0]) for row in self.query("SHOW TABLES")]
        return {name: str(self.query(f"SHOW CREATE TABLE `{name}`")[0][1]) for name in names}

    async def upgrade(self) -> None:
        # In a thread: Alembic's commands start an event loop of their own.
        await asyncio.to_thread(command.upgrade, alembic_config(self.url), "head")

    async def downgrade(self) -> None:
        await asyncio.to_thread(command.downgrade, alembic_config(self.url), "base")

    async def check(self) -> None:
        await asyncio.to_thread(command.check, alembic_config(self.url))


@pytest.fixture
def fresh(mariadb: MariaDb) -> Iterator[Schema]:
    """An empty database."""
    fresh = Schema(mariadb, mariadb.create_database())
    yield fresh
    mariadb.drop_database(fresh.name)


async def test_there_and_back_and_there_again(fresh: Schema) -> None:
    """Up makes every table, down leaves none, up again works."""
    await fresh.upgrade()
    first = fresh.tables()
    assert set(first) == {*TABLES, "alembic_version"}
    await fresh.downgrade()
    assert set(fresh.tables()) == {"alembic_version"}
    await fresh.upgrade()
    assert fresh.tables() == first


async def test_the_migrations_make_what_the_code_declares(fresh: Schema, mariadb: MariaDb) -> None:
    """Autogenerate finds nothing to do, and the server words both the same: collations and checks too."""
    await fresh.upgrade()
    await fresh.check()
    declared = Schema(mariadb, mariadb.create_database())
    await create_all(declared.url)
    migrated = {name: made for name, made in fresh.tables().items() if name != "alembic_version"}
    assert migrated == declared.tables()
    mariadb.drop_database(declared.name)


async def test_a_migration_that_was_cut_off_goes_on(fresh: Schema) -> None:
    """MySQL commits after each statement: a crash leaves some tables, and no revision."""
    await fresh.upgrade()
    complete = fresh.tables()
    for statement in (
        "DELETE FROM alembic_version",
        "DROP TABLE orders",
        "DROP INDEX ix_dead_letters_status ON dead_letters",
    ):
        fresh.query(statement)
    await fresh.upgrade()
    assert fresh.tables() == complete
    assert fresh.query("SELECT version_num FROM alembic_version") == [(revisions()[0],)]


async def test_replicas_that_migrate_at_once_wait_for_each_other(fresh: Schema) -> None:
    """While one holds the lock, the other has not begun."""
    async with lock_held(fresh.url):
        other = asyncio.create_task(fresh.upgrade())
        async with asyncio.timeout(30):
            while not fresh.query(WAITING):
                assert not other.done()
                await asyncio.sleep(0.05)
        assert fresh.tables() == {}
    await other
    assert set(fresh.tables()) == {*TABLES, "alembic_version"}


async def test_the_migration_lock_is_given_back(fresh: Schema) -> None:
    """Or the next migration would wait for a connection to die."""
    await fresh.upgrade()
    assert fresh.query(f"SELECT IS_USED_LOCK({LOCK})") == [(None,)]


async def test_text_is_compared_byte_for_byte(fresh: Schema) -> None:
    """Whatever the database's default is."""
    await fresh.upgrade()
    fresh.query(customer(1, name="'a'"))
    assert fresh.query("SELECT name = 'A', name = 'ä' FROM customers") == [(0, 0)]


@pytest.mark.parametrize("written", ['{"b":1.00,  "a":1e2, "a":3}', "12345678901234567890.10", '"x"'])
async def test_json_keeps_its_text(fresh: Schema, written: str) -> None:
    """Order, digits, spaces and repeated names."""
    await fresh.upgrade()
    fresh.query(customer(1, address=f"'{written}'"))
    assert fresh.query("SELECT address FROM customers") == [(written,)]


@pytest.mark.parametrize("written", ['{"a":', "[" * 33 + "]" * 33])
async def test_the_server_refuses_what_it_takes_for_no_json(fresh: Schema, written: str) -> None:
    """With the code that the sink counts as permanent; 33 levels are one too many for MariaDB."""
    await fresh.upgrade()
    with pytest.raises(pymysql.err.OperationalError, match=r"4025.*ck_customers_address_json"):
        fresh.query(customer(1, address=f"'{written}'"))


PARCEL = '''
"""Parcels."""

from __future__ import annotations

from service.entities.entity import Entity
from service.entities.fields import decimal, json_text, text

parcels = Entity(
    name="parcels",
    singular="parcel",
    fields=(
        text("name", 255),
        text("status", 32, default="new"),
        decimal("credit_limit"),
        json_text("contacts"),
    ),
)
'''

DECODE = """
from service.core.types import Partition, Record
from service.entities.registry import ENTITIES
from service.formats.native import decoder

value = b'{"operation":"create","entity_id":5,"event_type":"parcel.new","data":{"creditLimit":"7.5"}}'
event = decoder(ENTITIES["parcels"])(Record(Partition("parcels", 0), 1, 0, b"5", value))
print(event.entity, event.entity_id, dict(event.columns))
"""


@pytest.fixture
def copy_with_parcels(tmp_path: Path) -> Path:
    """A copy of the code with a fourth entity: one new file, and its line in the registry."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("service", "migrations"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for file in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "service/entities/parcel.py").write_text(PARCEL.lstrip())
    register(tmp_path / "service/entities/registry.py")
    return tmp_path


def test_a_fourth_entity_is_a_file_a_line_and_a_migration(fresh: Schema, copy_with_parcels: Path) -> None:
    """Decoding and table follow from the declaration; autogenerate writes exactly that table."""
    copy, url = copy_with_parcels, fresh.url
    for arguments in (
        ("upgrade", "head"),
        ("revision", "--autogenerate", "--rev-id", "of_a_test", "-m", "parcels"),
    ):
        ran(alembic(copy, url, *arguments))
    written = (copy / "migrations/versions/of_a_test_parcels.py").read_text()
    assert written.count("op.") == 2
    assert 'op.create_table(\n        "parcels"' in written
    assert 'op.drop_table("parcels")' in written

    before = fresh.tables()
    ran(alembic(copy, url, "upgrade", "head"))
    ran(alembic(copy, url, "check"))
    assert fresh.tables().keys() - before.keys() == {"parcels"}
    assert "CHECK (json_valid(`contacts`))" in fresh.tables()["parcels"]

    decoded = ran(python(copy, url, "-c", DECODE))
    assert decoded == "parcels 5 {'credit_limit': Decimal('7.5000')}\n"


def register(path: Path) -> None:
    """Add the import and the line."""
    code = path.read_text()
    code = code.replace("        products,\n", "        products,\n        parcels,\n")
    code = code.replace("\nENTITIES", "from service.entities.parcel import parcels\n\nENTITIES")
    path.write_text(code)


def alembic(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(folder, url, "-m", "alembic", *arguments)


def python(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ran(process: subprocess.CompletedProcess[str]) -> str:
    """What a process printed, if it succeeded."""
    assert process.returncode == 0, process.stderr
    return process.stdout


def customer(entity_id: int, **columns: str) -> str:
    """The statement that inserts a customer, each column an SQL expression."""
    rest = {"occurred_at": "NOW(6)", "source_partition": "0", "source_offset": "0", "synced_at": "NOW(6)"}
    row = {"id": str(entity_id), **rest, **columns}
    return f"INSERT INTO customers ({', '.join(row)}) VALUES ({', '.join(row.values())})"


@asynccontextmanager
async def lock_held(url: str) -> AsyncIterator[None]:
    """Hold the migration lock of a database, as a replica that migrates does."""
    engine = create_async_engine(async_url(url))
    async with engine.connect() as connection:
        assert await connection.scalar(text(f"SELECT GET_LOCK({LOCK}, 0)")) == 1
        yield
        await connection.execute(text(f"SELECT RELEASE_LOCK({LOCK})"))
    await engine.dispose()


async def create_all(url: str) -> None:
    """Make the tables without the migrations."""
    assert registry.ENTITIES
    engine = create_async_engine(async_url(url))
    async with engine.begin() as connection:
        for metadata in (entity.metadata, bookkeeping.metadata):
            await connection.run_sync(metadata.create_all)
    await engine.dispose()

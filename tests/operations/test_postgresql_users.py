"""The two users of docs/operations.md, on PostgreSQL.

Their GRANTs are read out of the page: the page is what is tested.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pytest
from alembic import command
from sqlalchemy import text

from migrations import alembic_config
from service.core.errors import Unavailable
from service.database import Database
from tests.contracts.sink_worlds import TABLES
from tests.docs.pages import blocks
from tests.e2e import judge
from tests.e2e import world as seeing
from tests.e2e.messages import TABLES as TOPICS
from tests.e2e.oracle import Model
from tests.e2e.producing import produce
from tests.e2e.service_process import ServiceProcess
from tests.e2e.test_postgresql import Shop, connect, select
from tests.e2e.workload import Workload
from tests.e2e.world import World
from tests.operations.commands import settings_of, upsertd
from tests.operations.everything import everything
from tests.operations.page import PAGE
from tests.servers import Kafka, PostgreSql, database_of

_GRANT = re.compile(r"^GRANT ([A-Z, ]+) ON (.+) TO upsertd_run$")
REFUSED = "42501"


def statements(role: str) -> list[str]:
    """The documented statements for `role`, which are those of the block that creates it."""
    made = f"CREATE ROLE upsertd_{role} "
    [block] = [block.text for block in blocks(PAGE) if block.language == "sql" and made in block.text]
    return [" ".join(statement.split()) for statement in block.split(";") if statement.strip()]


EACH_RIGHT = [
    pytest.param(right, place, id=f"{right.lower()}-{place.rpartition(' ')[2]}")
    for statement in statements("run")
    if (granted := _GRANT.match(statement))
    for rights, place in [granted.groups()]
    for right in rights.split(", ")
]


@dataclass(frozen=True)
class Roles:
    """The documented roles of one database.

    Roles belong to the server: what begins with `upsertd` on the page begins with the database's name here.
    """

    server: PostgreSql
    database: str
    password: str

    def create(self, role: str) -> None:
        """Run the page's statements for `role`."""
        for statement in statements(role):
            self.execute(statement)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement of the page as the superuser."""
        named = statement.replace("upsertd", self.database).replace("<password>", self.password)
        return self.server.execute(named, self.database)

    def drop(self) -> None:
        """Remove the roles with all that they own."""
        for role in ("run", "migrate"):
            if self.execute(f"SELECT 1 FROM pg_roles WHERE rolname = 'upsertd_{role}'"):
                self.execute(f"DROP OWNED BY upsertd_{role} CASCADE")
                self.execute(f"DROP ROLE upsertd_{role}")

    def url(self, role: str) -> str:
        """The database's address for `role`."""
        parts = urlsplit(self.server.url(self.database))
        login = f"{self.database}_{role}:{self.password}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=login))

    @contextmanager
    def without(self, right: str, place: str) -> Iterator[None]:
        """Take one right of the service's role away for a while."""
        self.execute(f"REVOKE {right} ON {place} FROM upsertd_run")
        try:
            yield
        finally:
            self.execute(f"GRANT {right} ON {place} TO upsertd_run")


@contextmanager
def roles_of(server: PostgreSql) -> Iterator[Roles]:
    """An empty database, and in the end neither it nor its roles."""
    roles = Roles(server, database_of(server.create_database()), secrets.token_hex(8))
    try:
        yield roles
    finally:
        roles.drop()
        server.drop_database(roles.database)


@pytest.fixture
def roles(postgresql: PostgreSql) -> Iterator[Roles]:
    """Nobody yet, and an empty database."""
    with roles_of(postgresql) as roles:
        yield roles


@pytest.fixture(scope="module")
def both_roles(postgresql: PostgreSql) -> Iterator[Roles]:
    """Both, and the tables, which the one has made."""
    with roles_of(postgresql) as roles:
        create_both(roles)
        yield roles


@pytest.fixture
def empty_tables(both_roles: Roles) -> Roles:
    """Both roles, and tables without rows."""
    both_roles.execute(f"TRUNCATE {', '.join(table.name for table in TABLES)}")
    return both_roles


def create_both(roles: Roles) -> None:
    """In the order of the page."""
    roles.create("migrate")
    told = upsertd({"DATABASE_URL": roles.url("migrate")}, "migrate")
    assert told.startswith("migrated from nothing to ")
    roles.create("run")


# ---------------------------------------------------------------- the real commands


@pytest.fixture
def shop(kafka: Kafka, roles: Roles, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Topics, both roles, the service's settings; the judge reads as the owner of the tables."""
    create_both(roles)
    monkeypatch.setattr(seeing, "connect", connect)
    monkeypatch.setattr(seeing, "select", select)
    name = secrets.token_hex(4)
    topics = {entity: f"{table}-{name}" for entity, table in TOPICS.items()}
    for topic in topics.values():
        kafka.create_topic(topic, 3, retention_ms=-1)
    world = World(kafka.bootstrap, f"group-{name}", roles.url("migrate"), topics)
    yield Shop(world, {**settings_of(world), "DATABASE_URL": roles.url("run")})
    for topic in topics.values():
        kafka.delete_topic(topic)


@pytest.fixture
def service(shop: Shop) -> Iterator[ServiceProcess]:
    """One replica with the rights of the service alone, not started."""
    service = ServiceProcess({**shop.settings, "KAFKA_SESSION_TIMEOUT_SECONDS": "6"})
    yield service
    service.close()


async def test_the_service_runs_with_the_documented_rights_alone(shop: Shop, service: ServiceProcess) -> None:
    """Check, run, reset a position, run again, look at positions and letters."""
    upsertd(shop.settings, "check")
    service.start()
    await service.wait_ready()
    model = Model()
    sent = await produce(shop.world, Workload(7).take(1_000))
    model.take_all(sent)
    await shop.settled()
    assert await service.sigterm() == 0
    topic, number = sent[0].place[:2]
    again = ("positions", "reset", "--topic", topic, "--partition", str(number), "--to-earliest")
    assert " -> 0 (epoch" in upsertd(shop.settings, *again)
    model.take_all([each for each in sent if each.place[:2] == (topic, number)])
    service.start()
    await shop.settled()
    differences = await judge.verify(model, shop.world)
    assert not differences, "\n".join(differences)
    assert topic in upsertd(shop.settings, "positions")
    assert upsertd(shop.settings, "dead-letters", "list", "--limit", "1").count("\n") == 1


def test_the_migrating_role_can_go_back(roles: Roles) -> None:
    """Alembic's own commands read the same DATABASE_URL."""
    roles.create("migrate")
    upsertd({"DATABASE_URL": roles.url("migrate")}, "migrate")
    command.downgrade(alembic_config(roles.url("migrate")), "base")
    left = roles.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert left == [("alembic_version",)]


@pytest.mark.parametrize(
    ("right", "code"),
    [
        ("CONNECT ON DATABASE upsertd", REFUSED),
        ("CREATE ON SCHEMA public", REFUSED),
        ("USAGE ON SCHEMA public", "3F000"),
    ],
)
def test_the_migrating_role_needs_each_of_its_rights(roles: Roles, right: str, code: str) -> None:
    """Without one it is told in a line that a right is missing."""
    roles.create("migrate")
    roles.execute(f"REVOKE {right} FROM upsertd_migrate")
    told = upsertd({"DATABASE_URL": roles.url("migrate")}, "migrate", exit_code=1)
    assert "lacks a right" in told
    assert told.endswith(f"(SQL error {code})\n")


def test_the_service_cannot_change_the_schema(roles: Roles) -> None:
    """`upsertd migrate` fails in a line where there is something to do."""
    create_both(roles)
    roles.execute("DELETE FROM alembic_version")
    told = upsertd({"DATABASE_URL": roles.url("run")}, "migrate", exit_code=1)
    assert "lacks a right" in told


def test_nobody_else_may_connect(both_roles: Roles) -> None:
    """PostgreSQL lets everybody in unless told otherwise."""
    granted = both_roles.execute(
        "SELECT DISTINCT grantee::regrole::text FROM pg_database, aclexplode(datacl)"
        " WHERE datname = current_database() AND grantee::regrole::oid <> datdba"
    )
    assert {name for (name,) in granted} == {f"{both_roles.database}_{role}" for role in ("migrate", "run")}


# ---------------------------------------------------------------- the least rights


async def test_the_service_has_all_rights_that_it_needs(empty_tables: Roles) -> None:
    """Everything that it ever does in SQL succeeds."""
    await everything(empty_tables.url("run"))


@pytest.mark.parametrize(("right", "place"), EACH_RIGHT)
async def test_the_service_needs_each_of_its_rights(empty_tables: Roles, right: str, place: str) -> None:
    """Without it something waits, which says that a right is missing; a schema is not even seen."""
    with empty_tables.without(right, place), pytest.raises(Unavailable) as refused:
        await everything(empty_tables.url("run"))
    if place == "SCHEMA public":
        assert str(refused.value).startswith("schema missing")
    else:
        assert REFUSED in str(refused.value)


async def test_the_tables_of_a_later_migration_need_no_grants(both_roles: Roles) -> None:
    """The service reads and writes what the other role makes, sequences too."""
    await run_as(both_roles, "migrate", "CREATE TABLE later (id BIGSERIAL PRIMARY KEY, name TEXT)")
    for statement in (
        "INSERT INTO later (name) VALUES ('a')",
        "UPDATE later SET name = 'b' WHERE id = 1",
        "DELETE FROM later WHERE id = 1",
    ):
        await run_as(both_roles, "run", statement)
    await run_as(both_roles, "migrate", "DROP TABLE later")


async def test_the_tables_that_are_there_keep_to_their_own_grants(both_roles: Roles) -> None:
    """What is granted on later tables is not granted on these."""
    with pytest.raises(Unavailable, match=REFUSED):
        await run_as(both_roles, "run", "DELETE FROM customers")


async def run_as(roles: Roles, role: str, statement: str) -> None:
    """Run a statement as a role would."""
    database = Database(roles.url(role), 1)
    try:
        async with database.transaction() as transaction:
            await transaction.execute(text(statement))
    finally:
        await database.close()

"""The two users of docs/operations.md, on MariaDB.

Their GRANTs are read out of the page: the page is what is tested.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pytest
from alembic import command

from migrations import alembic_config
from service.core.errors import Unavailable
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.operations.commands import settings_of, upsertd
from tests.operations.everything import everything
from tests.operations.page import account, grants
from tests.servers import MariaDb, database_of

_GRANT = re.compile(r"GRANT ([A-Z, ]+) ON upsertd\.(\w+) TO")
EACH_RIGHT = [
    pytest.param(right, table, id=f"{right.lower()}-{table}")
    for statement in grants("run", "upsertd", "")
    for rights, table in _GRANT.findall(statement.replace("`", ""))
    for right in rights.split(", ")
]


@dataclass(frozen=True)
class Users:
    """The documented users of one database, removed with it."""

    mariadb: MariaDb
    database: str
    password: str

    def create(self, user: str) -> None:
        """Run the page's statements for `user`."""
        for statement in grants(user, self.database, self.password):
            self.mariadb.execute(statement)

    def drop(self) -> None:
        for user in ("migrate", "run"):
            self.mariadb.execute(f"DROP USER IF EXISTS '{account(user, self.database)}'@'%'")

    def url(self, user: str) -> str:
        """The database's address for `user`."""
        parts = urlsplit(self.mariadb.url(self.database))
        login = f"{account(user, self.database)}:{self.password}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=login))

    def revoke(self, right: str, table: str) -> None:
        """Take one right of the service's user away."""
        user = account("run", self.database)
        self.mariadb.execute(f"REVOKE {right} ON `{self.database}`.{table} FROM '{user}'@'%'")


@pytest.fixture
def users(mariadb: MariaDb, database_url: str) -> Iterator[Users]:
    """Nobody yet, and an empty database."""
    users = Users(mariadb, database_of(database_url), secrets.token_hex(8))
    yield users
    users.drop()


@pytest.fixture
def run_user(users: Users, schema: bytes) -> Users:
    """The service's user of a migrated database."""
    users.mariadb.restore(users.database, schema)
    users.create("run")
    return users


# ---------------------------------------------------------------- the real commands


async def test_the_service_runs_with_the_documented_rights_alone(stage: Stage, mariadb: MariaDb) -> None:
    """Check, run, reset a position, run again, look at positions and letters."""
    users = Users(mariadb, stage.database, secrets.token_hex(8))
    users.create("run")
    settings = settings_of(stage.world) | {"DATABASE_URL": users.url("run")}
    try:
        upsertd(settings, "check")
        replica = stage.start(DATABASE_URL=users.url("run"))
        await replica.wait_ready()
        sent = await stage.produce(Workload(7).take(1_000))
        await stage.settle()
        assert await replica.sigterm() == 0
        topic, number = sent[0].place[:2]
        again = ("positions", "reset", "--topic", topic, "--partition", str(number), "--to-earliest")
        assert " -> 0 (epoch" in upsertd(settings, *again)
        stage.take([each for each in sent if each.place[:2] == (topic, number)])
        replica.start()
        await stage.settle()
        await stage.judge(resets=True)
        assert topic in upsertd(settings, "positions")
        assert upsertd(settings, "dead-letters", "list", "--limit", "1").count("\n") == 1
    finally:
        users.drop()


def test_the_migrating_user_makes_the_tables(users: Users) -> None:
    """And has rights on nothing else."""
    users.create("migrate")
    told = upsertd({"DATABASE_URL": users.url("migrate")}, "migrate")
    assert told.startswith("migrated from nothing to ")
    assert databases_of(users, "migrate") == [(users.database,)]


def test_the_migrating_user_can_go_back(users: Users) -> None:
    """Alembic's own commands read the same DATABASE_URL."""
    users.create("migrate")
    upsertd({"DATABASE_URL": users.url("migrate")}, "migrate")
    command.downgrade(alembic_config(users.url("migrate")), "base")
    assert users.mariadb.execute("SHOW TABLES", users.database) == [("alembic_version",)]


def test_the_service_cannot_change_the_schema(run_user: Users) -> None:
    """`upsertd migrate` fails in a line where there is something to do."""
    run_user.mariadb.execute("DELETE FROM alembic_version", run_user.database)
    told = upsertd({"DATABASE_URL": run_user.url("run")}, "migrate", exit_code=1)
    assert "lacks a right" in told


def databases_of(users: Users, user: str) -> list[tuple[object, ...]]:
    """The databases on which a user has rights."""
    grantee = f"'{account(user, users.database)}'@'%'"
    return users.mariadb.execute(
        "SELECT DISTINCT table_schema FROM information_schema.schema_privileges WHERE grantee = %s",
        parameters=(grantee,),
    )


# ---------------------------------------------------------------- the least rights


async def test_the_service_has_all_rights_that_it_needs(run_user: Users) -> None:
    """Everything that it ever does in SQL succeeds."""
    await everything(run_user.url("run"))


@pytest.mark.parametrize(("right", "table"), EACH_RIGHT)
async def test_the_service_needs_each_of_its_rights(run_user: Users, right: str, table: str) -> None:
    """Without it something waits, which says that a right is missing: 1142 (1143 for a column)."""
    run_user.revoke(right, table)
    with pytest.raises(Unavailable) as refused:
        await everything(run_user.url("run"))
    assert refused.value.code in (1142, 1143)

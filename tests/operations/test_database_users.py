"""The two users of docs/operations.md. Their GRANTs are read out of the page: the page is what is tested."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import pytest
from alembic import command

from migrations import alembic_config
from service.app import utc_now
from service.core.errors import FenceLost, Unavailable
from service.core.types import Operation, Outcome, Partition
from service.database import Database
from service.entities.registry import ENTITIES
from service.schema import require_schema
from service.sinks.sql import SqlSink
from service.stores.dead_letters import LetterFilter, count_by_status, find_letters, read_letter
from service.stores.positions import Target, hand_back, read_positions, reset_position
from tests.building import ORDERS, delete, event, lease, letter, line, position, record, work
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.operations.commands import settings_of, upsertd
from tests.operations.page import account, grants
from tests.servers import MariaDb, database_of

GROUP = "upsertd"
PRODUCTS = Partition("products", 0)
EACH_LANE = {"customers": Partition("customers", 0), "products": PRODUCTS, "orders": ORDERS}

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


async def everything(url: str) -> None:
    """Every statement that `run`, `check`, `positions`, `positions reset` and `dead-letters` send."""
    database = Database(url, 2)
    try:
        await require_schema(database)
        sink = SqlSink(database, ENTITIES, GROUP, utc_now)
        for name, partition in EACH_LANE.items():
            assert await sink.claim(partition, None, position())
            await write_entity(sink, name, partition)
        await bury_and_supersede(sink)
        await reset(database)
        await read_letters(database)
    finally:
        await database.close()


async def write_entity(sink: SqlSink, entity: str, partition: Partition) -> None:
    """Create, update, an older one, a copy, a delete; for orders with lines that change."""
    lines = ([line(1), line(2)], [line(1)]) if ENTITIES[entity].lines else (None, None)
    create = event(0, partition=partition, operation=Operation.CREATE, lines=lines[0], status="a")
    update = event(1, partition=partition, lines=lines[1], status="b")
    stale = event(2, partition=partition, seconds=-5)
    outcomes = []
    for number, each in enumerate((create, update, stale, create, delete(4, partition=partition))):
        written = await sink.apply(work(each, end=number + 1), lease(number, partition=partition))
        outcomes += [outcome for _, outcome in written.outcomes]
    wanted = (Outcome.APPLIED, Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE, Outcome.APPLIED)
    assert tuple(outcomes) == wanted
    assert await sink.position(partition)


async def bury_and_supersede(sink: SqlSink) -> None:
    """A dead letter, the same one redelivered, and its record applied after all."""
    partition = EACH_LANE["customers"]
    late = event(5)
    await sink.apply(work(letter(late.record), letter(record(6))), lease(5, partition=partition))
    stored = await sink.position(partition)
    again = position(5, claim_id="d" * 32, epoch=2)
    assert await sink.claim(partition, stored, again)
    await sink.apply(work(late, letter(record(6))), lease(5, partition=partition, claim_id="d" * 32))
    with pytest.raises(FenceLost):
        await sink.apply(work(late), lease(5, partition=partition))


async def reset(database: Database) -> None:
    """What `upsertd positions` reads and `reset` writes."""
    customers = EACH_LANE["customers"]
    known = await read_positions(database, GROUP)
    assert set(known) == set(EACH_LANE.values())
    done = await reset_position(database, GROUP, Target(customers, 0, "cluster"), utc_now)
    await hand_back(database, GROUP, done, customers)


async def read_letters(database: Database) -> None:
    """What the monitor counts and `upsertd dead-letters` shows."""
    assert await count_by_status(database) == {"dead": 1, "superseded": 1}
    found = [each async for each in find_letters(database, LetterFilter(), None)]
    assert await read_letter(database, found[0].id)

"""How a database fails: its network, its server, its limits, other sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from urllib.parse import urlsplit

import pymysql

from tests.e2e.service_process import Metrics
from tests.faults.outages.farewell import Farewell
from tests.faults.outages.theatre import Theatre
from tests.faults.outages.watching import Act, Outage, Shown
from tests.faults.proxy import Fate, Proxy, Weather, pass_all

_COMMIT = b"\x03COMMIT"


def weather(of: Callable[[Theatre], Proxy], weather: Weather) -> Act:
    """An act that changes the weather of one proxy."""

    async def change(theatre: Theatre) -> None:
        await asyncio.to_thread(setattr, of(theatre), "weather", weather)

    return change


def flapping(of: Callable[[Theatre], Proxy]) -> Act:
    """An act that lets one proxy flap: a second up, a second down."""

    async def change(theatre: Theatre) -> None:
        await asyncio.to_thread(of(theatre).flap)

    return change


def database(theatre: Theatre) -> Proxy:
    return theatre.database


def away(metrics: Metrics) -> bool:
    """The part's gauge, or that of a lane that waits for it."""
    return (
        metrics.total("upsertd_lane_paused", reason="database") > 0
        or (metrics.samples.get(("upsertd_part_ready", frozenset({("part", "database")})), 1.0)) == 0
    )


def paused(metrics: Metrics) -> bool:
    """The gauge of a lane that waits for the database."""
    return metrics.total("upsertd_lane_paused", reason="database") > 0


CLEAR = weather(database, Weather.CLEAR)

NETWORK = (
    *(
        Outage(f"database {name}", weather(database, kind), CLEAR, named="database", alarm=away)
        for name, kind in (
            ("refused", Weather.REFUSED),
            ("black-holed", Weather.BLACK_HOLE),
            ("stalled", Weather.STALLED),
        )
    ),
    Outage("database slow", weather(database, Weather.SLOW), CLEAR, Shown.MAYBE, seconds=4, works=True),
    Outage("database flapping", flapping(database), CLEAR, Shown.MAYBE, seconds=8, alarm=away),
)


async def cut_commits(theatre: Theatre) -> None:
    """Cut every third connection that commits, before or after the server gets it by turns."""
    fates = (Fate.PASS, Fate.PASS, Fate.CUT_BEFORE, Fate.PASS, Fate.PASS, Fate.CUT_AFTER)
    numbers = count()

    def on_request(packet: bytes) -> Fate:
        return fates[next(numbers) % len(fates)] if packet.endswith(_COMMIT) else Fate.PASS

    theatre.database.on_request = on_request


async def pass_commits(theatre: Theatre) -> None:
    theatre.database.on_request = pass_all


async def stop_server(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.mariadb.stop)


async def kill_server(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.mariadb.kill)


async def start_server(theatre: Theatre) -> None:
    await asyncio.to_thread(theatre.servers.mariadb.start)


async def freeze_server(theatre: Theatre) -> None:
    theatre.servers.mariadb.suspend()


async def thaw_server(theatre: Theatre) -> None:
    theatre.servers.mariadb.resume()


def statement(sql: str) -> Act:
    """An act of an administrator."""

    async def act(theatre: Theatre) -> None:
        await asyncio.to_thread(theatre.servers.mariadb.execute, sql, theatre.stage.database)

    return act


def full_with(code: int) -> Act:
    """Let the server refuse marks as it does when there is no room for them."""
    return statement(
        "CREATE TRIGGER no_room BEFORE INSERT ON processed_events FOR EACH ROW"
        f" SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'no room'"
    )


ROOM = statement("DROP TRIGGER no_room")


class Hogs:
    """Takes every connection that the server has, those of the service too."""

    def __init__(self) -> None:
        self._open: list[pymysql.Connection] = []

    async def strike(self, theatre: Theatre) -> None:
        await asyncio.to_thread(self._take_all, theatre)

    async def heal(self, theatre: Theatre) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _take_all(self, theatre: Theatre) -> None:
        url = theatre.servers.mariadb.url(theatre.stage.database)
        root = connect_to(url, user="root")  # before there is no room for it either
        self._open.append(root)
        theirs = "SELECT id FROM information_schema.processlist WHERE db = %s AND info IS NULL"
        with root.cursor() as cursor:
            cursor.execute("SET GLOBAL max_connections = 10")
            for _ in range(2):  # what the service gives up is taken as well
                self._take(url)
                hogs = {connection.thread_id() for connection in self._open}
                cursor.execute(theirs, (theatre.stage.database,))
                for (number,) in cursor.fetchall():
                    if number not in hogs:
                        with suppress(pymysql.Error):  # it has gone already
                            cursor.execute(f"KILL {number}")

    def _take(self, url: str) -> None:
        with suppress(pymysql.Error):
            while True:
                self._open.append(connect_to(url))


class Held:
    """A session that holds locks and says nothing more; `sqls` take them."""

    def __init__(self, *sqls: str) -> None:
        self._sqls = sqls
        self._session: pymysql.Connection | None = None

    async def strike(self, theatre: Theatre) -> None:
        await asyncio.to_thread(self._take, theatre)

    async def heal(self, theatre: Theatre) -> None:
        assert self._session is not None
        self._session.close()

    def _take(self, theatre: Theatre) -> None:
        login = theatre.servers.mariadb
        self._session = connect_to(login.url(theatre.stage.database), user="root")
        with self._session.cursor() as cursor:
            for sql in self._sqls:
                cursor.execute(sql)


class Altered:
    """An ALTER TABLE that waits for an old transaction, while everybody who needs the table waits for it."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._old: pymysql.Connection | None = None
        self._altering: asyncio.Task[object] | None = None

    async def strike(self, theatre: Theatre) -> None:
        mariadb, database = theatre.servers.mariadb, theatre.stage.database
        self._old = connect_to(mariadb.url(database))
        with self._old.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {self._table} LIMIT 1")  # in a transaction of its own
        alter = f"ALTER TABLE {self._table} COMMENT = 'altered'"
        self._altering = asyncio.create_task(_alter(connect_to(mariadb.url(database), user="root"), alter))

    async def heal(self, theatre: Theatre) -> None:
        assert self._old is not None
        assert self._altering is not None
        self._old.close()
        await self._altering


async def _alter(session: pymysql.Connection, sql: str) -> None:
    with session.cursor() as cursor:
        await asyncio.to_thread(cursor.execute, sql)
    session.close()


def connect_to(url: str, user: str = "") -> pymysql.Connection:
    """A session of somebody else."""
    parts = urlsplit(url)
    return pymysql.connect(
        host="127.0.0.1",
        port=parts.port or 0,
        user=user or parts.username or "",
        password="" if user else parts.password or "",
        database=parts.path.strip("/"),
        connect_timeout=5,
        read_timeout=30,
    )


HOGS = Hogs()
POSITIONS_HELD = Held("BEGIN", "SELECT * FROM consumer_positions FOR UPDATE")
ALTERED = Altered("products")
ALL_HELD = Held("FLUSH TABLES WITH READ LOCK")

SERVER = (
    Outage("database restarted", stop_server, start_server, named="database", alarm=away),
    Outage("database killed", kill_server, start_server, named="database", alarm=away),
    Outage("database frozen", freeze_server, thaw_server, named="database", alarm=away),
    Outage(
        "database read-only",
        statement("SET GLOBAL read_only = 1"),
        statement("SET GLOBAL read_only = 0"),
        named="SQL error 1290",
        alarm=paused,
    ),
    Outage("database out of connections", HOGS.strike, HOGS.heal, named="SQL error 1040", alarm=away),
    *(
        Outage(f"database disk full ({code})", full_with(code), ROOM, named=f"SQL error {code}", alarm=paused)
        for code in (1114, 1021, 3)
    ),
    Outage("everything locked by a backup", ALL_HELD.strike, ALL_HELD.heal, named="locked", alarm=paused),
)
SESSIONS = (
    Outage("positions locked", POSITIONS_HELD.strike, POSITIONS_HELD.heal, named="locked", alarm=paused),
    Outage(
        "a table altered",
        ALTERED.strike,
        ALTERED.heal,
        named="lane products",
        alarm=paused,
        works=True,
    ),
)


class FailOver:
    """A replica takes over that lacks the last seconds: a backup comes back while nobody can connect."""

    def __init__(self) -> None:
        self._backup = b""

    async def strike(self, theatre: Theatre) -> None:
        mariadb, database = theatre.servers.mariadb, theatre.stage.database
        self._backup = await asyncio.to_thread(mariadb.dump, database)
        await theatre.stage.wait_for_progress()
        await asyncio.sleep(2)  # the seconds that the replica lacks
        await asyncio.to_thread(setattr, theatre.database, "weather", Weather.REFUSED)

    async def heal(self, theatre: Theatre) -> None:
        mariadb, database = theatre.servers.mariadb, theatre.stage.database
        await asyncio.to_thread(mariadb.restore, database, self._backup)
        await CLEAR(theatre)


FAIL_OVER = FailOver()
COMMITS = (
    Outage("commits cut", cut_commits, pass_commits, Shown.MAYBE, seconds=5, works=True),
    Outage("database failed over", FAIL_OVER.strike, FAIL_OVER.heal, named="database", alarm=away),
)
BLACK_HOLED_AT_THE_END = Farewell(
    "stopped while the database is black-holed",
    weather(database, Weather.BLACK_HOLE),
    CLEAR,
    code=1,
    reason="not drained in time",
)
LOCKED_AT_THE_END = Farewell(
    "stopped while the positions are locked",
    POSITIONS_HELD.strike,
    POSITIONS_HELD.heal,
    code=1,
    reason="not drained in time",
)

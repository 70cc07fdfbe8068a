"""PostgreSQL with as many fresh databases as tests want. Called by fixtures and by tests that kill it.

It does not run as root: a root that runs the tests lends it the account `postgres`, or `nobody`.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg
import psutil

from tests.servers.errors import ServerFailed, ServerMissing
from tests.servers.processes import STOP_SECONDS, Image, LocalProcess
from tests.servers.programs import Program, find_program
from tests.servers.server import Command, Server

_ANSWER_SECONDS = 3.0
_STATEMENT_SECONDS = 30.0
# Debian keeps the programs of each version apart.
_FOLDERS = ("usr/lib/postgresql/*/bin",)
_OPTIONS = (
    # A commit is handed to the system and never synced: it outlives a killed server all the same, and only
    # a killed machine would lose it.
    "fsync=off",
    "shared_buffers=64MB",
    "unix_socket_directories=",
)
_NO_ROOT = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and where."""

    host: str
    port: int
    user: str
    password: str
    database: str


class Postmaster(LocalProcess):
    """The server's process; each connection is served by a child of it, in a process group of its own."""

    def discard(self) -> None:
        # At once as well, and unlike SIGKILL it takes the shared memory along.
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            self._wait(STOP_SECONDS)
        super().discard()

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is None or not self.running:
            return
        if number in {signal.SIGTERM, signal.SIGQUIT}:
            # SIGTERM would wait for every client to leave.
            self._popen.send_signal(signal.SIGINT if number is signal.SIGTERM else number)
            return
        postmaster = psutil.Process(self._popen.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


class PostgreSql(Server):
    """One PostgreSQL. `options` are settings of the server, `("max_connections=20",)`.

    `url` names an ordinary account that owns the databases made here; `execute` is the superuser. With
    `POSTGRESQL_URL` both are the account that it names, which must be allowed to make databases.
    """

    name = "PostgreSQL"
    # DATABASE_URL is MariaDB's: a run needs both.
    address_variable = "POSTGRESQL_URL"
    local_process = Postmaster

    def __init__(self, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        super().__init__(port=port, configured=bool(options))
        self._options = tuple(options)
        self._root = Login("127.0.0.1", self.port, "postgres", "postgres", "postgres")
        self._account = replace(self._root, user="upsertd", password="upsertd")
        if self.given_address is not None:
            self._root = self._account = _login_of(self.given_address)

    def url(self, database: str) -> str:
        """The address of `database` for the account that the service uses: `postgresql://…`."""
        if self.given_address is not None:
            return urlunsplit(urlsplit(self.given_address)._replace(path=f"/{database}"))
        login = self._account
        user = f"{quote(login.user, safe='')}:{quote(login.password, safe='')}"
        return f"postgresql://{user}@{login.host}:{login.port}/{database}"

    def create_database(self, name: str | None = None, *, template: str = "template0") -> str:
        """Create a copy of `template`, an empty database unless told otherwise, and return its `url`."""
        name = name or f"upsertd_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" OWNER "{self._account.user}" TEMPLATE "{template}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database with all that is in it, and end whoever is still connected to it."""
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def execute(
        self, sql: str, database: str | None = None, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Run one statement, committed at once, and return its rows. Also from inside an event loop."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._execute(sql, database, parameters)).result()

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True

    async def _execute(
        self, sql: str, database: str | None, parameters: Sequence[object]
    ) -> list[tuple[object, ...]]:
        login = self._root
        connection: asyncpg.Connection = await asyncpg.connect(
            host=login.host,
            port=login.port,
            user=login.user,
            password=login.password,
            database=database or login.database,
            timeout=_ANSWER_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
        )
        try:
            return [tuple(row) for row in await connection.fetch(sql, *parameters)]
        finally:
            await connection.close(timeout=_ANSWER_SECONDS)

    def _after_start(self) -> None:
        user, password = self._account.user, self._account.password
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = $1", parameters=(user,)):
            self.execute(f"CREATE ROLE \"{user}\" LOGIN CREATEDB PASSWORD '{password}'")

    def _image(self) -> Image:
        variables = {"POSTGRES_USER": self._root.user, "POSTGRES_PASSWORD": self._root.password}
        return Image("postgres:15", [self.port], ["postgres", *self._arguments("*")], variables)

    def _command(self, folder: Path) -> Command:
        server = find_program("postgres", package="postgresql", folders=_FOLDERS)
        data = folder / "data"
        data.mkdir(mode=0o700)
        account = _account_without_rights()
        if account is not None:
            os.chown(data, account.pw_uid, account.pw_gid)
            folder.chmod(0o711)
        self._install(data, account)
        arguments = [str(server.path), "-D", str(data), *self._arguments("127.0.0.1")]
        return Command([*_as(account), *arguments], server.environment)

    def _arguments(self, host: str) -> list[str]:
        settings = [f"listen_addresses={host}", f"port={self.port}", *_OPTIONS, *self._options]
        return [part for setting in settings for part in ("-c", setting)]

    def _install(self, data: Path, account: pwd.struct_passwd | None) -> None:
        """Make the system tables."""
        program: Program = find_program("initdb", package="postgresql", folders=_FOLDERS)
        password = data.parent / "password"
        password.write_text(self._root.password)
        command = [
            *(str(program.path), f"--pgdata={data}", f"--username={self._root.user}"),
            *("--auth=scram-sha-256", f"--pwfile={password}"),
            *("--encoding=UTF8", "--no-locale", "--no-sync"),
        ]
        done = subprocess.run(
            [*_as(account), *command],
            capture_output=True,
            text=True,
            cwd=data.parent,
            env={**os.environ, **program.environment},
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"PostgreSQL's tables could not be made:\n{done.stdout}{done.stderr}")


def _account_without_rights() -> pwd.struct_passwd | None:
    """Who runs the server in place of root; None: who runs the tests is not root."""
    if os.geteuid() != 0:
        return None
    for name in _NO_ROOT:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerMissing(f"PostgreSQL does not run as root, and there is no account {' or '.join(_NO_ROOT)}")


def _as(account: pwd.struct_passwd | None) -> list[str]:
    """What stands before a command that `account` is to run. It becomes the command: same process id."""
    if account is None:
        return []
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--"]


def _login_of(url: str) -> Login:
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in {"postgresql", "postgres"} or parts.hostname is None:
        raise ServerMissing("PostgreSQL: POSTGRESQL_URL names another kind of database")
    return Login(
        parts.hostname,
        parts.port or 5432,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        parts.path.removeprefix("/"),
    )

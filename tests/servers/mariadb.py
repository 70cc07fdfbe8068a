"""MariaDB with as many fresh databases as tests want, and backups of them.

Called by fixtures, by tests that kill or restore the database, and by `make servers`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import pymysql

from tests.servers.errors import ServerFailed, ServerMissing
from tests.servers.processes import Image
from tests.servers.programs import Program, find_program
from tests.servers.server import Command, Server

_ANSWER_SECONDS = 3
_BACKUP_SECONDS = 300
# A table that a test still has locked is an error of that test, not a reason to hang.
_LOCK_WAIT_SECONDS = 15
_OPTIONS = (
    "--character-set-server=utf8mb4",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--innodb-buffer-pool-size=64M",
    # A commit is handed to the system and synced once a second: it outlives a killed server all the same,
    # and only a killed machine would lose it.
    "--innodb-flush-log-at-trx-commit=2",
)
_BACKUP_OPTIONS = ("--single-transaction", "--quick", "--hex-blob", "--skip-comments", "--triggers")


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and where."""

    host: str
    port: int
    user: str
    password: str


class MariaDb(Server):
    """One MariaDB. `options` are arguments of `mariadbd`, `("--max-allowed-packet=1M",)`.

    `url` names an ordinary account with all rights on the databases made here; `execute` is root. With
    `DATABASE_URL` both are the account that it names.
    """

    name = "MariaDB"
    address_variable = "DATABASE_URL"

    def __init__(self, *, port: int | None = None, options: Sequence[str] = ()) -> None:
        super().__init__(port=port, configured=bool(options))
        self._options = tuple(options)
        self._root = Login("127.0.0.1", self.port, "root", "")
        self._account = replace(self._root, user="upsertd", password="upsertd")
        if self.given_address is not None:
            self._root = self._account = _login_of(self.given_address)

    def url(self, database: str) -> str:
        """The address of `database` for the account that the service uses: `mysql://…`."""
        if self.given_address is not None:
            return urlunsplit(urlsplit(self.given_address)._replace(path=f"/{database}"))
        login = self._account
        user = f"{quote(login.user, safe='')}:{quote(login.password, safe='')}"
        return f"mysql://{user}@{login.host}:{login.port}/{database}"

    def create_database(self, name: str | None = None) -> str:
        """Create an empty database, of a fresh name if none is given, and return its `url`."""
        name = name or f"upsertd_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        if self._account != self._root:
            self.execute(f"GRANT ALL ON `{name}`.* TO `{self._account.user}`@`%`")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database with all that is in it. Raises when a table stays locked."""
        self.execute(f"DROP DATABASE `{name}`")

    def execute(
        self, sql: str, database: str | None = None, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Run one statement, committed at once, and return its rows."""
        with closing(self._connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET lock_wait_timeout = {_LOCK_WAIT_SECONDS}")
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def dump(self, database: str) -> bytes:
        """A backup of `database` as it is at one moment, exact for binary data."""
        return self._run_client("mariadb-dump", [*_BACKUP_OPTIONS, database])

    def restore(self, database: str, backup: bytes) -> None:
        """Make `database` what it was at `dump`: whatever else is in it goes."""
        self.execute(f"DROP DATABASE IF EXISTS `{database}`")
        self.create_database(database)
        self._run_client("mariadb", [database], backup)

    def answers(self) -> bool:
        try:
            # A server that hangs would keep us waiting for ever, hence the time limit.
            self._connect(None, read_timeout=_ANSWER_SECONDS).close()
        except (pymysql.Error, OSError):
            return False
        return True

    def _after_start(self) -> None:
        user, password = self._account.user, self._account.password
        self.execute(f"CREATE USER IF NOT EXISTS `{user}`@`%` IDENTIFIED BY '{password}'")
        # May make databases too: a later test run may be given this account in DATABASE_URL.
        self.execute(f"GRANT ALL ON `upsertd%`.* TO `{user}`@`%`")

    def _connect(self, database: str | None, read_timeout: float | None = None) -> pymysql.Connection:
        login = self._root
        return pymysql.connect(
            host=login.host,
            port=login.port,
            user=login.user,
            password=login.password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=_ANSWER_SECONDS,
            read_timeout=read_timeout,
        )

    def _image(self) -> Image:
        arguments = [f"--port={self.port}", *_OPTIONS, *self._options]
        variables = {"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD": "1", "MARIADB_ROOT_HOST": "%"}
        return Image("mariadb:10.11", [self.port], arguments, variables)

    def _command(self, folder: Path) -> Command:
        server = find_program("mariadbd", package="mariadb-server")
        data = folder / "data"
        # A starting MariaDB removes all temporary tables that it finds: in a shared folder, other servers'.
        temporary = folder / "tmp"
        temporary.mkdir()
        common = ["--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", *_base(server), *_user()]
        self._install(server, common)
        # A relative socket lies in the data folder, however long the path to that is.
        address = [f"--port={self.port}", "--bind-address=127.0.0.1", "--socket=mariadb.sock"]
        arguments = [str(server.path), *common, *address, *_OPTIONS, *self._options]
        return Command(arguments, server.environment)

    def _install(self, server: Program, common: Sequence[str]) -> None:
        """Make the system tables."""
        program = find_program("mariadb-install-db", package="mariadb-server")
        command = [
            str(program.path),
            *common,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **server.environment}, check=False
        )
        if done.returncode != 0:
            raise ServerFailed(f"MariaDB's tables could not be made:\n{done.stdout}{done.stderr}")

    def _run_client(self, name: str, arguments: Sequence[str], given: bytes = b"") -> bytes:
        login = self._root
        address = [f"--host={login.host}", f"--port={login.port}", "--protocol=tcp", f"--user={login.user}"]
        options = ["--no-defaults", *address, "--default-character-set=utf8mb4", *arguments]
        command, environment = self._client(name)
        done = subprocess.run(
            [*command, *options],
            input=given,
            capture_output=True,
            timeout=_BACKUP_SECONDS,
            # In the environment, where a list of processes does not show it.
            env={**os.environ, **environment, "MYSQL_PWD": login.password},
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"{name} failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def _client(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The command of a client program, where the server's own programs are."""
        if self._process is not None and (beside := self._process.beside([name])) != [name]:
            return beside, {}
        program = find_program(name, package="mariadb-client")
        return [str(program.path)], program.environment


def database_of(url: str) -> str:
    """The name of the database in `url`."""
    return urlsplit(url).path.removeprefix("/")


def _base(server: Program) -> list[str]:
    """Unpacked packages do not lie where they were built to lie."""
    return [] if server.root == Path("/") else [f"--basedir={server.root}/usr"]


def _user() -> list[str]:
    """MariaDB runs as root only when it is told to."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _login_of(url: str) -> Login:
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in {"mysql", "mariadb"} or parts.hostname is None:
        raise ServerMissing("MariaDB: DATABASE_URL names another kind of database")
    return Login(
        parts.hostname, parts.port or 3306, unquote(parts.username or ""), unquote(parts.password or "")
    )

"""How many commits a second the database's log takes, by the number of connections. Called by `__main__`.

Each connection changes a row of its own, has the answer, and goes on: the rows are the count, and lie on one
page, as the positions of lanes do. One thread sends prepared packets for all of them, which costs less than
the statements do. (A loop inside the server would cost nothing, but does not wait: MariaDB holds back the
answer until the log is on the disk, and lets the connection's thread go on.)
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

import pymysql

from benchmarks.growth.backlog import migrated
from benchmarks.limits.results import Commits, Limits
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from tests.servers import ServerFailed

CONNECTIONS = (1, 4, 16, 64)
# The first statements of a table and the first writes of a log are their slowest.
_WARM_UP_SECONDS = 0.5
_ANSWER_SECONDS = 10
_TABLE = "CREATE TABLE committed (connection INT PRIMARY KEY, commits BIGINT NOT NULL)"
_COMMIT = "UPDATE committed SET commits = commits + 1 WHERE connection = {}"
# A packet of MySQL's protocol: three bytes of length, a number, and what it is.
_QUERY, _OK, _KIND_AT = 3, 0, 4


def run(servers: Servers, limits: Limits, connections: Sequence[int], seconds: float) -> Iterator[str]:
    """Measure each number of connections for `seconds` and add it to `limits`; yields a line about each.

    Raises `ServerFailed` when a statement does.
    """
    with migrated(servers) as database, Probe(servers.mariadb.url(database), user="root") as probe:
        probe.select(_TABLE)
        _measure(servers, database, probe, max(connections), _WARM_UP_SECONDS)
        for number in connections:
            commits = _measure(servers, database, probe, number, seconds)
            limits.commits.append(commits)
            yield f"{number:3} connections: {commits.per_second:8,.0f} commits/s"


def _measure(servers: Servers, database: str, probe: Probe, connections: int, seconds: float) -> Commits:
    probe.select("DELETE FROM committed")
    rows = ", ".join(f"({number}, 0)" for number in range(connections))
    probe.select(f"INSERT INTO committed VALUES {rows}")
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        for number in range(connections):
            # Its socket alone is used: the driver would take more time than the server does.
            opened = stack.enter_context(closing(_connect(servers, database)))
            ready.register(opened._sock, selectors.EVENT_READ, _packet(_COMMIT.format(number)))
        begun = time.monotonic()
        _commit_until(ready, begun + seconds)
        took = time.monotonic() - begun
    return Commits(connections, took, probe.number("SELECT SUM(commits) FROM committed"))


def _connect(servers: Servers, database: str) -> pymysql.Connection:
    address = {"host": "127.0.0.1", "port": servers.mariadb.port, "user": "root", "database": database}
    return pymysql.connect(**address, autocommit=True)


def _packet(sql: str) -> bytes:
    payload = bytes([_QUERY]) + sql.encode()
    return len(payload).to_bytes(3, "little") + b"\0" + payload


def _commit_until(ready: selectors.BaseSelector, stop: float) -> None:
    """Have each connection commit, one transaction after the other; all are answered at the end."""
    waiting = {key.fd for key in ready.get_map().values()}
    for key in ready.get_map().values():
        _socket(key).sendall(key.data)
    while waiting:
        answered = ready.select(_ANSWER_SECONDS)
        if not answered:
            raise ServerFailed(f"a commit was not answered within {_ANSWER_SECONDS} s")
        for key, _ in answered:
            answer = _socket(key).recv(4096)
            if len(answer) <= _KIND_AT or answer[_KIND_AT] != _OK:
                raise ServerFailed(f"a commit failed: {answer!r}")
            if time.monotonic() < stop:
                _socket(key).sendall(key.data)
            else:
                waiting.discard(key.fd)


def _socket(key: selectors.SelectorKey) -> socket.socket:
    found = key.fileobj
    if not isinstance(found, socket.socket):
        raise TypeError(f"{found!r} is no socket")
    return found

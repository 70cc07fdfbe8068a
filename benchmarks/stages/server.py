"""Asks the database about the statements of a run: how many, how long, how many rows.

Called by `runs`; `statements` makes kinds of what it says. The times are of MariaDB's performance schema:
wall time inside the server, so waiting for the disk and for other transactions is in them. The CPU time
beside them is that of the connections' threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from benchmarks.contenders import Counted, Upsertd
from benchmarks.probe import Probe
from benchmarks.servers import Servers, another_database
from benchmarks.stage import Stage
from benchmarks.stages.results import Kind
from benchmarks.stages.statements import by_kind

_OPTIONS = ("--performance-schema=ON",)
# Of the service alone: what the measurement itself asks is nobody's cost.
_FORGET_ACTORS = "DELETE FROM performance_schema.setup_actors"
_SERVICE_ONLY = "INSERT INTO performance_schema.setup_actors VALUES ('%%', %s, '%%', 'YES', 'NO')"
_TEXTS = "performance_schema.events_statements_summary_by_digest"
_EVENTS = "performance_schema.events_statements_summary_by_user_by_event_name"
_TABLES = "performance_schema.table_io_waits_summary_by_table"
_PICOSECONDS = 1e-12


class Timed(Upsertd):
    """`upsertd run` on a server that times statements.

    What it has counted is asked right before the backlog and after it: the server is asked then, too.
    """

    def __init__(
        self,
        stage: Stage,
        timing: Timing,
        settings: Mapping[str, str] | None = None,
        program: Sequence[str] | None = None,
    ) -> None:
        super().__init__(stage, settings or {}, program)
        self._timing = timing

    def counted(self) -> Counted:
        """See `Upsertd`."""
        said = super().counted()
        self._timing.look()
        return said


class Timing:
    """The figures of one server between the first `look` and the last one."""

    def __init__(self, servers: Servers) -> None:
        self._server = psutil.Process(servers.pids["database"])
        url = servers.mariadb.url("mysql")
        self._account = urlsplit(url).username or ""
        self._probe = Probe(url, user="root")
        self._before: dict[int, float] | None = None
        self.kinds: dict[str, Kind] = {}
        self.connections_cpu_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._probe.__exit__(kind, error, trace)

    def look(self) -> None:
        """Begin, or note what there is since then."""
        if self._before is None:
            for table in (_TEXTS, _EVENTS, _TABLES):
                self._probe.select(f"TRUNCATE {table}")
            self._before = self._cpu_by_thread()
            return
        before = self._before
        spent = (seconds - before.get(thread, 0.0) for thread, seconds in self._cpu_by_thread().items())
        self.connections_cpu_seconds = sum(spent)
        self.kinds = by_kind(self._texts(), self._events(), self._tables())

    def _cpu_by_thread(self) -> dict[int, float]:
        """The CPU seconds of the service's connections so far, by thread."""
        sql = "SELECT thread_os_id FROM performance_schema.threads WHERE processlist_user = %s"
        ours = {int(str(thread)) for (thread,) in self._probe.select(sql, (self._account,))}
        return {
            thread.id: thread.user_time + thread.system_time
            for thread in self._server.threads()
            if thread.id in ours
        }

    def _texts(self) -> Iterator[tuple[str, Kind]]:
        """Statements that came as text, as the server normalises it."""
        figures = "count_star, sum_timer_wait, sum_rows_examined, sum_rows_affected"
        for text, *row in self._probe.select(f"SELECT digest_text, {figures} FROM {_TEXTS}"):
            yield str(text), _kind(*row)

    def _events(self) -> Iterator[tuple[str, Kind]]:
        """What the service's account has sent, by command."""
        figures = "count_star, sum_timer_wait, sum_rows_examined, sum_rows_affected"
        sql = f"SELECT event_name, {figures} FROM {_EVENTS} WHERE user = %s"
        for command, *row in self._probe.select(sql, (self._account,)):
            yield str(command), _kind(*row)

    def _tables(self) -> Iterator[tuple[str, Kind]]:
        """What the storage engine has written, by table."""
        figures = "sum_timer_insert + sum_timer_update, 0, count_insert + count_update"
        for table, *row in self._probe.select(f"SELECT object_name, 0, {figures} FROM {_TABLES}"):
            yield str(table), _kind(*row)


def _kind(*row: object) -> Kind:
    statements, timed, examined, affected = (int(str(value)) for value in row)
    return Kind(statements, timed * _PICOSECONDS, examined, affected)


@contextmanager
def timing_servers(servers: Servers) -> Iterator[Servers]:
    """The same servers but for the database: one that times the statements of the service's account."""
    with another_database(servers, _OPTIONS) as timing:
        account = urlsplit(timing.mariadb.url("")).username
        timing.mariadb.execute(_FORGET_ACTORS)
        timing.mariadb.execute(_SERVICE_ONLY, parameters=(account,))
        yield timing

"""What processes and the database use between two moments. Called by all parts of the growth benchmarks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.growth.results import Used
from benchmarks.probe import QUESTIONS, Probe
from benchmarks.process import cpu_seconds

# Pages read from the disk because they were not in the pool, and written back; bytes of the log.
PAGES_READ, PAGES_WRITTEN = "Innodb_pages_read", "Innodb_pages_written"
LOG_BYTES = "Innodb_os_log_written"
_COUNTERS = (PAGES_READ, PAGES_WRITTEN, LOG_BYTES, "Innodb_data_read", "Innodb_data_written")
_CLEAN_PAGES = 50
_CLEAN_SECONDS = 60
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    cpu_seconds: Mapping[str, float]
    statements: int
    innodb: Mapping[str, int]


class Meter:
    """Measures from `begin` to `end`; `pids` are the processes of each part."""

    def __init__(self, probe: Probe, pids: Mapping[str, Sequence[int]]) -> None:
        self._probe = probe
        self._pids = pids
        self._begun: _Reading | None = None

    def begin(self) -> None:
        """What is used from now on counts."""
        self._begun = self._read()

    def end(self, seconds: float | None = None) -> Used:
        """What was used since `begin`; `seconds` where the work was over earlier than its tail."""
        if self._begun is None:
            raise RuntimeError("measuring has not begun")
        before, after = self._begun, self._read()
        return Used(
            seconds=after.at - before.at if seconds is None else seconds,
            cpu_seconds={part: used - before.cpu_seconds[part] for part, used in after.cpu_seconds.items()},
            statements=after.statements - before.statements,
            innodb={name: value - before.innodb[name] for name, value in after.innodb.items()},
        )

    @property
    def elapsed_seconds(self) -> float:
        """The time since `begin`."""
        if self._begun is None:
            raise RuntimeError("measuring has not begun")
        return time.monotonic() - self._begun.at

    def _read(self) -> _Reading:
        innodb = {name: value for name, value in counters(self._probe).items() if name in _COUNTERS}
        statements = self._probe.statements()[QUESTIONS]
        used = {part: sum(map(cpu_seconds, pids)) for part, pids in self._pids.items()}
        return _Reading(time.monotonic(), used, statements, innodb)


def counters(probe: Probe) -> dict[str, int]:
    """InnoDB's counters of the server so far."""
    rows = probe.select("SHOW GLOBAL STATUS LIKE 'Innodb%'")
    return {str(name): int(str(value)) for name, value in rows if str(value).isdigit()}


def write_back(probe: Probe) -> None:
    """Have all changed pages written, so that the next measurement does not pay for this one's.

    Raises `TimeoutError`.
    """
    [(_, usual)] = probe.select("SHOW GLOBAL VARIABLES LIKE 'innodb_max_dirty_pages_pct'")
    probe.select("SET GLOBAL innodb_max_dirty_pages_pct = 0")
    try:
        _wait_until_clean(probe)
    finally:
        probe.select(f"SET GLOBAL innodb_max_dirty_pages_pct = {usual}")


def _wait_until_clean(probe: Probe) -> None:
    deadline = time.monotonic() + _CLEAN_SECONDS
    while counters(probe)["Innodb_buffer_pool_pages_dirty"] > _CLEAN_PAGES:
        if time.monotonic() > deadline:
            raise TimeoutError("the database does not write its changed pages back")
        time.sleep(_POLL_SECONDS)

"""What many times the measured load would need, part by part. Pure; called by `report`.

Each need is what an event takes, times the events per second, over what one machine is trusted with. The
latter are the constants here: assumptions, printed beside the result, to be replaced by one's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil

from benchmarks.limits import counters
from benchmarks.limits.backlogs import MARKS
from benchmarks.limits.results import Limits, Worked

TIMES = 100
# How busy a core may be all day: the rest is for bursts, and for others that take over.
BUSY = 0.6
DATABASE_CORES, BROKER_CORES = 16, 8
LOG_BYTES_PER_SECOND, FILE_BYTES_PER_SECOND = 200e6, 500e6
MARK_DISK_BYTES = 4e12
REDIS_BYTES = 16e9
# Ten gigabits.
LINK_BYTES_PER_SECOND = 1.25e9
# The least MARK_RETENTION_DAYS, and the default of REDIS_TTL.
RETENTION_DAYS, TTL_SECONDS = 1, 300
_DAY_SECONDS = 86_400
_DATABASE, _REDIS = "database", "redis"
NAMES = {"client": "upsertd", _DATABASE: "the database", _REDIS: "Redis", "broker": "Kafka"}


@dataclass(frozen=True, slots=True)
class Need:
    """What one part has to give in all (`total`) where one machine of it gives `one`, in `unit`.

    `event` is what a single event takes, as a text. `kind` is the machine; the service has one database and
    one Redis in a group.
    """

    what: str
    kind: str
    event: str
    total: float
    one: float
    unit: str

    @property
    def machines(self) -> int:
        """How many of them, at least one."""
        return max(1, ceil(self.total / self.one))


def rate(limits: Limits) -> float:
    """The events per second that are asked for: `TIMES` those that were measured, to three digits or so."""
    return TIMES * round(limits.middle(limits.scenarios[0], lambda worked: worked.events_per_second), -2)


def needs(limits: Limits) -> Iterator[Need]:
    """Every need of `rate` events per second of the first scenario."""
    yield from _cores(limits)
    yield from _disks(limits)
    yield from _memory(limits)
    yield from _links(limits)


def groups(wanted: list[Need]) -> int:
    """Into how many groups the load is divided: each has one database and one Redis."""
    return max(need.machines for need in wanted if need.kind in (_DATABASE, _REDIS))


def _cores(limits: Limits) -> Iterator[Need]:
    """CPU of all parts. A process of ours and a Redis use one core."""
    cores = {"client": 1, _DATABASE: DATABASE_CORES, _REDIS: 1, "broker": BROKER_CORES}
    for part, number in cores.items():
        cpu_us = limits.middle(limits.scenarios[0], partial(Worked.cpu_us, part=part))
        total = cpu_us * rate(limits) / 1e6
        yield Need(f"CPU of {NAMES[part]}", part, f"{cpu_us:.1f} µs", total, number * BUSY, "cores")


def _disks(limits: Limits) -> Iterator[Need]:
    for what, name, one in (
        ("redo log", counters.LOG, LOG_BYTES_PER_SECOND),
        ("data files", counters.FILES, FILE_BYTES_PER_SECOND),
    ):
        yield _bytes_a_second(limits, what, _DATABASE, name, one)
    mark_bytes = limits.middle(limits.scenarios[0], lambda worked: worked.row_bytes[MARKS])
    kept = mark_bytes * rate(limits) * RETENTION_DAYS * _DAY_SECONDS
    yield Need("marks of a day", _DATABASE, f"{mark_bytes:,.0f} B", kept / 1e12, MARK_DISK_BYTES / 1e12, "TB")
    if limits.commits:
        each = limits.middle(limits.scenarios[0], partial(Worked.per_event, name=counters.COMMITS))
        most = max(commits.per_second for commits in limits.commits)
        yield Need("commits", _DATABASE, f"{each:.4f}", each * rate(limits), most, "commits/s")


def _memory(limits: Limits) -> Iterator[Need]:
    entry = limits.middle(limits.scenarios[0], lambda worked: worked.entry_bytes)
    total = entry * rate(limits) * TTL_SECONDS
    what = f"memory for {TTL_SECONDS} s"
    yield Need(what, _REDIS, f"{entry:,.0f} B", total / 1e9, REDIS_BYTES / 1e9, "GB")


def _links(limits: Limits) -> Iterator[Need]:
    one = LINK_BYTES_PER_SECOND * BUSY
    for what, kind, name in (
        ("network out of Kafka", "broker", counters.FROM_KAFKA),
        ("network into the database", _DATABASE, counters.TO_DATABASE),
        ("network into Redis", _REDIS, counters.TO_REDIS),
    ):
        yield _bytes_a_second(limits, what, kind, name, one)


def _bytes_a_second(limits: Limits, what: str, kind: str, name: str, one: float) -> Need:
    each = limits.middle(limits.scenarios[0], partial(Worked.per_event, name=name))
    return Need(what, kind, f"{each:,.0f} B", each * rate(limits) / 1e6, one / 1e6, "MB/s")

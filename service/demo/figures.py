"""What the running service says of itself: one reading of /metrics and /health/ready, and rates between two.

`watch` reads like an operator's Prometheus would, over HTTP; the views show what comes out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

from prometheus_client.parser import text_string_to_metric_families

OUTCOMES = ("applied", "stale", "duplicate", "dead")
_ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the service by /health/ready; `reason` is empty while it is ok."""

    name: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Figures:
    """One reading at `time` (seconds of some clock). `delays`: events by the upper bound of their delay."""

    time: float = 0.0
    events: Mapping[tuple[str, str], int] = field(default_factory=dict)
    delays: tuple[tuple[float, int], ...] = ()
    cache_hits: int = 0
    cache_misses: int = 0
    cache_errors: int = 0
    pool_size: int = 0
    pool_in_use: int = 0
    pool_peak: int = 0
    statements: int = 0
    lanes: int = 0
    status: str = "starting"
    parts: tuple[Part, ...] = ()

    def count(self, outcome: str, topic: str | None = None) -> int:
        """Events with this outcome, of all topics or of one."""
        return sum(n for (of, what), n in self.events.items() if what == outcome and topic in (None, of))

    @property
    def handled(self) -> int:
        """Events that have an outcome."""
        return sum(self.events.values())

    @property
    def hit_rate(self) -> float:
        """Hits among the lookups that were answered."""
        return self.cache_hits / max(1, self.cache_hits + self.cache_misses)

    @property
    def troubles(self) -> tuple[Part, ...]:
        """The parts that are not ok."""
        return tuple(part for part in self.parts if part.status != "ok")


def read_figures(port: int, time: float) -> Figures | None:
    """Ask the service on `port`; None while it does not answer. Blocks for seconds at most."""
    try:
        metrics, health = (_get(port, path) for path in ("/metrics", "/health/ready"))
        return _figures(metrics, json.loads(health), time)
    except (OSError, HTTPException, ValueError):
        return None


def quantile(share: float, older: Figures, newer: Figures) -> float | None:
    """The delay in seconds below which `share` of the events between two readings stayed; None without any.

    As exact as the histogram's buckets: within one the events are taken to lie evenly.
    """
    before = dict(older.delays)
    counts = [(bound, count - before.get(bound, 0)) for bound, count in newer.delays]
    wanted = share * counts[-1][1] if counts else 0
    if wanted <= 0:
        return None
    low = lower = 0.0
    for bound, count in counts:
        if count >= wanted:
            within = (wanted - lower) / (count - lower)
            return low if bound == float("inf") else low + (bound - low) * within
        low, lower = bound, count
    return low


def _get(port: int, path: str) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class _Samples:
    """A page of /metrics, by the names of its samples."""

    def __init__(self, page: str) -> None:
        self._by_name: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._by_name.setdefault(sample.name, []).append((sample.labels, sample.value))

    def of(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        return self._by_name.get(name, [])

    def total(self, name: str, **labels: str) -> int:
        return int(sum(value for has, value in self.of(name) if labels.items() <= has.items()))


def _figures(metrics: str, health: Mapping[str, object], time: float) -> Figures:
    samples = _Samples(metrics)
    lookups = {result: samples.total("upsertd_cache_lookups_total", result=result) for result in _RESULTS}
    return Figures(
        time,
        events={(has["entity"], has["outcome"]): int(n) for has, n in samples.of("upsertd_events_total")},
        delays=tuple(_buckets(samples.of("upsertd_event_delay_seconds_bucket"))),
        cache_hits=lookups["hit"],
        cache_misses=lookups["miss"],
        cache_errors=lookups["error"],
        pool_size=samples.total("upsertd_db_pool_size"),
        pool_in_use=samples.total("upsertd_db_pool_in_use"),
        pool_peak=samples.total("upsertd_db_pool_in_use_peak"),
        statements=samples.total("upsertd_db_statements_total"),
        lanes=samples.total("upsertd_claims_total"),
        status=str(health["status"]),
        parts=tuple(_parts(health["parts"])),
    )


_RESULTS = ("hit", "miss", "error")


def _buckets(samples: Iterable[tuple[Mapping[str, str], float]]) -> Iterable[tuple[float, int]]:
    return sorted((float(labels["le"]), int(count)) for labels, count in samples)


def _parts(parts: object) -> Iterable[Part]:
    if isinstance(parts, dict):
        for name, part in parts.items():
            yield Part(name, part["status"], part["reason"] or "")

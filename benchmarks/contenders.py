"""The two consumers that are compared, each as the process that its users run.

Called by `drain` and `paced`. upsertd runs with its default settings, its metrics and HTTP on; what it
says of itself is asked outside of what is measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from benchmarks.load import ENTITIES
from benchmarks.process import ConsumerProcess
from benchmarks.stage import Stage
from tests.servers.ports import free_port

UPSERTD, NAIVE = "upsertd", "naive"
NAMES = (UPSERTD, NAIVE)
_COUNTING_SECONDS = 10


class Counted(NamedTuple):
    """What a consumer has counted since its start."""

    applied: float
    duplicates: float
    dead: float
    cache_hits: float
    batches: float
    statements: float

    @property
    def handled(self) -> float:
        """All events."""
        return self.applied + self.duplicates + self.dead


class Contender(Protocol):
    """One of the two: its process, and what it counts (None: it does not)."""

    process: ConsumerProcess

    def counted(self) -> Counted | None: ...


def addresses(stage: Stage) -> dict[str, str]:
    """Where everything is, as the settings of `upsertd` say it; entities without a topic are left out."""
    topics = {f"KAFKA_TOPIC_{entity.upper()}": stage.topics.get(entity, "") for entity in ENTITIES["mix"]}
    return {**stage.addresses, **topics}


class Upsertd:
    """`upsertd run`, or `program run` where another way to start it is given."""

    def __init__(
        self, stage: Stage, settings: Mapping[str, str], program: Sequence[str] | None = None
    ) -> None:
        self._port = free_port()
        program = program or [str(Path(sys.executable).with_name("upsertd"))]
        own = {**addresses(stage), "HTTP_PORT": str(self._port), **settings}
        self.process = ConsumerProcess(UPSERTD, [*program, "run"], own)

    def counted(self) -> Counted:
        """Scrape `/metrics`."""
        samples = self._samples()
        return Counted(
            applied=_sum(samples, "upsertd_events_total", outcome="applied"),
            duplicates=_sum(samples, "upsertd_events_total", outcome="duplicate"),
            dead=_sum(samples, "upsertd_events_total", outcome="dead"),
            cache_hits=_sum(samples, "upsertd_cache_lookups_total", result="hit"),
            batches=_sum(samples, "upsertd_batch_seconds_count"),
            statements=_sum(samples, "upsertd_db_statements_total"),
        )

    def total(self, name: str, **labels: str) -> float:
        """Scrape one of `/metrics`, the sum over the labels that are not given."""
        return _sum(self._samples(), name, **labels)

    def _samples(self) -> Sequence[Sample]:
        url = f"http://127.0.0.1:{self._port}/metrics"
        text = httpx.get(url, timeout=10, trust_env=False).raise_for_status().text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _sum(samples: Sequence[Sample], name: str, **labels: str) -> float:
    wanted = labels.items()
    return sum(each.value for each in samples if each.name == name and wanted <= each.labels.items())


class Naive:
    """`benchmarks.naive`, which counts nothing."""

    def __init__(self, stage: Stage, settings: Mapping[str, str]) -> None:
        own = {**stage.addresses, "KAFKA_TOPICS": ",".join(stage.topics.values()), **settings}
        self.process = ConsumerProcess(NAIVE, [sys.executable, "-m", "benchmarks.naive"], own)

    def counted(self) -> None:
        """Nothing."""


def counted_at_end(consumer: Contender, events: int) -> Counted | None:
    """What a consumer has counted when it has handled this many events, or after some seconds.

    A batch is committed, and seen to be, before it is counted.
    """
    deadline = time.monotonic() + _COUNTING_SECONDS
    while (said := consumer.counted()) and said.handled < events and time.monotonic() < deadline:
        time.sleep(0.1)
    return said


def contender(name: str, stage: Stage, settings: Mapping[str, str] | None = None) -> Contender:
    """The consumer of this name, not started yet."""
    return (Upsertd if name == UPSERTD else Naive)(stage, settings or {})

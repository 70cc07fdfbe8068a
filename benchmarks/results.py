"""What was measured, as it is kept in JSON. Written by `__main__`, read by `report` and `goals`."""

from __future__ import annotations

import msgspec

from benchmarks.machine import Machine

PARTS = ("client", "database", "redis", "broker")


class Drain(msgspec.Struct, frozen=True):
    """A backlog worked off once. Times are in seconds; `copies` of the `events` are duplicates.

    `statements` is the server's count; `own_statements`, `batches` and `cache_hits` are what the consumer
    says, None where it says nothing.
    """

    scenario: str
    contender: str
    round: int
    events: int
    copies: int
    seconds: float
    cpu_seconds: dict[str, float]
    statements: int
    statements_by_kind: dict[str, int]
    peak_connections: int
    own_statements: int | None = None
    batches: int | None = None
    cache_hits: int | None = None

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    @property
    def statements_per_event(self) -> float:
        return self.statements / self.events

    def cpu_us(self, part: str) -> float:
        """CPU microseconds per event of one part."""
        return self.cpu_seconds[part] / self.events * 1e6

    @property
    def cpu_us_sum(self) -> float:
        """CPU microseconds per event of all parts."""
        return sum(map(self.cpu_us, self.cpu_seconds))


class Paced(msgspec.Struct, frozen=True):
    """The reference scenario once. Delays, from sending to the visible commit, are of originals."""

    play: str
    contender: str
    linger_ms: int | None
    messages: int
    copies: int
    seconds: float
    statements: int
    peak_connections: int
    delay_p50_ms: float
    delay_p99_ms: float
    delay_max_ms: float
    # Of the consumer alone: the measurement's own looking costs the database something here.
    client_cpu_seconds: float
    batches: int | None = None

    @property
    def statements_per_second(self) -> float:
        return self.statements / self.seconds

    @property
    def client_cpu_us(self) -> float:
        """CPU microseconds per message of the consumer."""
        return self.client_cpu_seconds / self.messages * 1e6


class Setup(msgspec.Struct, frozen=True):
    """On what, with what, and how much of it."""

    machine: Machine
    rounds: int
    naive_rounds: int
    events: int
    naive_events: int
    seed: int
    mean_event_bytes: dict[str, int]


class Results(msgspec.Struct):
    """Everything of one benchmark."""

    setup: Setup
    drains: list[Drain] = []
    paced: list[Paced] = []

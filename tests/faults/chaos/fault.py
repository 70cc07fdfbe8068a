"""The words for what can fail: which part, where, and how soon work shall go on. `faults` has the list."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage
from tests.faults.chaos.servers import Proxies, Servers


class Part(StrEnum):
    """What fails. Faults of different parts may overlap."""

    REPLICA = "replica"
    KAFKA = "kafka"
    DATABASE = "database"
    REDIS = "redis"


class Since(StrEnum):
    """What the recovery is.

    From the heal: the time until every partition moved on. Where others take over, or nothing should stop:
    the longest that any partition stood still from the beginning of the fault on.
    """

    INJECTED = "injected"
    HEALED = "healed"


@dataclass(frozen=True, slots=True)
class Goal:
    """What the recovery shall be at most; reported, never asserted."""

    since: Since
    seconds: float


BACK = Goal(Since.HEALED, 10.0)
# Kafka notices after the session timeout (6 s on this stage) that a member is gone; the others hear of it
# with their next heartbeat, and share out anew.
TAKEN_OVER = Goal(Since.INJECTED, 6.0 + 3.0)
NO_STOP = Goal(Since.INJECTED, 3.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault strikes: the stage and its servers, and which replica where it is about one."""

    servers: Servers
    stage: Stage
    number: int

    @property
    def replica(self) -> ServiceProcess:
        return self.stage.replicas[self.number]

    @property
    def proxies(self) -> Proxies:
        return self.servers.proxies[self.number]


# What comes before its `yield` breaks something, what comes after it puts it right again; how long it is held
# is the schedule's.
Strike = Callable[[Place], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault; `held_seconds` is a range."""

    name: str
    part: Part
    strike: Strike
    held_seconds: tuple[float, float]
    goal: Goal = BACK

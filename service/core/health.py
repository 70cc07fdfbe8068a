"""What the parts of the service say about themselves; answered by `/health/live` and `/health/ready`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class PartHealth:
    """One part, such as `database` or `lane orders/3`; `reason` is safe to show and empty while it is ok."""

    name: str
    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Every part that work depends on. A degraded part costs speed, a failing one stops the work."""

    parts: tuple[PartHealth, ...]

    @property
    def status(self) -> Status:
        """The worst of the parts."""
        found = {part.status for part in self.parts}
        worst_first = (Status.FAILING, Status.DEGRADED)
        return next((status for status in worst_first if status in found), Status.OK)

    @property
    def ready(self) -> bool:
        """Whether no part fails."""
        return self.status is not Status.FAILING


@dataclass(frozen=True, slots=True)
class Liveness:
    """Where the watchdog sees no progress; lanes that are paused for a named reason are not stuck."""

    stuck: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether everything can make progress."""
        return not self.stuck

"""The bodies of `/health/live`, `/health/ready` and `/control/resume`."""

from __future__ import annotations

from msgspec import Struct

from service.core.health import Liveness, Readiness


class LiveReport(Struct):
    """`status` is `ok` or `stuck`; `stuck` says where there is no progress."""

    status: str
    stuck: list[str]


class PartReport(Struct):
    """`status` is `ok`, `degraded` or `failing`; `reason` is null while it is ok."""

    status: str
    reason: str | None


class ReadyReport(Struct):
    """`status` is that of the worst part; `parts` by name."""

    status: str
    parts: dict[str, PartReport]


class ResumeReport(Struct):
    """Whether there was anything to resume: the flood guard had paused the lanes."""

    was_paused: bool


def live_report(liveness: Liveness) -> LiveReport:
    """What the watchdog says."""
    return LiveReport("ok" if liveness.live else "stuck", list(liveness.stuck))


def ready_report(readiness: Readiness) -> ReadyReport:
    """Every part by name, and why it is not ok."""
    parts = {part.name: PartReport(part.status, part.reason or None) for part in readiness.parts}
    return ReadyReport(readiness.status, parts)

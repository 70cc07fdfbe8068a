"""Keeping aiokafka's log lines readable during an outage, when it repeats some of them ten times a second.

Installed by the first client that is built. Which level and which format is decided in `telemetry`.
"""

from __future__ import annotations

import logging

SILENCE_SECONDS = 30

# A filter counts for the very logger it hangs on, not for those below it.
_LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.coordinator.assignors.roundrobin",
)


class Sparingly(logging.Filter):
    """Lets each kind of line through once in `silence_seconds`, whatever values it carries."""

    def __init__(self, silence_seconds: float) -> None:
        super().__init__()
        self._silence_seconds = silence_seconds
        self._last_seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is the first of its kind for a while."""
        kind = f"{record.name} {record.msg}"
        silent_until = self._last_seen.get(kind, float("-inf")) + self._silence_seconds
        if record.created < silent_until:
            return False
        self._last_seen[kind] = record.created
        return True


_SPARINGLY = Sparingly(SILENCE_SECONDS)


def calm_aiokafka() -> None:
    """Attach the filter; doing so again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_SPARINGLY)

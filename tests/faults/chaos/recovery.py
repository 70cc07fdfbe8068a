"""How long work stood still: from positions that were looked at again and again. Pure; called by `watch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.e2e.world import Log

# A log that had nothing to read for so long is not waited for.
IDLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the world, `at` seconds. `ends` are the offsets behind what was produced so far."""

    at: float
    positions: Mapping[Log, int]
    ends: Mapping[Log, int]


def recovery_seconds(looks: Sequence[Look], since: float) -> float | None:
    """How long after `since` the last log moved on; None: one has not yet.

    Being at the end does not count: what is dead looks like that until the next record comes. A log's clock
    starts when it has something to read: with a broker away, nothing can be produced.
    """
    after = [look for look in looks if look.at >= since]
    if not after:
        return None
    recoveries = [_of_log(log, after, since) for log in after[-1].ends]
    known = [each for each in recoveries if each is not None]
    return max(known, default=0.0) if len(known) == len(recoveries) else None


def _of_log(log: Log, looks: Sequence[Look], since: float) -> float | None:
    before = looks[0].positions.get(log, 0)
    readable = next((look.at for look in looks if look.ends.get(log, 0) > before), None)
    moved = next((look.at for look in looks if look.positions.get(log, 0) > before), None)
    if readable is None:
        return 0.0 if looks[-1].at - since >= IDLE_SECONDS else None
    if moved is None:
        return None
    # What can be read at the first look could be read before it.
    return max(0.0, moved - (since if readable == looks[0].at else readable))


def longest_standstill(looks: Sequence[Look], since: float) -> float:
    """The longest that any log stood still from `since` on, while it had something to read."""
    after = [look for look in looks if look.at >= since]
    logs = after[-1].ends if after else ()
    return max((_standstill(log, after, since) for log in logs), default=0.0)


def _standstill(log: Log, looks: Sequence[Look], since: float) -> float:
    longest, still_since, before = 0.0, since, looks[0].positions.get(log, 0)
    for look in looks:
        at = look.positions.get(log, 0)
        moved, at_end = at != before, look.ends.get(log, 0) <= at
        if moved or not at_end:
            longest = max(longest, look.at - still_since)
        # At its end it waits for the producer.
        if moved or at_end:
            still_since = look.at
        before = at
    return longest

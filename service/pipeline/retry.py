"""How long to wait before the next try: pure policy, the waiting is done elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from service.core.types import Operation

FIRST_DELAY_SECONDS = 0.1
# Work must go on within ten seconds after a dependency is back.
LONGEST_DELAY_SECONDS = 5.0


def jittered_delays() -> Iterator[float]:
    """Delays in seconds without end: doubling up to the longest, each shortened by up to a half at random.

    The jitter keeps many lanes from knocking all at once.
    """
    delay = FIRST_DELAY_SECONDS
    while True:
        yield delay * random.uniform(0.5, 1)  # noqa: S311 - no secret depends on it
        delay = min(2 * delay, LONGEST_DELAY_SECONDS)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an event that fails for now is tried again, and how long it waits before each time.

    `retries` by operation; the last of `delays_seconds` repeats.
    """

    delays_seconds: tuple[float, ...] = (60.0, 120.0, 240.0)
    retries: Mapping[Operation, int] = field(
        default_factory=lambda: {Operation.CREATE: 3, Operation.UPDATE: 3, Operation.DELETE: 2}
    )

    def wait_seconds(self, operation: Operation, failures: int) -> float | None:
        """How long to wait after so many failures (from 1); None: it is dead.

        Up to a tenth longer than configured: what failed together is not to come back together.
        """
        if failures > self.retries[operation]:
            return None
        delay = self.delays_seconds[min(failures, len(self.delays_seconds)) - 1]
        return delay * random.uniform(1, 1.1)  # noqa: S311 - no secret depends on it

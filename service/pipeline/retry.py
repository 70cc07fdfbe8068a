"""How long to wait before the next try: pure policy, the waiting is done elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterator

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

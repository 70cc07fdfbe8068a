"""A chaos run: as many acts as fit into its time, drawn from one seed. Called by `__main__`."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from tests.faults.chaos.act import PER_SECOND, Tell, Theatre, play_act
from tests.faults.chaos.results import Act, Results
from tests.faults.chaos.schedule import Scene, draw
from tests.faults.chaos.servers import REPLICAS, serving
from tests.faults.chaos.versions import versions

_ACT_SECONDS = 200.0
# What an act takes besides its scenes: to start, to drain, to be judged.
_AROUND_SECONDS = 25.0


async def run(seconds: float, seed: int, tell: Tell, logs: Path | None = None) -> Results:
    """Play for `seconds`, the servers' start included; `logs`: where those of a bad act are kept.

    Raises `ServerMissing` or `ServerFailed` when a server cannot be had.
    """
    began, began_at = time.monotonic(), datetime.now(UTC)
    acts: list[Act] = []
    # One deck for all acts: what the first leaves out, the next one plays.
    scenes, workloads = draw(seed), random.Random(seed)
    async with serving() as servers:
        theatre = Theatre(servers, began, tell, logs)
        number_of_acts = max(1, round(seconds / _ACT_SECONDS))
        for number in range(number_of_acts):
            share = (seconds - theatre.now()) / (number_of_acts - number) - _AROUND_SECONDS
            tell(f"act {number + 1} of {number_of_acts}: {REPLICAS} replicas, {PER_SECOND} records/s")
            workload_seed = workloads.randrange(2**32)
            acts.append(await play_act(theatre, _during(share, scenes), workload_seed))
        ran_on = versions(servers)
    return Results(
        seed,
        began_at.isoformat(timespec="seconds"),
        time.monotonic() - began,
        REPLICAS,
        PER_SECOND,
        tuple(acts),
        ran_on,
    )


def _during(seconds: float, scenes: Iterator[Scene]) -> Iterator[Scene]:
    """Scenes, at least one, until the time is over; it begins when the first is asked for."""
    over = time.monotonic() + seconds
    yield from islice(scenes, 1)
    while time.monotonic() < over:
        yield from islice(scenes, 1)

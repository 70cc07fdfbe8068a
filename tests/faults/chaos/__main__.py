"""`python -m tests.faults.chaos --minutes 10 --seed 7`: a chaos run with a line for every fault."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.chaos.fault import Since
from tests.faults.chaos.results import Recovery, Results, recoveries, write
from tests.faults.chaos.run import run
from tests.servers import Kafka, MariaDb, Redis, ServerFailed, ServerMissing


def main() -> int:
    """Run it; 1 when a promise was broken or a server cannot be had, 2 on wrong usage."""
    arguments = _arguments()
    for server in (Kafka, MariaDb, Redis):
        # Given servers are not ours to kill.
        os.environ.pop(server.address_variable, None)
    # A broker that is killed is no news here.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    tell = _teller()
    tell(f"seed {arguments.seed}: --seed {arguments.seed} repeats this schedule")
    try:
        results = asyncio.run(run(arguments.minutes * 60, arguments.seed, tell, arguments.logs))
    except (ServerFailed, ServerMissing) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if arguments.json is not None:
        write(results, arguments.json)
    print(summary(results))
    return 0 if results.held else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.faults.chaos", description="A chaos run.")
    parser.add_argument("--minutes", type=float, default=10, help="how long, all in all (10)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found")
    parser.add_argument(
        "--logs", type=Path, metavar="FOLDER", default=Path("build/chaos"), help="for the logs of a bad act"
    )
    return parser.parse_args()


def summary(results: Results) -> str:
    """What was found, for people."""
    counts = [f"{results.outcome(name):,} {name}" for name in ("applied", "stale", "duplicate", "dead")]
    lines = [
        f"{'fault':<28}{'times':>6}{'median':>9}{'worst':>9}  goal",
        *(
            f"{each.kind:<28}{each.count:>6}{each.median_seconds:>8.1f}s{each.worst_seconds:>8.1f}s"
            f"  {each.within} of {each.count} within {each.goal_seconds:g} s {_measured(each)}"
            for each in recoveries(results.faults)
        ),
        f"{results.produced:,} records: {', '.join(counts)}",
        f"{len(results.faults)} faults, {results.lost} lost, {results.doubled} doubled,"
        f" {len(results.violations)} violations; seed {results.seed}",
    ]
    return "\n".join(lines)


def _measured(each: Recovery) -> str:
    return "from the heal" if each.since == Since.HEALED else "of standstill"


def _teller() -> Callable[[str], None]:
    began = time.monotonic()

    def tell(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        print(f"{minutes:3d}:{seconds:02d}  {line}", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())

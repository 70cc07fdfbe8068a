"""`python -m tests.faults.failpoints`: the failpoint matrix for people, on servers of its own.

Prints its seed, which repeats the choice of cases, a line for each fault, and what came of it. Exit 0 only if
every failpoint was reached and every invariant held.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.faults.failpoints.cases import Case, all_pairs, each_step
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.matrix import run
from tests.faults.failpoints.plan import Failpoint
from tests.faults.failpoints.summary import Summary
from tests.planted.bugs import BUGS


def main() -> int:
    """Run what was asked for; 0 when it held, 1 when it did not, 2 on wrong usage."""
    asked = _arguments()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    cases = _chosen(asked, seed)
    print(f"seed {seed}: {len(cases)} failpoints", flush=True)
    began = time.monotonic()

    def tell(failpoint: Failpoint) -> None:
        seconds = time.monotonic() - began
        size = f", {failpoint.records} records or more" if failpoint.records else ""
        print(f"{seconds:7.1f} s  {failpoint.kind.value} {failpoint.step_name}{size}", flush=True)

    summary = run(seed=seed, seconds=asked.seconds, cases=cases, tell=tell, bug=asked.bug)
    print("\n".join(_lines(summary)))
    if asked.json is not None:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
    return 0 if summary.held else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.faults.failpoints", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a run (default: any)")
    parser.add_argument("--seconds", type=float, help="begin nothing new after so long (default: all of it)")
    parser.add_argument("--short", action="store_true", help="each step with a crash and one error alone")
    parser.add_argument("--step", default="", help="only steps whose name has this in it, such as 'retry'")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), help="this kind of fault alone")
    parser.add_argument("--bug", choices=[bug.name for bug in BUGS], metavar="BUG", help="plant this one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there")
    return parser.parse_args()


def _chosen(asked: argparse.Namespace, seed: int) -> list[Case]:
    cases = each_step(seed) if asked.short else all_pairs(seed)
    return [case for case in cases if asked.step in case.step_name and asked.kind in (None, case.kind)]


def _lines(summary: Summary) -> Sequence[str]:
    counts = summary.counts
    return [
        f"{len(summary.injected)} of {summary.planned} failpoints reached in {summary.seconds:.0f} s",
        f"{counts.produced} records produced: {counts.applied} applied, {counts.stale} stale, "
        f"{counts.duplicate} duplicates, {counts.dead} dead letters; {counts.lost} lost, "
        f"{counts.doubled} doubled",
        *(
            f"  {kind}: {number} times, got over after {middle:.1f} s, {longest:.1f} s at most"
            for kind, (number, middle, longest) in summary.recovery_by_kind.items()
        ),
        *(f"VIOLATED {line}" for line in summary.violations),
        "every invariant held" if summary.held else "NOT held",
    ]


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.faults.simulation`: play histories, show one, or plant bugs; 1 when something is wrong."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.faults.simulation.journal import Journal
from tests.faults.simulation.run import Summary, replay, run

PROGRESS_SECONDS = 5.0


def main() -> int:
    options = _options()
    if options.seed is not None:
        return _show(options.seed)
    if options.planted:
        return _hunt_all(options.histories or 200, options.first_seed)
    seconds = options.minutes and options.minutes * 60
    histories = options.histories or (None if seconds else 1000)
    summary = run(histories, seconds, options.first_seed, on_history=_Progress())
    print(told(summary))
    if options.json is not None:
        options.json.write_bytes(msgspec.json.encode(summary))
    for violation in summary.violations[:1]:
        print(f"\nthe first of them, seed {violation.seed}:")
        _show(violation.seed)
    return 1 if summary.violations else 0


def told(summary: Summary) -> str:
    """A summary for people."""
    lines = [
        f"{summary.histories} histories in {summary.seconds:.1f} s,"
        f" {summary.histories_per_second:.0f} a second, from seed {summary.first_seed}",
        f"{summary.records} records, {summary.calls} calls to servers, {summary.faults.total()} faults,"
        f" {summary.crashes.total()} of them at a chosen call",
    ]
    for title, counts in (
        ("faults", summary.faults),
        ("members struck", summary.crashes),
        ("outcomes", summary.outcomes),
        ("claims", summary.claims),
        ("known weaknesses met", summary.known),
    ):
        lines.append(f"\n{title}")
        lines += _table(counts)
    lines.append(f"\n{len(summary.violations)} violations")
    lines += [f"  seed {each.seed}: {each.what}" for each in summary.violations[:20]]
    return "\n".join(lines)


def _table(counts: Counter[str]) -> list[str]:
    return [f"  {number:>8} {name}" for name, number in counts.most_common()] or ["         none"]


def _show(seed: int) -> int:
    journal = replay(seed)
    print("\n".join(journal.lines))
    return 1 if journal.violations else 0


def _hunt_all(histories: int, first_seed: int) -> int:
    """Each planted bug, and how many histories see it; 1 when one is never seen."""
    from tests.faults.simulation.plants import BUGS, hunt  # the service is only patched where it is asked for

    missed = 0
    for bug in BUGS:
        found = hunt(bug, histories, first_seed)
        missed += not found.times
        print(f"{found.times:>6} of {histories}  {bug.name:32} {found.what[:80]}", flush=True)
    print(f"\n{len(BUGS) - missed} of {len(BUGS)} planted bugs were found")
    return 1 if missed else 0


class _Progress:
    """Says now and then how far a run has come."""

    def __init__(self) -> None:
        self._said_at = time.perf_counter()
        self._played = self._violations = 0

    def __call__(self, seed: int, journal: Journal) -> None:
        self._played += 1
        self._violations += bool(journal.violations)
        if time.perf_counter() - self._said_at >= PROGRESS_SECONDS:
            self._said_at = time.perf_counter()
            print(f"{self._played} histories, {self._violations} violations", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.simulation", description=__doc__)
    parser.add_argument("--histories", type=int, help="so many (1000, unless --minutes is given)")
    parser.add_argument("--minutes", type=float, help="for so long")
    parser.add_argument("--first-seed", type=int, default=1, help="the seeds go on from here")
    parser.add_argument("--seed", type=int, help="show this one history, line by line")
    parser.add_argument(
        "--planted", action="store_true", help="plant bugs; in how many histories are they seen"
    )
    parser.add_argument("--json", type=Path, help="write the summary to this file, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

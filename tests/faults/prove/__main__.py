"""`python -m tests.faults.prove --minutes 10`: try to break every promise, and write what came of it."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.chaos.results import Results
from tests.faults.failpoints.summary import Summary as Failpoints
from tests.faults.prove import page, parts, report
from tests.faults.prove.parts import CHECKOUT, Command, Tell
from tests.faults.prove.report import Found, Part, Planted, Report, Simulated

# Shares of the time; planted bugs take what they take, chaos all that is left.
_SIMULATION, _FAILPOINTS = 0.12, 0.2
_LEAST_CHAOS_SECONDS = 60.0


def main() -> int:
    """Run the proof; 0 only if everything held, 2 on wrong usage."""
    arguments = _arguments()
    tell = _teller()
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)
    minutes, seed = arguments.minutes, arguments.seed
    repeat = f"make prove MINUTES={minutes:g} SEED={seed}"
    try:
        proof = asyncio.run(prove(_commands(minutes * 60, seed, folder), seed, repeat, tell))
    except KeyboardInterrupt:
        return 130
    report.write(proof, folder / "report.json")
    page.write(proof, folder / "index.html")
    tell(f"{'held' if proof.held else 'BROKEN'}: {folder / 'index.html'}")
    return 0 if proof.held else 1


async def prove(commands: Iterable[Command], seed: int, repeat: str, tell: Tell) -> Report:
    """Run one part after the other: two at a time would disturb what the last one measures."""
    began, begun = datetime.now(UTC), time.monotonic()
    went: list[Part] = []
    found: list[Found | None] = []
    for command in commands:
        part, its = await parts.run(command, tell)
        went.append(part)
        found.append(its)
        tell(f"  {part.name} {'held' if part.held else 'BROKE'}, {part.seconds:.0f} s {part.problem or ''}")
    return Report(
        began.isoformat(timespec="seconds"),
        time.monotonic() - begun,
        seed,
        repeat,
        tuple(went),
        next((each for each in found if isinstance(each, Simulated)), None),
        next((each for each in found if isinstance(each, Failpoints)), None),
        next((each for each in found if isinstance(each, Planted)), None),
        next((each for each in found if isinstance(each, Results)), None),
    )


def _commands(seconds: float, seed: int, folder: Path) -> Iterator[Command]:
    over = time.monotonic() + seconds
    yield parts.simulation(seconds * _SIMULATION, seed, folder)
    yield parts.planted(folder)
    yield parts.failpoints(seconds * _FAILPOINTS, seed, folder)
    yield parts.chaos(max(_LEAST_CHAOS_SECONDS, over - time.monotonic()), seed, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.faults.prove", description="The proof.")
    parser.add_argument("--minutes", type=float, default=10, help="how long, all in all (10)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", default=CHECKOUT / "build" / "proof", help="for the report"
    )
    return parser.parse_args()


def _teller() -> Tell:
    begun = time.monotonic()

    def tell(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - begun), 60)
        print(f"{minutes:3d}:{seconds:02d}  {line}", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())

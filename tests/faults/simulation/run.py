"""Many histories one after the other, and what they add up to. For the command line, CI and the report.

`run` stops at a number of histories or when the time is up; each seed is a history of its own, so a run is
the same wherever and however often it is started.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import count, islice

from tests.faults.simulation.faults import FAULTS
from tests.faults.simulation.history import play
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.quiet import quiet


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise; `python -m tests.faults.simulation --seed SEED` shows how it came to it."""

    seed: int
    what: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has seen.

    `faults` by kind, `crashes` by the call at which a member died or froze and whether its effect had
    happened, `outcomes` of records (taken anew after a restore counts anew), `claims` by why they started
    where they started, `known` weaknesses that are counted instead of blamed.
    """

    first_seed: int
    histories: int = 0
    seconds: float = 0.0
    records: int = 0
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    claims: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    violations: tuple[Violation, ...] = ()

    @property
    def histories_per_second(self) -> float:
        return self.histories / self.seconds if self.seconds else 0.0


def run(
    histories: int | None = None,
    seconds: float | None = None,
    first_seed: int = 1,
    *,
    among: Collection[str] = FAULTS,
    on_history: Callable[[int, Journal], None] = lambda seed, journal: None,
    stop: Callable[[], bool] = lambda: False,
) -> Summary:
    """Play the histories from `first_seed` on, so many or for so long; `on_history` hears of each.

    `among` are the kinds of faults that may happen; after a history that makes `stop` true there is no
    other. Not from inside an event loop.
    """
    total = Summary(first_seed)
    begun = time.perf_counter()
    played = 0
    records = calls = 0
    violations: list[Violation] = []
    with quiet() as stage:
        for seed in _seeds(first_seed, histories, seconds, begun):
            journal = play(seed, stage, among=among)
            on_history(seed, journal)
            played += 1
            records += journal.records
            calls += journal.calls
            _add(total, journal)
            violations += [Violation(seed, what) for what in journal.violations[:1]]
            if stop():
                break
    return Summary(
        first_seed,
        played,
        time.perf_counter() - begun,
        records,
        calls,
        total.faults,
        total.crashes,
        total.outcomes,
        total.claims,
        total.known,
        tuple(violations),
    )


def replay(seed: int) -> Journal:
    """The history of one seed with all its lines."""
    with quiet() as stage:
        return play(seed, stage, is_read=True)


def _seeds(first: int, histories: int | None, seconds: float | None, begun: float) -> Iterator[int]:
    """Without either bound there is no end."""
    for seed in islice(count(first), histories):
        if seconds is not None and time.perf_counter() - begun >= seconds:
            return
        yield seed


def _add(total: Summary, journal: Journal) -> None:
    total.faults.update(journal.faults)
    total.crashes.update(journal.crashes)
    total.outcomes.update(journal.outcomes)
    total.claims.update(journal.claims)
    total.known.update(journal.known)

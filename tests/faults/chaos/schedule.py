"""What fails when, drawn from a seed: the same seed, the same schedule.

Pure; `run` plays it. A scene is one fault, or two or three of different parts at once; every kind comes
once before any comes again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from tests.faults.chaos.fault import Kind
from tests.faults.chaos.faults import KINDS
from tests.faults.chaos.servers import REPLICAS

_OVERLAPPING = 0.2  # of the scenes
_PAUSE_SECONDS = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault: when after its scene began, for how long, and at which replica where it is about one."""

    kind: Kind
    after_seconds: float
    held_seconds: float
    replica: int


@dataclass(frozen=True, slots=True)
class Scene:
    """Faults that overlap, or a single one, and how long it is quiet afterwards."""

    number: int
    faults: tuple[Planned, ...]
    pause_seconds: float


def draw(seed: int, kinds: Sequence[Kind] = KINDS) -> Iterator[Scene]:
    """Scenes without end."""
    rng = random.Random(seed)
    alone, together = _deck(rng, kinds), _deck(rng, kinds)
    for number in count():
        drawn = _of_different_parts(rng, together) if rng.random() < _OVERLAPPING else [next(alone)]
        yield Scene(number, tuple(_planned(rng, drawn)), rng.uniform(*_PAUSE_SECONDS))


def _deck(rng: random.Random, kinds: Sequence[Kind]) -> Iterator[Kind]:
    while True:
        yield from rng.sample(kinds, len(kinds))


def _of_different_parts(rng: random.Random, deck: Iterator[Kind]) -> list[Kind]:
    drawn = [next(deck)]
    wanted = rng.choice((2, 2, 3))
    while len(drawn) < wanted:
        kind = next(deck)
        if kind.part not in {one.part for one in drawn}:
            drawn.append(kind)
    return drawn


def _planned(rng: random.Random, drawn: Sequence[Kind]) -> Iterator[Planned]:
    """The first fault strikes at once, each other one while it lasts, or shortly after."""
    longest = 0.0
    for kind in drawn:
        held_seconds = rng.uniform(*kind.held_seconds)
        after_seconds = rng.uniform(0, min(longest, 3.0))
        longest = max(longest, after_seconds + held_seconds)
        yield Planned(kind, after_seconds, held_seconds, rng.randrange(REPLICAS))

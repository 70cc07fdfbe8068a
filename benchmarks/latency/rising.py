"""Latency under rising load: each rate for some seconds, until one is more than the service works off.

Called by `__main__`. Each round is played on a stage of its own and ends with its saturated step, whose
backlog is worked off first: what it did is checked, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.latency.results import Delays, Rising, Step
from benchmarks.live.playing import Live, Played, Used, live, steady
from benchmarks.live.sight import Seen, Sight
from benchmarks.live.traffic import RECORDS, Traffic
from benchmarks.servers import Servers

RATES = (50, 100, 300, 1_000, 3_000, 6_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000)
# Further behind than this, the rest of a step says nothing new.
_GIVE_UP_SECONDS = 3.0
# A step of a low rate is longer, so that a percentile is one; but not without end.
_LEAST_EVENTS, _LONGER_TIMES = 1_000, 3
# A step of a high rate is shorter: its events are made beforehand.
_MOST_EVENTS = 100_000
# Delays have grown when the last third of a step takes this many times what its first third took.
_GROWN_TIMES = 3
_GROWN_LEAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """Which rates, each for about how long; `records` are changed in turn."""

    rates: Sequence[float]
    seconds: float
    rounds: int
    seed: int
    copied_share: float
    records: int = RECORDS


def run(servers: Servers, plan: Plan, rising: Rising) -> Iterator[Step]:
    """Play all rounds and add each step to `rising` as soon as it is there."""
    for number in range(1, plan.rounds + 1):
        traffic = Traffic(plan.seed, copied_share=plan.copied_share, records=plan.records)
        with live(servers, traffic) as playing:
            for step in _round(playing, plan, number):
                rising.steps.append(step)
                yield step


def _round(playing: Live, plan: Plan, number: int) -> Iterator[Step]:
    for rate in plan.rates:
        step = play_step(playing, rate, plan.seconds, number)
        yield step
        if step.is_saturated:
            return


def play_step(playing: Live, per_second: float, seconds: float, number: int) -> Step:
    """Offer `per_second` events for about `seconds`, in round `number`, and wait until all are visible."""
    schedule = list(steady(playing.traffic, per_second, _events(per_second * seconds)))
    watch = _Watch(playing.sight)
    before = playing.used()
    played = playing.play(schedule, watch.look, look_seconds(per_second))
    return _step(number, per_second, played, watch, playing.used().since(before))


def _events(wanted: float) -> int:
    """How many of them a step has."""
    return round(min(max(wanted, min(_LEAST_EVENTS, _LONGER_TIMES * wanted)), _MOST_EVENTS))


def look_seconds(per_second: float) -> float:
    """How often to look at the database: often where delays are short, seldom where it has work to do."""
    return 0.001 if per_second <= 500 else 0.003


def grew(seen: Sequence[Seen]) -> bool:
    """Whether delays grew from the first third of what was due to the last one."""
    delays = [each.delay_seconds for each in sorted(seen)]
    third = len(delays) // 3
    if not third:
        return False
    early, late = median(delays[:third]), median(delays[-third:])
    return late > max(_GROWN_TIMES * early, _GROWN_LEAST_SECONDS)


@dataclass(slots=True)
class _Watch:
    """Collects what is seen, and gives up on a service that is far behind."""

    sight: Sight
    seen: list[Seen] = field(default_factory=list)
    stopped: bool = False

    def look(self, seen: Sequence[Seen]) -> bool:
        """Whether to give up."""
        self.seen += seen
        self.stopped |= self.sight.waited_seconds() > _GIVE_UP_SECONDS
        return self.stopped


def _step(number: int, per_second: float, played: Played, watch: _Watch, used: Used) -> Step:
    delays = Delays.of(each.delay_seconds for each in watch.seen)
    if delays is None:
        raise ValueError("a step has two originals at least")
    seconds = played.events / per_second
    visible = max(each.due + each.delay_seconds for each in watch.seen)
    return Step(
        round=number,
        per_second=per_second,
        seconds=seconds,
        events=played.events,
        delays=delays,
        catch_up_seconds=max(0.0, visible - played.begun - seconds),
        late_ms=played.late_seconds * 1000,
        stopped=watch.stopped,
        grew=grew(watch.seen),
        cpu_us={part: used_seconds / played.events * 1e6 for part, used_seconds in used.cpu_seconds.items()},
        statements=used.statements,
        batches=used.batches,
        looks=used.looks,
    )

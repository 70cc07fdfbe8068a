"""Quiet traffic with bursts of thousands: how long they take, and what they do to the events around them.

Called by `__main__`. A burst is due at one moment, in the middle of its share of quiet time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median

from benchmarks.latency.results import Burst, Delays, Moment
from benchmarks.live.playing import Live, Played
from benchmarks.live.sight import Seen
from benchmarks.live.traffic import Event

SIZES = (1_000, 5_000, 20_000)
QUIET_SECONDS = 5.0
QUIET_PER_SECOND = 50.0
# The delays over time are kept for slices of this length.
_SLICE_SECONDS = 0.2
_LOOK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Plan:
    """Bursts of these sizes, each after `quiet_seconds` of quiet traffic and before as much again."""

    sizes: Sequence[int]
    quiet_seconds: float
    quiet_per_second: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return 2 * self.quiet_seconds * len(self.sizes)

    @property
    def moments(self) -> list[float]:
        """When the bursts are due, in seconds after the beginning."""
        return [self.quiet_seconds * (2 * number + 1) for number in range(len(self.sizes))]

    def due(self) -> Iterator[float]:
        """When each event is due, in order."""
        quiet = round(self.seconds * self.quiet_per_second)
        # Half an interval beside the bursts, so that an event's moment tells what it belongs to.
        moments = [(number + 0.5) / self.quiet_per_second for number in range(quiet)]
        for moment, size in zip(self.moments, self.sizes, strict=True):
            moments += [moment] * size
        return iter(sorted(moments))


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen: each burst, the delays over time, the worst lateness of the sender in ms."""

    bursts: list[Burst]
    moments: list[Moment]
    late_ms: float


def play_bursts(playing: Live, plan: Plan) -> Found:
    """Play the whole plan."""
    # A list: thousands of events that are due at once are not to wait for being made.
    schedule: list[tuple[float, Event]] = list(zip(plan.due(), playing.traffic, strict=False))
    watch = _Watch()
    played = playing.play(schedule, watch.look, _LOOK_SECONDS)
    return found(plan, played, watch.seen)


def found(plan: Plan, played: Played, seen: Sequence[Seen]) -> Found:
    """Sort what was seen into bursts and what lies around them."""
    relative = sorted(each._replace(due=each.due - played.begun) for each in seen)
    bursts = [
        _burst(size, at, plan.quiet_seconds, relative)
        for size, at in zip(plan.sizes, plan.moments, strict=True)
    ]
    return Found(bursts, list(_slices(relative)), played.late_seconds * 1000)


@dataclass(slots=True)
class _Watch:
    """Collects what is seen; never gives up."""

    seen: list[Seen] = field(default_factory=list)

    def look(self, seen: Sequence[Seen]) -> bool:
        """Go on."""
        self.seen += seen
        return False


def _burst(size: int, at: float, quiet_seconds: float, seen: Sequence[Seen]) -> Burst:
    burst = [each for each in seen if _is_at(each, at)]
    inside = _delays(burst)
    if inside is None:
        raise ValueError("a burst has two originals at least")
    over = max(each.due + each.delay_seconds for each in burst)
    quiet = [each for each in seen if abs(each.due - at) < quiet_seconds and not _is_at(each, at)]
    before = [each for each in quiet if each.due + each.delay_seconds < at]
    after = [each for each in quiet if each.due > over]
    beside = set(quiet) - set(before) - set(after)
    return Burst(
        size=size,
        at_seconds=at,
        catch_up_seconds=over - at,
        inside=inside,
        before=_delays(before),
        beside=_delays(beside),
        after=_delays(after),
    )


def _delays(seen: Iterable[Seen]) -> Delays | None:
    return Delays.of(each.delay_seconds for each in seen)


def _is_at(seen: Seen, moment: float) -> bool:
    return abs(seen.due - moment) < 1e-6


def _slices(seen: Sequence[Seen]) -> Iterator[Moment]:
    for number, some in groupby(seen, key=lambda each: int(each.due / _SLICE_SECONDS)):
        delays_ms = [each.delay_seconds * 1000 for each in some]
        yield Moment(round(number * _SLICE_SECONDS, 3), median(delays_ms), max(delays_ms))

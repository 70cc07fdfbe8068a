"""Flat or not: the slope of each series with its spread. Pure; called by `__main__`, `report` and `picture`.

The first part of a soak is left out: caches fill up there. The rest is cut into blocks, whose medians hush
the noise between samples that are close together. The slope is Theil and Sen's, the median of the slopes
of all pairs of blocks, and its interval the one of Sen (1968), by Kendall's variance: 99 times in a hundred
the true slope lies in it, as long as one block's noise says nothing about the next one's. A series grows
when that interval lies above zero *and* it grew by more than nothing to speak of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import sqrt
from statistics import median
from typing import NamedTuple

from benchmarks.soak.results import Sample

WARM_UP_SHARE = 0.25
_BLOCKS = 24
_LEAST_BLOCKS = 12
# Of a normal distribution: 99 in a hundred lie within this many standard deviations. Seven series are looked
# at, and one false alarm in thirty soaks is enough.
_REACH = 2.576


class Point(NamedTuple):
    """A value at a moment, in seconds."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Series:
    """What is looked at: its value in a sample (None: none), and the growth in a soak that is nothing.

    `share` is that growth as a share of the median, `least` in the unit of the value; the larger counts.
    """

    name: str
    unit: str
    value: Callable[[Sample], float | None]
    share: float
    least: float

    def points(self, samples: Sequence[Sample]) -> list[Point]:
        """Every sample that has a value."""
        found = ((sample.at_seconds, self.value(sample)) for sample in samples)
        return [Point(at, value) for at, value in found if value is not None]


SERIES = (
    Series("memory", "MB", lambda sample: sample.memory_mb, share=0.02, least=1),
    Series("connections", "", lambda sample: sample.connections, share=0, least=0.5),
    Series("open files", "", lambda sample: sample.open_files, share=0, least=0.5),
    Series("threads", "", lambda sample: sample.threads, share=0, least=0.5),
    Series("lag", "events", lambda sample: sample.lag, share=0.5, least=20),
    Series("delay p99", "ms", lambda sample: sample.delay_p99_ms, share=0.5, least=5),
    Series("client CPU", "µs/event", lambda sample: sample.cpu_us_per_event, share=0.15, least=5),
)


class Slope(NamedTuple):
    """Growth per second: its middle, and the ends of its interval."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One series: its median behind the warm-up, its slope, whether it grows. None: too few samples."""

    series: Series
    median: float
    seconds: float
    slope: Slope | None

    @property
    def grows(self) -> bool:
        """More than chance and more than nothing."""
        if self.slope is None:
            return False
        nothing = max(self.series.share * self.median, self.series.least)
        return self.slope.low > 0 and self.slope.middle * self.seconds > nothing

    @property
    def verdict(self) -> str:
        """One word, or three."""
        if self.slope is None:
            return "too short to say"
        return "GROWS" if self.grows else "flat"


def findings(samples: Sequence[Sample]) -> list[Finding]:
    """What became of every series."""
    return [_finding(series, behind_warm_up(samples)) for series in SERIES]


def behind_warm_up(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples that count."""
    return samples[round(len(samples) * WARM_UP_SHARE) :]


def slope(points: Sequence[Point]) -> Slope | None:
    """Theil and Sen's slope of the medians of blocks; None for fewer than twelve points."""
    blocks = _blocks(points)
    number = len(blocks)
    if number < _LEAST_BLOCKS:
        return None
    slopes = sorted((b.value - a.value) / (b.at - a.at) for a, b in combinations(blocks, 2))
    reach = _REACH * sqrt(number * (number - 1) * (2 * number + 5) / 18)
    low = int((len(slopes) - reach) / 2)
    return Slope(median(slopes), slopes[low], slopes[-1 - low])


def _blocks(points: Sequence[Point]) -> list[Point]:
    """The medians of consecutive points, in at most 24 blocks of about the same size."""
    number = min(_BLOCKS, len(points))
    ends = [round(len(points) * end / number) for end in range(number + 1)] if number else []
    blocks = [points[begin:end] for begin, end in pairwise(ends)]
    return [Point(median(p.at for p in block), median(p.value for p in block)) for block in blocks]


def _finding(series: Series, samples: Sequence[Sample]) -> Finding:
    points = series.points(samples)
    if not points:
        return Finding(series, 0, 0, None)
    seconds = points[-1].at - points[0].at
    return Finding(series, median(point.value for point in points), seconds, slope(points))

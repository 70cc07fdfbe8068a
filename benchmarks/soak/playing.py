"""The soak itself: a steady load with copies and hostile records, and a sample of the service now and then.

Called by `__main__`. Nothing of what is seen is kept but the samples, so it runs as long as anybody wants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

import psutil

from benchmarks.live.playing import Live, steady
from benchmarks.live.sight import Seen
from benchmarks.process import cpu_seconds
from benchmarks.soak.results import Sample

_LOOK_SECONDS = 0.01
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Plan:
    """How many events, how fast, and how often to take a sample."""

    seconds: float
    per_second: float
    sample_seconds: float

    @property
    def events(self) -> int:
        """All of them."""
        return round(self.seconds * self.per_second)


def play(live: Live, plan: Plan, on_sample: Callable[[Sample], None]) -> None:
    """Play the whole soak; `on_sample` hears of each sample at once."""
    watch = _Watch(live, plan.sample_seconds, on_sample)
    live.play(steady(live.traffic, plan.per_second, plan.events), watch.look, _LOOK_SECONDS)


class _Watch:
    """Takes a sample whenever it is time."""

    def __init__(self, live: Live, sample_seconds: float, on_sample: Callable[[Sample], None]) -> None:
        self._live = live
        self._sample_seconds = sample_seconds
        self._on_sample = on_sample
        self._process = psutil.Process(live.consumer.process.pid)
        self._begun = self._last = perf_counter()
        self._cpu_seconds, self._sent = self._used()
        self._delays: list[float] = []

    def look(self, seen: Sequence[Seen]) -> bool:
        """Go on, always."""
        self._delays += [each.delay_seconds * 1000 for each in seen]
        if perf_counter() - self._last >= self._sample_seconds:
            # Kept in step: a sample that takes long does not move all others.
            self._last += self._sample_seconds
            self._on_sample(self._sample())
        return False

    def _sample(self) -> Sample:
        cpu_before, sent_before = self._cpu_seconds, self._sent
        self._cpu_seconds, self._sent = self._used()
        delays, self._delays = self._delays, []
        return Sample(
            at_seconds=round(perf_counter() - self._begun, 3),
            memory_mb=self._process.memory_info().rss / _MEGABYTE,
            connections=self._live.probe.connections(),
            open_files=self._process.num_fds(),
            threads=self._process.num_threads(),
            lag=self._live.sight.pending,
            cpu_us_per_event=(self._cpu_seconds - cpu_before) / max(1, self._sent - sent_before) * 1e6,
            delay_p99_ms=quantiles(delays, n=100, method="inclusive")[98] if len(delays) > 1 else None,
        )

    def _used(self) -> tuple[float, int]:
        return cpu_seconds(self._process.pid), self._live.sight.sent

"""A histogram that takes the values of a whole batch at once.

prometheus_client's own walks its buckets in Python for every value: with hundreds of events a batch that
is a noticeable share of the whole work.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class BatchHistogram(Collector):
    """A histogram without labels; `buckets` are upper bounds, ascending, without the infinite one."""

    def __init__(
        self, name: str, documentation: str, *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(buckets)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe_all(self, values: Iterable[float]) -> None:
        """Count `values`."""
        ordered = sorted(values)
        self._sum += sum(ordered)
        # Sorting takes less than a look-up for each value; a value on a bound belongs below it.
        ends = [*(bisect_right(ordered, bound) for bound in self._bounds), len(ordered)]
        for bucket, (begin, end) in enumerate(pairwise((0, *ends))):
            self._counts[bucket] += end - begin

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        bounds = (*map(floatToGoString, self._bounds), "+Inf")
        buckets = list(zip(bounds, map(float, accumulate(self._counts)), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)

"""Figures from the service's own pages, and the delays between two readings."""

from __future__ import annotations

import pytest

from service.core.types import Outcome
from service.demo import figures
from service.demo.figures import Figures, quantile
from service.telemetry.metrics import Metrics

_READY = {"status": "degraded", "parts": {"redis": {"status": "degraded", "reason": "away"}}}


def test_figures_are_read_from_the_pages_of_the_service() -> None:
    """The names of the metrics are those that the service gives them."""
    metrics = Metrics("1", ["orders"])
    metrics.events.labels("orders", Outcome.STALE).inc(3)
    metrics.cache_lookups.labels("hit").inc(1)
    metrics.cache_lookups.labels("miss").inc(3)
    metrics.db_pool_size.set(5)
    metrics.db_statements.inc(7)
    metrics.claims.labels("orders", "0", "new").inc()
    metrics.event_delay.observe_all([0.3])
    found = figures._figures(metrics.text().decode(), _READY, 1.5)
    assert (found.time, found.count("stale"), found.count("stale", "customers")) == (1.5, 3, 0)
    assert (found.hit_rate, found.pool_size, found.statements, found.lanes) == (0.25, 5, 7, 1)
    assert quantile(0.5, Figures(), found) == pytest.approx(0.35, abs=0.15)
    assert [part.reason for part in found.troubles] == ["away"]


def test_nobody_there_is_no_reading() -> None:
    """A service that does not answer is not a failure of the demo's."""
    assert figures.read_figures(1, 0.0) is None


@pytest.mark.parametrize(
    ("share", "delay"), [pytest.param(0.5, 0.1, id="median"), pytest.param(0.75, 0.55, id="upper")]
)
def test_a_quantile_lies_within_its_bucket(share: float, delay: float) -> None:
    """Events of a bucket are taken to lie evenly between its bounds."""
    newer = Figures(delays=((0.1, 50), (1.0, 100), (float("inf"), 100)))
    assert quantile(share, Figures(), newer) == pytest.approx(delay)


def test_a_quantile_counts_only_what_came_between_the_readings() -> None:
    """What was slow before does not count any more."""
    older = Figures(delays=((0.1, 0), (1.0, 90), (float("inf"), 90)))
    newer = Figures(delays=((0.1, 10), (1.0, 100), (float("inf"), 100)))
    assert quantile(1.0, older, newer) == pytest.approx(0.1)


def test_no_events_have_no_quantile() -> None:
    """A pause shows a dash, not a zero."""
    delays = ((0.1, 5), (float("inf"), 5))
    assert quantile(0.5, Figures(delays=delays), Figures(delays=delays)) is None


def test_a_delay_beyond_the_last_bound_is_that_bound() -> None:
    """More than the histogram knows is not made up."""
    newer = Figures(delays=((0.1, 0), (60.0, 0), (float("inf"), 4)))
    assert quantile(0.5, Figures(), newer) == 60.0

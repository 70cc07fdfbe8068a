"""Every part fails in every way: the service pauses what it must, says so, and goes on by itself."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping

import pytest

from tests.faults.outages.theatre import Servers
from tests.faults.outages.tours import TOURS, VARIANTS, play_all
from tests.faults.outages.watching import Report
from tests.faults.side_by_side import wanted
from tests.servers import Kafka, MariaDb, Redis

_ALL = os.environ.get("OUTAGES") == "all"
_OUTAGES = [each.name for tour in TOURS for each in tour.outages if _ALL or each.name not in VARIANTS]
_FAREWELLS = [tour.farewell.name for tour in TOURS if tour.farewell is not None]
_ENDS = [tour.name for tour in TOURS]


@pytest.fixture(scope="module")
def reports(
    request: pytest.FixtureRequest, kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes
) -> Mapping[str, Report]:
    """What was seen of each outage that some test of this run is about; they take place side by side."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    return play_all(Servers(kafka, mariadb, redis_server, schema), wanted(request), seed)


@pytest.mark.parametrize("name", _OUTAGES)
def test_an_outage_is_shown_and_survived(reports: Mapping[str, Report], name: str) -> None:
    """Readiness names it within 15 s, a metric alarms, the process stays live; afterwards it goes on."""
    report = reports.get(name)
    assert report is not None, "not reached: see the end of its tour"
    print(report)
    assert not report.troubles


@pytest.mark.parametrize("name", _FAREWELLS)
def test_a_stop_during_an_outage_ends_in_time(reports: Mapping[str, Report], name: str) -> None:
    """Health answers until the drain is over; what could not be finished is named, and exit is 1 then."""
    report = reports.get(name)
    assert report is not None, "not reached: see the end of its tour"
    print(report)
    assert not report.troubles


@pytest.mark.parametrize("name", _ENDS)
def test_after_a_tour_everything_is_as_it_must_be(reports: Mapping[str, Report], name: str) -> None:
    """Nothing lost, nothing applied twice, no dead letter that the records did not earn, a clean stop."""
    assert not reports[name].troubles, "\n".join(reports[name].troubles)

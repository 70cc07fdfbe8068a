"""One service on the servers of the tests, under all three loads: a step, a burst, a soak of seconds."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.latency.bursts import Plan as BurstsPlan
from benchmarks.latency.bursts import play_bursts
from benchmarks.latency.rising import play_step
from benchmarks.live.checking import check
from benchmarks.live.playing import live
from benchmarks.live.traffic import Kind, Traffic
from benchmarks.servers import Servers
from benchmarks.soak.playing import Plan as SoakPlan
from benchmarks.soak.playing import play
from benchmarks.soak.results import Sample
from benchmarks.verify import WrongResult

_RECORDS = 300


def test_every_event_of_every_load_is_seen_once(bench_servers: Servers) -> None:
    """What was sent is what was seen, and a check that knows one event more fails."""
    traffic = Traffic(7, copied_share=0.2, hostile_share=0.02, records=_RECORDS)
    samples: list[Sample] = []
    with live(bench_servers, traffic) as playing:
        kinds = playing.sight.kinds
        step = play_step(playing, 1_000, 0.5, number=1)
        assert step.events == 1_000
        assert step.delays.number == kinds[Kind.ORIGINAL] - _RECORDS
        [burst] = play_bursts(playing, BurstsPlan([200], 0.4, 50)).bursts
        assert 100 < burst.inside.number <= 200
        play(playing, SoakPlan(1, 200, 0.3), samples.append)
        assert len(samples) >= 3
        assert all(sample.memory_mb > 20 and sample.connections >= 1 for sample in samples)

        assert playing.sight.sent == _RECORDS + 1_000 + (200 + 40) + 200
        assert playing.sight.pending == 0
        assert kinds[Kind.HOSTILE] > 0
        playing.check()
        one_more = kinds + Counter([Kind.ORIGINAL])
        with pytest.raises(WrongResult, match=r"SUM\(version\).*processed_events"):
            check(playing.probe, one_more, _RECORDS, None)

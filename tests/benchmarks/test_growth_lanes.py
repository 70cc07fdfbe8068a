"""Partitions and replicas on the servers of the tests: what is measured there is what happened."""

from __future__ import annotations

import pytest

from benchmarks.growth import lanes as lane_runs
from benchmarks.growth import takeover as takeover_runs
from benchmarks.growth.backlog import over_partitions
from benchmarks.growth.results import Lanes, Takeovers
from benchmarks.load import Generator
from benchmarks.machine import machine
from benchmarks.servers import Servers


def test_keys_are_spread_evenly_and_stay_where_they_are() -> None:
    """A copy comes to its original's partition; no partition has nothing."""
    messages = Generator("customers", 1).load(100, 0).measured
    spread = over_partitions([*messages, messages[0]], 20)
    assert {message.partition for message in spread[:20]} == set(range(20))
    assert spread[-1] == spread[0]


def test_a_replica_with_partitions_is_measured(
    bench_servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started, idle, drained: every lane has committed, and idling cost some statements."""
    monkeypatch.setattr(lane_runs, "WARM_UP_EVENTS", 20)
    monkeypatch.setattr(lane_runs, "_BEFORE_IDLE_SECONDS", 0)
    lanes = Lanes(machine(bench_servers.versions()), 1, 1_000)
    list(lane_runs.run(bench_servers, [5], lanes, idle_seconds=3.2, seed=1))
    [run] = lanes.runs
    assert 0 < run.first_seconds <= run.all_seconds
    # A lane looks at its row every three seconds.
    assert run.idle.statements >= 5
    assert run.drained.events == 1_000
    assert run.drained.used.statements >= 5
    assert run.drained_memory_bytes > 10_000_000


def test_a_stop_is_taken_over(bench_servers: Servers) -> None:
    """All partitions of the replica that went are back, and the trickle has ended."""
    takeovers = Takeovers(machine(bench_servers.versions()), 2, 4, 40)
    leaving = takeover_runs.Leaving(takeover_runs.STOP, 30)
    list(takeover_runs.run(bench_servers, [leaving], takeovers, seed=1))
    [run] = takeovers.runs
    assert len(run.back_seconds) == 2
    assert 0 < run.back_seconds[0] <= run.back_seconds[-1]
    assert run.others_longest_seconds > 0

"""A small drain on the servers of the tests: what is counted is true, and a loss is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.contenders import NAIVE, UPSERTD
from benchmarks.drain import Scenario, drain
from benchmarks.load import Generator, Load
from benchmarks.probe import Probe
from benchmarks.servers import Servers
from benchmarks.verify import WrongResult, verify


@pytest.fixture(scope="module")
def load() -> Load:
    """A third of 600 messages are copies."""
    return Generator("customers", seed=7).load(600, 1 / 3, others=60)


def test_hits_cost_no_statement_and_misses_share_theirs(bench_servers: Servers, load: Load) -> None:
    """upsertd with a warm cache: every copy is a hit, and a batch takes a few statements."""
    drained = drain(bench_servers, UPSERTD, Scenario("customers", 33), load, 1)
    assert drained.cache_hits == load.copies == 200
    assert drained.batches
    # A dozen a batch, and what an idle service asks now and then.
    assert drained.statements <= 12 * drained.batches + 30
    assert drained.own_statements == pytest.approx(drained.statements, abs=60)
    assert drained.peak_connections <= 5


def test_a_cold_cache_has_no_hits(bench_servers: Servers, load: Load) -> None:
    """Emptied between the originals and their copies, which the database knows all the same."""
    drained = drain(bench_servers, UPSERTD, Scenario("customers", 33, cold=True), load, 1)
    assert drained.cache_hits == 0


def test_the_naive_consumer_takes_nine_statements_an_original(bench_servers: Servers, load: Load) -> None:
    """End to end, as its own test says: three, their COMMITs and their ROLLBACKs."""
    drained = drain(bench_servers, NAIVE, Scenario("customers", 33), load, 1)
    originals = drained.events - drained.copies
    # By kind: the server's whole count has the goodbyes of other connections in it.
    assert sum(drained.statements_by_kind.values()) == 9 * originals
    assert drained.statements_by_kind["Com_commit"] == 3 * originals


def test_a_lost_event_does_not_count(migrated_url: str, load: Load) -> None:
    """Empty tables, one mark too few, one row too many: each is named."""
    with Probe(migrated_url) as probe:
        with pytest.raises(WrongResult, match=r"processed_events has 0 rows.*customers has 0 rows"):
            verify(probe, load, None)
        nothing = replace(load, prepared=(), measured=(), copies=0)
        verify(probe, nothing, None)
        one = replace(nothing, measured=load.measured[-1:])
        with pytest.raises(WrongResult, match="not exactly the 1 that"):
            verify(probe, one, None)

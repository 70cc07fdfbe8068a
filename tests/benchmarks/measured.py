"""Results with plain figures, for the tests of what is made of them."""

from __future__ import annotations

from benchmarks.machine import Machine
from benchmarks.results import PARTS, Drain, Paced, Results, Setup

MACHINE = Machine(
    began_at="2026-11-21T10:15:30+00:00",
    cores=2,
    memory_gb=8,
    system="Linux x86_64",
    commit="0123456789",
    versions={"python": "3.11.2"},
    database_options=["--durable"],
)


def drain(contender: str, number: int, cpu_us: float, scenario: str = "customers-0") -> Drain:
    """A drain of 1,000 events whose parts take a quarter of `cpu_us` each."""
    return Drain(
        scenario=scenario,
        contender=contender,
        round=number,
        events=1_000,
        copies=0,
        seconds=0.5,
        cpu_seconds=dict.fromkeys(PARTS, cpu_us / 4 * 1_000 / 1e6),
        statements=20,
        statements_by_kind={},
        peak_connections=3,
    )


def paced(play: str, linger_ms: int | None) -> Paced:
    """A play of a minute."""
    return Paced(
        play=play,
        contender="naive" if linger_ms is None else "upsertd",
        linger_ms=linger_ms,
        messages=6_000,
        copies=1_800,
        seconds=60,
        statements=2_400,
        peak_connections=3,
        delay_p50_ms=4.2,
        delay_p99_ms=9.9,
        delay_max_ms=20,
        client_cpu_seconds=1.2,
    )


def results(*drains: Drain) -> Results:
    """Results of these drains and of the reference scenario."""
    setup = Setup(
        machine=MACHINE,
        rounds=3,
        naive_rounds=2,
        events=60_000,
        naive_events=1_000,
        seed=1,
        mean_event_bytes={"customers": 500},
    )
    return Results(setup, list(drains), [paced("naive", None), paced("latency", 0), paced("economy", 600)])

"""Histories in CI: none breaks a promise, the same seed is the same history, and nothing was left untried."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.simulation.faults import FAULTS
from tests.faults.simulation.run import Summary, replay, run
from tests.faults.simulation.wire import CALLS

HISTORIES = 1000


@pytest.fixture(scope="module")
def summary() -> Summary:
    """A thousand histories."""
    return run(HISTORIES)


def test_no_history_breaks_a_promise(summary: Summary) -> None:
    """I1 to I8 hold in every one, all the time and at its end; a seed that fails is printed."""
    if summary.violations:
        first = summary.violations[0]
        print("\n".join(replay(first.seed).lines))
        print(f"python -m tests.faults.simulation --seed {first.seed}")
    assert summary.violations == ()


def test_every_fault_has_happened(summary: Summary) -> None:
    """No kind of fault, no outcome and no way to start a claim is there in name only."""
    assert set(summary.faults) == set(FAULTS)
    assert set(summary.claims) == {"stored", "restored", "reset", "lost", "new", "out_of_range"}
    assert set(summary.outcomes) >= {
        "applied",
        "stale",
        "duplicate",
        "dead",
        "parked",
        "known by the cache",
        "retried applied",
        "retried stale",
        "retried duplicate",
    }


@pytest.mark.parametrize("when", ["before", "inside"])
@pytest.mark.parametrize("call", CALLS[:10])
def test_members_have_died_at_every_call(summary: Summary, call: str, when: str) -> None:
    """Before each call of a lane, and between its effect and its answer; letters are tried too rarely."""
    assert summary.crashes[f"{when} {call}"] > 0


def test_known_weaknesses_are_rare(summary: Summary) -> None:
    """What is counted instead of blamed must not hide anything else."""
    assert sum(summary.known.values()) <= HISTORIES // 20


def test_a_seed_is_one_history() -> None:
    """Line by line the same, also after others, and on the command line, where hashes differ."""
    lines = replay(1).lines
    run(5, first_seed=100)
    assert replay(1).lines == lines
    assert _shown(1) == lines


def _shown(seed: int) -> list[str]:
    command = [sys.executable, "-m", "tests.faults.simulation", "--seed", str(seed)]
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()

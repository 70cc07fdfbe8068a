"""When the circuit breaker opens, lets a trial through and closes again."""

from __future__ import annotations

import pytest

from service.stores.circuit_breaker import CircuitBreaker, Permit


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_seconds = 100.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def breaker(clock: Clock, changes: list[bool]) -> CircuitBreaker:
    return CircuitBreaker(
        clock, failures_to_open=3, first_pause_seconds=1, longest_pause_seconds=3, on_change=changes.append
    )


def admitted(breaker: CircuitBreaker) -> Permit:
    permit = breaker.admit()
    assert permit is not None
    return permit


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        permit = admitted(breaker)
        breaker.failed(permit)
        breaker.release(permit)


def succeed(breaker: CircuitBreaker) -> None:
    permit = admitted(breaker)
    breaker.succeeded(permit)
    breaker.release(permit)


def test_stays_closed_below_the_limit(breaker: CircuitBreaker, changes: list[bool]) -> None:
    """Fewer failures in a row than the limit hold nobody back."""
    fail(breaker, times=2)
    assert breaker.admit() is not None
    assert changes == []


def test_opens_at_the_limit(breaker: CircuitBreaker, changes: list[bool]) -> None:
    """The last of the failures in a row opens it, once for the world."""
    fail(breaker, times=3)
    assert breaker.is_open
    assert breaker.admit() is None
    assert changes == [True]


def test_a_success_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    """Only failures in a row count."""
    fail(breaker, times=2)
    succeed(breaker)
    fail(breaker, times=2)
    assert not breaker.is_open


def test_lets_one_trial_through(breaker: CircuitBreaker, clock: Clock) -> None:
    """After the pause one call goes, and no second one beside it."""
    fail(breaker, times=3)
    clock.now_seconds += 0.99
    assert breaker.admit() is None
    clock.now_seconds += 0.01
    assert breaker.admit() is not None
    assert breaker.admit() is None


def test_a_good_trial_closes_it(breaker: CircuitBreaker, clock: Clock, changes: list[bool]) -> None:
    """One success lets all calls through again, and the failures of before are forgotten."""
    fail(breaker, times=3)
    clock.now_seconds += 1
    succeed(breaker)
    fail(breaker, times=2)
    assert not breaker.is_open
    assert changes == [True, False]


def test_failed_trials_lengthen_the_pause_to_its_bound(
    breaker: CircuitBreaker, clock: Clock, changes: list[bool]
) -> None:
    """The pause doubles up to the longest one, and the world hears of it once."""
    fail(breaker, times=3)
    pauses = []
    for _ in range(4):
        opened = clock.now_seconds
        while (trial := breaker.admit()) is None:
            clock.now_seconds += 0.5
        pauses.append(clock.now_seconds - opened)
        breaker.failed(trial)
        breaker.release(trial)
    assert pauses == [1, 2, 3, 3]
    assert changes == [True]


def test_a_recovery_is_seen_within_five_seconds(clock: Clock) -> None:
    """Unless told otherwise, no outage is so long that a trial comes later than 4 s after the last one."""
    breaker = CircuitBreaker(clock)
    fail(breaker, times=3)
    for _ in range(20):
        clock.now_seconds += 4
        fail(breaker)


def test_opens_anew_with_the_first_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    """A recovery takes back what earlier trials added to the pause."""
    fail(breaker, times=3)
    clock.now_seconds += 1
    fail(breaker)
    clock.now_seconds += 2
    succeed(breaker)
    fail(breaker, times=3)
    clock.now_seconds += 1
    assert breaker.admit() is not None


def test_a_trial_without_a_verdict_is_handed_on(breaker: CircuitBreaker, clock: Clock) -> None:
    """A cancelled trial keeps it open and lets the next call try at once."""
    fail(breaker, times=3)
    clock.now_seconds += 1
    breaker.release(admitted(breaker))
    assert breaker.is_open
    assert breaker.admit() is not None


@pytest.mark.parametrize("verdict", ["succeeded", "failed"])
def test_a_straggler_decides_nothing(breaker: CircuitBreaker, clock: Clock, verdict: str) -> None:
    """The end of a call from before the opening neither closes it nor counts as the trial."""
    straggler = admitted(breaker)
    fail(breaker, times=3)
    clock.now_seconds += 1
    trial = admitted(breaker)
    getattr(breaker, verdict)(straggler)
    breaker.release(straggler)
    assert breaker.is_open
    assert breaker.admit() is None
    breaker.succeeded(trial)
    assert not breaker.is_open

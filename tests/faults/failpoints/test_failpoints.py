"""The real process on real servers, crashing and failing at each named step: nothing lost, nothing twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import service
from tests.faults.failpoints.cases import Case, each_step
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.matrix import Servers, run_cases
from tests.servers import Kafka, MariaDb, Redis


@pytest.fixture
def servers(kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> Servers:
    """Those of the test run."""
    return Servers(kafka, mariadb, redis_server, schema)


async def test_each_step_with_a_crash_and_an_error(servers: Servers, seed: int) -> None:
    """Wherever a process dies or an adapter fails, the next try or the next owner makes good."""
    cases = each_step(seed)
    summary = await run_cases(servers, cases, seed)
    assert summary.violations == ()
    assert len(summary.injected) == len(cases)
    assert (summary.counts.lost, summary.counts.doubled) == (0, 0)


@pytest.mark.parametrize(
    ("bug", "case", "reported"),
    [
        ("mark-in-its-own-transaction", Case("after batch: commit", Kind.CRASH, 400), "I2"),
        ("offset-before-the-transaction", Case("before batch: commit", Kind.CRASH, 7), "I3"),
        ("commit-after-1205", Case("after batch: insert customers", Kind.LOCK_TIMEOUT, 1), "I2"),
    ],
)
async def test_a_planted_bug_is_noticed(
    servers: Servers, seed: int, bug: str, case: Case, reported: str
) -> None:
    """With a rule of the service broken, one failpoint is enough for the invariant to be reported."""
    summary = await run_cases(servers, [case], seed, bug=bug)
    assert reported in re.findall(r"\bI[1-9]\b", "\n".join(summary.violations)), summary.violations
    assert len(summary.injected) == 1


def test_the_service_knows_of_no_failpoint() -> None:
    """Faults cost nothing when they are off, because nothing of them is there."""
    files = Path(service.__path__[0]).rglob("*.py")
    assert [file.name for file in files if "failpoint" in file.read_text().lower()] == []

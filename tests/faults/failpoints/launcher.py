"""`python -m tests.faults.failpoints.launcher`: `upsertd run` that runs into its plan's failpoints.

Started by `process` instead of the console script. It plants the plan's bug, if there is one, wraps the
adapters, shortens deadlines that a fault would otherwise wait out at length, and is the service from then on.
"""

from __future__ import annotations

import sys
from pathlib import Path

from service import database
from service.__main__ import main as run_service
from service.pipeline import isolate, partition
from service.sources import kafka
from service.sources.kafka import KafkaSource
from tests.faults.failpoints.adapters import install
from tests.faults.failpoints.armed import Armed
from tests.faults.failpoints.plan import Account, handed_plan
from tests.faults.failpoints.replaced import replaced
from tests.faults.failpoints.whereabouts import note_whereabouts

_DEADLINES = (
    (database, "STATEMENT_SECONDS", 2.0),
    (kafka, "COMMIT_SECONDS", 2.0),
    (kafka, "REREAD_SECONDS", 2.0),
    (partition, "LONGEST_DELAY_SECONDS", 1.0),
    # One fault must not use up the patience with a record: it would be parked, and its outcome could be any.
    (isolate, "ATTEMPTS_SECONDS", 60.0),
    (partition, "ROW_CHECK_SECONDS", 1.0),
    (KafkaSource.__init__, "__kwdefaults__", {"deadline_seconds": 3.0}),
)


def main() -> int:
    """Prepare the process and run the service in it; returns its exit code."""
    plan = handed_plan()
    if plan.bug is not None:
        _plant(plan.bug)
    for owner, name, value in _DEADLINES:
        replaced(owner, name, value)
    armed = Armed(plan, Account(Path(plan.account)))
    note_whereabouts(armed)
    install(armed)
    return run_service(["run"])


def _plant(name: str) -> None:
    # Here, because it takes a while to import, and bugs are rare.
    import pytest

    from tests.planted.bugs import BUGS

    [bug] = [bug for bug in BUGS if bug.name == name]
    bug.plant(pytest.MonkeyPatch())


if __name__ == "__main__":
    sys.exit(main())

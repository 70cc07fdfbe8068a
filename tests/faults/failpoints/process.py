"""The service as a process that runs into failpoints, on a stage where one follows another.

`chain` starts them. Everything else about stage and process is that of the end-to-end tests.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.world import connect, select
from tests.faults.failpoints.plan import Account, Failpoint, Plan

CHECKOUT = Path(__file__).parents[3]
_LAUNCHER = "tests.faults.failpoints.launcher"


class FailpointProcess(ServiceProcess):
    """One run of the service; `account` is what it tells of its failpoints."""

    def __init__(
        self, settings: Mapping[str, str], failpoints: tuple[Failpoint, ...], bug: str | None
    ) -> None:
        super().__init__(settings, "failpoints", (sys.executable, "-m", _LAUNCHER))
        self.failpoints = failpoints
        self.account = Account(self._folder / "account")
        plan = Plan(failpoints, str(self.account.path), bug)
        self._environment |= {**plan.variables(), "PYTHONPATH": str(CHECKOUT)}

    async def ended(self, timeout_seconds: float = 20) -> int:
        """Wait until it has ended by itself; returns its exit code."""
        return await self._exit_code(timeout_seconds)


class FailpointStage(Stage):
    """A stage whose replicas run into failpoints, one replica at a time."""

    def run_into(
        self, failpoints: tuple[Failpoint, ...], *, batch_records: int, bug: str | None
    ) -> FailpointProcess:
        """Start a replica that will meet `failpoints`; its batches have at most `batch_records`."""
        settings = {
            **self._settings(),
            # Two lanes at work; more would only wait.
            "KAFKA_TOPIC_PRODUCTS": "",
            "BATCH_MAX_RECORDS": str(batch_records),
            # Records arrive one by one: only who waits gets hundreds.
            "BATCH_LINGER_MS": "300" if batch_records > 100 else "0",
            "RETRY_DELAYS_SECONDS": "1",
            "DEAD_LETTER_FLOOD_WINDOW": "0",
        }
        process = FailpointProcess(settings, failpoints, bug)
        self.replicas.append(process)
        process.start()
        return process

    def parked(self) -> int:
        """How many records wait for another try."""
        with connect(self.world) as connection:
            [row] = select(
                connection, "SELECT COUNT(*) AS number FROM dead_letters WHERE status = 'retrying'"
            )
        return int(str(row["number"]))

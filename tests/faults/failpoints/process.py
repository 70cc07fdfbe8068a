"""The service as a process that runs into failpoints, on a stage where one follows another.

`chain` starts them. Everything else about stage and process is that of the end-to-end tests.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.group import LeaveGroupRequest

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.world import World, connect, select
from tests.faults.failpoints.plan import Account, Failpoint, Plan

CHECKOUT = Path(__file__).parents[3]
_LAUNCHER = "tests.faults.failpoints.launcher"
_MEMBERS = 5  # where a group's description has its members


class FailpointProcess(ServiceProcess):
    """One run of the service; `account` is what it tells of its failpoints."""

    def __init__(
        self, settings: Mapping[str, str], failpoints: tuple[Failpoint, ...], bug: str | None
    ) -> None:
        super().__init__(settings, "failpoints")
        self.failpoints = failpoints
        self.account = Account(self._folder / "account")
        plan = Plan(failpoints, str(self.account.path), bug)
        self._environment |= {**plan.variables(), "PYTHONPATH": str(CHECKOUT)}

    def start(self) -> None:
        """Start it, as its parent does, by way of the launcher."""
        note_pid = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._folder / "pid")]
        with (self._folder / "log").open("ab") as log:
            self._popen = subprocess.Popen(
                [*note_pid, sys.executable, "-m", _LAUNCHER],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )

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


async def evict_members(world: World) -> None:
    """Let Kafka drop the members of a group whose processes are dead, as its session timeout would do."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.bootstrap)
    await admin.start()
    try:
        coordinator = await admin.find_coordinator(world.group_id)
        [described] = await admin.describe_consumer_groups([world.group_id], coordinator)
        for member, *_ in described.groups[0][_MEMBERS]:
            await admin._send_request(LeaveGroupRequest(world.group_id, member), coordinator)
    finally:
        await admin.close()

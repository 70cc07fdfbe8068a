"""`upsertd run` with its stages told apart: `python -m benchmarks.stages.consumer run`, started by `runs`.

It is begun anew when the process is resumed after it was frozen (the first SIGCONT), and what came out is
written to the file STAGES_FILE at the next SIGCONT, which comes with the end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks.stages.attach import attach, attach_sockets, stage_of_task
from benchmarks.stages.ledger import Ledger
from benchmarks.stages.names import ASK, KAFKA_CLIENT, LOOK_UP, LOOP, REST
from benchmarks.stages.results import FILE_VARIABLE, Staged, Taken
from service import app
from service.__main__ import main
from service.settings import Settings


class StagedService(app.Service):
    """The service, which begins to follow its tasks when it is built: the event loop runs by then."""

    ledger: Ledger
    file: Path

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        loop = asyncio.get_running_loop()
        loop.set_task_factory(_following(self.ledger))
        loop.add_signal_handler(signal.SIGCONT, self._begin)

    def _begin(self) -> None:
        self.ledger.begin()
        begun = time.process_time()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCONT, lambda: self._end(time.process_time() - begun))

    def _end(self, cpu_seconds: float) -> None:
        self.file.write_bytes(msgspec.json.encode(told(self.ledger, cpu_seconds)))


def told(ledger: Ledger, cpu_seconds: float) -> Staged:
    """The accounts, and the rest of the process's CPU time."""
    stages = {
        name: Taken(account.cpu_ns / 1e9, account.waited_ns / 1e9, account.calls)
        for name, account in ledger.accounts.items()
    }
    rest = cpu_seconds - sum(stage.cpu_seconds for stage in stages.values())
    return Staged(ledger.seconds, cpu_seconds, ledger.changes, {**stages, REST: Taken(rest, 0, 0)})


def _following(ledger: Ledger) -> Any:
    """A task factory whose tasks are followed from their first step on."""

    def follow(
        loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        account = ledger.account(stage_of_task(work))
        return asyncio.Task(ledger.follow(work, account), loop=loop, **options)

    return follow


def _ports() -> dict[int, str]:
    """Whose answers come from which port; one broker, as on a stage of the benchmarks."""
    broker = os.environ["KAFKA_BOOTSTRAP_SERVERS"].rpartition(":")[2]
    addresses = {ASK: os.environ["DATABASE_URL"], LOOK_UP: os.environ["REDIS_URL"]}
    ports = {urlsplit(address).port or 0: stage for stage, address in addresses.items()}
    return {int(broker): KAFKA_CLIENT, **ports}


def _run() -> int:
    ledger = Ledger(LOOP)
    attach(ledger)
    attach_sockets(ledger, _ports())
    StagedService.ledger = ledger
    StagedService.file = Path(os.environ[FILE_VARIABLE])
    app.Service = StagedService  # type: ignore[misc]  # what `app.run` builds
    return main()


if __name__ == "__main__":
    sys.exit(_run())

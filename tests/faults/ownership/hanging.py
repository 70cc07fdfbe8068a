"""A replica whose transactions never end, and whose watchdog barks after seconds; a bug that nobody foresaw.

Run as a program it is `upsertd` with both; `endings` starts it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.e2e.service_process import ServiceProcess

_CHECKOUT = Path(__file__).parents[3]
_STUCK_SECONDS = 2.0


class HangingProcess(ServiceProcess):
    """A `ServiceProcess` of this program."""

    def start(self) -> None:
        note_pid = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._folder / "pid")]
        with (self._folder / "log").open("ab") as log:
            self._popen = subprocess.Popen(
                [*note_pid, sys.executable, "-m", "tests.faults.ownership.hanging", "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env={**self._environment, "PYTHONPATH": str(_CHECKOUT)},
                start_new_session=True,
            )


async def hang(*_arguments: object) -> None:
    """Stand still for good."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    from service import monitor
    from service.__main__ import main
    from service.sinks.sql import SqlSink

    monitor.STUCK_SECONDS = _STUCK_SECONDS
    SqlSink.apply = hang  # type: ignore[assignment]  # it returns nothing because it never returns
    sys.exit(main())

"""A replica whose transactions never end, and whose watchdog barks after seconds; a bug that nobody foresaw.

Run as a program it is `upsertd` with both; `endings` starts it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.service_process import ServiceProcess

_CHECKOUT = Path(__file__).parents[3]
_STUCK_SECONDS = 2.0


def hanging_process(settings: Mapping[str, str]) -> ServiceProcess:
    """A replica that is this program."""
    command = (sys.executable, "-m", "tests.faults.ownership.hanging", "run")
    return ServiceProcess({**settings, "PYTHONPATH": str(_CHECKOUT)}, "hanging", command)


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

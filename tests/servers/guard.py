"""Outlives the test run by a moment and ends whatever servers it left behind.

`tests.servers.folders` starts one guard for each test run and writes it the folder of every server, one a
line. The pipe closes when the run ends in whatever way, SIGKILL included; then the guard kills the process
group that the folder's `pid` names, removes the container that its `container` names, and the folder.

A guard is sturdier than PR_SET_PDEATHSIG, which fires when the *thread* that started a server ends, and
which a server that changes its user loses. Runs as a bare script: nothing but the standard library.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

REMOVAL_SECONDS = 10.0


def main() -> None:
    """Collect folders until the pipe closes, then end their servers."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    folders = [Path(line.rstrip("\n")) for line in sys.stdin]
    for folder in folders:
        end(folder)


def end(folder: Path) -> None:
    """Kill the server of `folder`, if there still is one, and remove its data."""
    with suppress(OSError, ValueError):
        os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    with suppress(OSError):
        container = (folder / "container").read_text()
        subprocess.run(["docker", "rm", "--force", "--volumes", container], capture_output=True, check=False)
    remove(folder)


def remove(folder: Path) -> None:
    """Remove `folder`, again and again while a process that is being killed still writes into it."""
    deadline = time.monotonic() + REMOVAL_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.02)


if __name__ == "__main__":
    main()

"""Where servers keep things: a guarded temporary folder for data, the cache for what was downloaded.

Called by `tests.servers.server` and by the modules that fetch programs.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.servers import guard

_CHECKOUT = Path(__file__).parents[2]


def cache_folder() -> Path:
    """The folder that is kept between runs: `UPSERTD_CACHE`, or `.cache` of the checkout."""
    folder = Path(os.environ.get("UPSERTD_CACHE") or _CHECKOUT / ".cache").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def guarded_folder(name: str) -> Path:
    """A new temporary folder; it and the server that it names are gone when this process is."""
    folder = Path(tempfile.mkdtemp(prefix=f"upsertd-{name}-"))
    pipe = _guard().stdin
    assert pipe is not None
    pipe.write(f"{folder}\n")
    pipe.flush()
    return folder


@cache
def _guard() -> subprocess.Popen[str]:
    # A session of its own: Ctrl-C in the terminal is for the test run, not for its guard.
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", guard.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    atexit.register(_dismiss, process)
    return process


def _dismiss(process: subprocess.Popen[str]) -> None:
    """Let the guard do its work at the end of the run, and wait for it."""
    process.communicate(timeout=60)

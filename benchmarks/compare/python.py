"""The interpreter that runs a side: how it was built is a part of what is compared. Called by `__main__`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass


class NoPython(Exception):
    """Not a Python in which the service is installed."""


@dataclass(frozen=True, slots=True)
class Python:
    """`program` runs the service; `says` is its version, empty for the one that measures."""

    program: str = sys.executable
    says: str = ""


def python(program: str) -> Python:
    """The interpreter at `program`; raises `NoPython`."""
    if program == sys.executable:
        return Python()
    ask = [program, "-c", "import sys, importlib.metadata as m; m.version('upsertd'); print(sys.version)"]
    try:
        said = subprocess.run(ask, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPython(f"{program}: {type(error).__name__}") from error
    if said.returncode:
        raise NoPython(f"{program}: no Python with upsertd installed")
    return Python(program, " ".join(said.stdout.split()))

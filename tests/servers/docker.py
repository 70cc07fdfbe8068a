"""Whether a Docker engine is there and has an image. Called by `tests.servers.server`."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

_ASK_SECONDS = 10
_PULL_SECONDS = 300


@cache
def can_run(image: str) -> bool:
    """Whether `image` can be run: an engine answers, and the image is there or could be pulled."""
    return _engine_answers() and (
        _succeeds(["docker", "image", "inspect", image], _ASK_SECONDS)
        or _succeeds(["docker", "pull", "--quiet", image], _PULL_SECONDS)
    )


@cache
def _engine_answers() -> bool:
    # The exit code alone does not tell: older clients exit 0 without an engine.
    command = ["docker", "info", "--format", "{{.ServerVersion}}"]
    return shutil.which("docker") is not None and _succeeds(command, _ASK_SECONDS, must_print=True)


def _succeeds(command: list[str], seconds: float, *, must_print: bool = False) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and (not must_print or bool(done.stdout.strip()))

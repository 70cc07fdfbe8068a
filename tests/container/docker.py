"""A Docker engine: the machine's, or one of our own that is brought up for the time of the check.

`python -m tests.container` asks for one; the other steps run containers on it. Of an engine of our own
nothing outlives the check.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.container.errors import CheckFailed
from tests.servers import ServerMissing
from tests.servers.folders import guarded_folder
from tests.servers.processes import LocalProcess
from tests.servers.programs import find_program

_COMMAND_SECONDS = 600
_START_SECONDS = 60
_POLL_SECONDS = 0.2
# The Dockerfile mounts secrets, which the old builder does not know.
_BUILDKIT = {"DOCKER_BUILDKIT": "1"}
# The engine touches no network rules of the machine: containers use the host's network, or one of their own.
_OWN_ENGINE_OPTIONS = (
    *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
    "--bridge=none",
)


@dataclass(frozen=True, slots=True)
class Docker:
    """A client and the engine that it speaks to; `own` when the check has brought the engine up."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)
    own: bool = False

    def run(self, *arguments: str, folder: Path | None = None, seconds: float = _COMMAND_SECONDS) -> str:
        """Run one command and return what it prints. Raises `CheckFailed` with what it says."""
        done = self.attempt(*arguments, folder=folder, seconds=seconds)
        if done.returncode != 0:
            raise CheckFailed(f"docker {arguments[0]} ended with {done.returncode}: {_tail(done)}")
        return done.stdout

    def attempt(
        self, *arguments: str, folder: Path | None = None, seconds: float = _COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run one command that may fail. Raises `CheckFailed` when it does not end within `seconds`."""
        return run_program([self.program, *arguments], self.environment, folder=folder, seconds=seconds)

    def succeeds(self, *arguments: str) -> bool:
        """Whether a command ends with 0."""
        return self.attempt(*arguments).returncode == 0

    def answers(self) -> bool:
        """Whether there is an engine; an old client says so only by what it prints."""
        done = self.attempt("info", "--format", "{{.ServerVersion}}", seconds=20)
        return done.returncode == 0 and bool(done.stdout.strip())


def run_program(
    command: list[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
    seconds: float = _COMMAND_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a program with `environment` added to ours. Raises `CheckFailed` when it takes too long."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=folder,
            env={**os.environ, **environment},
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{' '.join(command[:3])} did not end within {seconds:g} s") from None


@contextmanager
def engine() -> Iterator[Docker]:
    """The engine that answers, or one of our own. Raises `CheckFailed` when none can be had."""
    found = shutil.which("docker")
    if found and (docker := Docker(found, _BUILDKIT)).answers():
        yield docker
    else:
        with _own_engine() as docker:
            yield docker


@contextmanager
def _own_engine() -> Iterator[Docker]:
    if os.geteuid() != 0:
        raise CheckFailed("no Docker engine answers, and only root can bring one up")
    try:
        daemon = find_program("dockerd", package="docker.io").path
    except ServerMissing as missing:
        raise CheckFailed(f"no Docker engine answers, and {missing}") from missing
    folder = guarded_folder("docker")
    docker = Docker(_client_of(daemon), {**_BUILDKIT, "DOCKER_HOST": f"unix://{folder}/socket"}, own=True)
    process = LocalProcess([str(daemon), *_places(folder), *_OWN_ENGINE_OPTIONS], folder, {})
    process.start()
    try:
        _wait_for(docker, process)
        yield docker
    finally:
        process.stop()
        _unmount(folder)
        # Images are many files: the guard, which ends what is left of a run, would not wait for them.
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    """Let go of what the engine leaves mounted (its networks): the folder could not be removed otherwise."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if (place := line.split()[1]).startswith(f"{folder}/"):
            run_program(["umount", place], {})


def _client_of(daemon: Path) -> str:
    # Debian's client builds by itself; a newer one from elsewhere needs a plug-in for that.
    beside = daemon.parents[1] / "bin" / "docker"
    return str(beside) if beside.exists() else "docker"


def _places(folder: Path) -> list[str]:
    return [
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/dockerd.pid",
        f"--host=unix://{folder}/socket",
    ]


def _wait_for(docker: Docker, process: LocalProcess) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not docker.answers():
        if not process.running or time.monotonic() > deadline:
            raise CheckFailed(f"the Docker engine does not come up: {process.log_tail()[-600:]}")
        time.sleep(_POLL_SECONDS)


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout + done.stderr).strip()[-1500:]

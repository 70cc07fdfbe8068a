"""A server's process, whether it runs here or in a Docker container: the same few verbs for both.

Called by `tests.servers.server`, which knows when a server answers; this module knows only processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

STOP_SECONDS = 30.0
_LOG_TAIL_BYTES = 4000


class Process(Protocol):
    """One server process that can be started again after it has ended."""

    @property
    def running(self) -> bool: ...

    @property
    def pid(self) -> int | None:
        """Its process id on this machine; None when it is not running or not to be seen."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """End it in an orderly way, by force after `STOP_SECONDS`."""

    def kill(self) -> None: ...

    def suspend(self) -> None: ...

    def resume(self) -> None: ...

    def discard(self) -> None:
        """Kill it and leave nothing of it outside its folder."""

    def beside(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` where the server runs."""

    def log_tail(self) -> str: ...


class LocalProcess:
    """A program of this machine. Writes `pid` and `log` into `folder`."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int | None:
        return self._popen.pid if self._popen is not None and self.running else None

    def start(self) -> None:
        # The shell notes the id and becomes the server: there is no moment at which the server runs and
        # the guard cannot know it.
        note_pid = ["/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._folder / "pid")]
        with (self._folder / "log").open("ab") as log:
            self._popen = subprocess.Popen(
                [*note_pid, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )

    def stop(self) -> None:
        # A suspended process takes its SIGTERM only when it is resumed.
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            self._wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self._wait(STOP_SECONDS)

    def suspend(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def discard(self) -> None:
        self.kill()

    def beside(self, command: Sequence[str]) -> list[str]:
        return list(command)

    def log_tail(self) -> str:
        log = self._folder / "log"
        return log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is not None and self.running:
            os.killpg(self._popen.pid, number)

    def _wait(self, seconds: float) -> None:
        if self._popen is not None:
            self._popen.wait(seconds)
        # Its id may soon be another's.
        (self._folder / "pid").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Image:
    """What a container is made of. `ports` are the same inside and outside."""

    name: str
    ports: Sequence[int]
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Container:
    """A Docker container on ports of 127.0.0.1; its data lives as long as it does."""

    def __init__(self, image: Image, folder: Path) -> None:
        self._image = image
        self._folder = folder
        self._name = folder.name

    @property
    def running(self) -> bool:
        state = _docker("inspect", "--format", "{{.State.Running}}", self._name, check=False)
        return state.strip() == "true"

    @property
    def pid(self) -> int | None:
        return None

    def start(self) -> None:
        if not (self._folder / "container").exists():
            (self._folder / "container").write_text(self._name)
            self._create()
        _docker("start", self._name)

    def stop(self) -> None:
        self.resume()
        _docker("stop", "--time", str(int(STOP_SECONDS)), self._name, check=False)

    def kill(self) -> None:
        _docker("kill", self._name, check=False)

    def suspend(self) -> None:
        _docker("pause", self._name)

    def resume(self) -> None:
        _docker("unpause", self._name, check=False)

    def discard(self) -> None:
        _docker("rm", "--force", "--volumes", self._name, check=False)

    def beside(self, command: Sequence[str]) -> list[str]:
        return ["docker", "exec", "--interactive", self._name, *command]

    def log_tail(self) -> str:
        return _docker("logs", "--tail", "40", self._name, check=False)

    def _create(self) -> None:
        ports = [f"--publish=127.0.0.1:{port}:{port}" for port in self._image.ports]
        variables = [f"--env={name}={value}" for name, value in self._image.environment.items()]
        options = [f"--name={self._name}", *ports, *variables]
        _docker("create", *options, self._image.name, *self._image.arguments)


def _docker(*arguments: str, check: bool = True) -> str:
    command = ["docker", *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {arguments[0]} failed: {done.stdout.strip()}")
    return done.stdout

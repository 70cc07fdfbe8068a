"""The demo's child processes: Redis and the service. Each is ended by its own id, whatever happens.

They run in sessions of their own: a Ctrl-C reaches the demo alone, which ends them in its order.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from service.demo.failure import DemoFailed

# What a program needs of the machine; the settings of some real upsertd stay outside.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "TZ")
# Below the range that systems hand out to outgoing connections: in there, a client that tries again and again
# to reach a server that is down may be given the server's own port, and then talks to itself.
_LOWEST_PORT, _HIGHEST_PORT = 20000, 32000
_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0
_LOG_TAIL_BYTES = 1000


class Child:
    """A program that writes to `folder`/`name`.log; it may be started again after its end."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._folder = folder
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environment = {**inherited, **(settings or {})}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        """Start it; raises `DemoFailed` when there is no such program."""
        try:
            with self.log.open("ab") as log:
                self._popen = subprocess.Popen(  # noqa: S603 - the command is ours
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise DemoFailed(f"cannot start {self.name}: {os.strerror(error.errno or 0)}") from error

    async def ended(self, seconds: float) -> int | None:
        """Its exit code, None when it is still running after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.running:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_POLL_SECONDS)
        return self._popen.poll() if self._popen else None

    async def stop(self, seconds: float) -> int | None:
        """Ask it to end, by SIGTERM; its exit code, None when it did not within `seconds`."""
        self._signal(signal.SIGTERM)
        return await self.ended(seconds)

    def kill(self) -> None:
        """End it at once, by SIGKILL, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait(_KILL_SECONDS)

    def failed(self, what: str) -> DemoFailed:
        """The failure of this program, with the last line of its log."""
        text = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if self.log.exists() else ""
        last = text.strip().rpartition("\n")[2]
        return DemoFailed(f"{self.name} {what}" + (f": {last}" if last else ""))

    def _signal(self, number: signal.Signals) -> None:
        if self._popen is not None and self.running:
            self._popen.send_signal(number)


def free_port() -> int:
    """A port of loopback that nobody listens on now, and that no outgoing connection is given."""
    while True:
        port = secrets.SystemRandom().randint(_LOWEST_PORT, _HIGHEST_PORT)
        with socket.socket() as candidate, suppress(OSError):
            candidate.bind(("127.0.0.1", port))
            return port

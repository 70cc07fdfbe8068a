"""A consumer as a process of its own: started, frozen, resumed, ended by its id; its CPU time.

Called by `drain` and `paced` for both consumers. It is guarded like the test servers: it ends with the
benchmark, however that ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.servers.folders import guarded_folder

_CHECKOUT = str(Path(__file__).parents[1])
# What a program needs of the machine. No setting of the person who runs the benchmark: defaults count.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_STOP_SECONDS = 40
_LOG_TAIL_BYTES = 4_000


class ConsumerFailed(Exception):
    """The consumer ended, or did not do in time what it was to do; the message ends with its log."""


class ConsumerProcess:
    """A consumer that runs as long as the context is open; `settings` are environment variables."""

    def __init__(self, name: str, command: Sequence[str], settings: Mapping[str, str]) -> None:
        self.name = name
        self._command = list(command)
        self._folder = guarded_folder(name)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environment = {**inherited, "PYTHONPATH": _CHECKOUT, **settings}
        self._popen: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # The shell notes the id before it becomes the consumer: the guard never misses it.
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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. Raises `ConsumerFailed` when the process has ended."""
        self.check()
        return self._running.pid

    def check(self) -> None:
        """Raise `ConsumerFailed` when the process has ended."""
        if (code := self._running.poll()) is not None:
            raise self.failed(f"has ended with {code}")

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP); what it holds stays open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it in an orderly way, by force when it does not; nothing happens when it has ended."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        try:
            self._running.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget_pid()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._signal(signal.SIGKILL)
        self._running.wait(_STOP_SECONDS)
        self._forget_pid()

    def failed(self, why: str) -> ConsumerFailed:
        """An error that says what happened, with the end of the log."""
        log = (self._folder / "log").read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return ConsumerFailed(f"{self.name} {why}\n--- its log ends:\n{log}")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen

    def _forget_pid(self) -> None:
        # Its id may soon be another's.
        (self._folder / "pid").unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._running.poll() is None:
            os.killpg(self._running.pid, number)


def cpu_seconds(pid: int) -> float:
    """The CPU time, user and system, of a process and its children so far."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    # Children that have ended count as the process's own.
    own = times.user + times.system + times.children_user + times.children_system
    return float(own) + sum(cpu_seconds(child.pid) for child in process.children())

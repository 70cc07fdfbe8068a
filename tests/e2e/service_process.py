"""The real process, `upsertd run`, as an operator would run it: started, signalled, asked over HTTP.

Called by `stage`. A process is guarded like the test servers: whatever becomes of the test run, it is ended
by its own id.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.servers.folders import guarded_folder
from tests.servers.ports import free_port

PROGRAM = Path(sys.executable).with_name("upsertd")
_POLL_SECONDS = 0.1
_LOG_TAIL_BYTES = 6_000
# What the machine needs to run a program; PYTHONPATH to judge another checkout.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")


class ServiceFailed(Exception):
    """The service did not do in time what the scenario waits for; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Every sample of one scrape: (name, its labels) to value."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that have all of `labels`; 0 without any."""
        wanted = labels.items()
        return sum(value for (each, has), value in self.samples.items() if each == name and wanted <= has)


class ServiceProcess:
    """One replica. `settings` are environment variables; it has an HTTP port and a log file of its own.

    `command` is for those who run it with something altered.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        name: str = "upsertd",
        command: Sequence[str] = (str(PROGRAM), "run"),
    ) -> None:
        self.name = name
        self._command = command
        self._port = free_port()
        self._folder = guarded_folder(name)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._environment = {**inherited, **settings, "HTTP_PORT": str(self._port)}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def log(self) -> str:
        """All that it has written to stdout and stderr, over all of its runs."""
        file = self._folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def start(self) -> None:
        """Start it, or start it again after it has ended; `wait_ready` waits."""
        assert not self.running
        # The shell notes the id before it becomes the service: the guard never misses it.
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

    async def sigterm(self, timeout_seconds: float = 40) -> int:
        """Ask it to end and wait; returns its exit code."""
        self._signal(signal.SIGTERM)
        return await self._exit_code(timeout_seconds)

    async def kill9(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        await self._exit_code(10)

    def stop(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let it go on after `stop`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it at once, whatever it does; for the end of a test."""
        if self._popen is not None and self.running:
            self._signal(signal.SIGKILL)
            self._popen.wait(10)
        (self._folder / "pid").unlink(missing_ok=True)

    async def wait_ready(self, timeout_seconds: float = 30) -> None:
        """Wait until `/health/ready` says 200. Raises `ServiceFailed`."""
        await self.wait_for_status("/health/ready", 200, timeout_seconds)

    async def wait_for_status(
        self, path: str, status: int, timeout_seconds: float = 30, *, saying: str = ""
    ) -> None:
        """Wait until `path` answers with `status`, `saying` something. Raises `ServiceFailed`."""
        deadline = time.monotonic() + timeout_seconds
        last = "no answer"
        async with self._client() as client:
            while time.monotonic() < deadline and self.running:
                try:
                    answer = await client.get(path)
                    if answer.status_code == status and saying in answer.text:
                        return
                    last = f"{answer.status_code} {answer.text[:500]}"
                except httpx.TransportError as error:
                    last = type(error).__name__
                await asyncio.sleep(_POLL_SECONDS)
        raise self.failed(
            f"{path} did not answer {f'{status} {saying}'.strip()} within {timeout_seconds:g} s, but: {last}"
        )

    async def metrics(self) -> Metrics:
        """Scrape `/metrics`."""
        async with self._client() as client:
            answer = (await client.get("/metrics")).raise_for_status()
        families = text_string_to_metric_families(answer.text)
        samples = [sample for family in families for sample in family.samples]
        return Metrics({(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})

    async def stats(self) -> Mapping[str, object]:
        """Read `/stats`."""
        async with self._client() as client:
            answer: Mapping[str, object] = (await client.get("/stats")).raise_for_status().json()
        return answer

    async def resume(self) -> bool:
        """Do what an operator does after a flood of dead letters; whether that had paused the lanes."""
        async with self._client() as client:
            answer = (await client.post("/control/resume")).raise_for_status()
        return bool(answer.json()["was_paused"])

    def failed(self, why: str) -> ServiceFailed:
        """An error that says what happened, with the end of the log."""
        code = None if self._popen is None else self._popen.poll()
        state = "is running" if code is None else f"has ended with {code}"
        return ServiceFailed(f"{self.name} {state}: {why}\n--- its log ends:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """The end of the log."""
        return self.log[-_LOG_TAIL_BYTES:]

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", timeout=5, trust_env=False)

    def _signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        if self.running:
            os.killpg(self._popen.pid, number)

    async def _exit_code(self, timeout_seconds: float) -> int:
        assert self._popen is not None
        try:
            code = await asyncio.to_thread(self._popen.wait, timeout_seconds)
        except subprocess.TimeoutExpired:
            raise self.failed(f"it did not end within {timeout_seconds:g} s") from None
        (self._folder / "pid").unlink(missing_ok=True)
        return code

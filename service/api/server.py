"""Serves an ASGI application beside our own tasks, on a socket that is bound before anything else starts.

`app` binds at start, runs `serve` in its task group, and stops it last, so that health answers during the
drain. Signals are left to `app`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from litestar.types import ASGIApp

BACKLOG = 128
# Answers take milliseconds: whoever has not read his by then is not waited for.
GRACEFUL_STOP_SECONDS = 2


class HttpServer:
    """One application on one address. `bind`, then `serve` until `stop`."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server = _Server(
            uvicorn.Config(
                app,
                # No handlers of uvicorn's own, no line per request, and no `Server: uvicorn`.
                log_config=None,
                access_log=False,
                server_header=False,
                # The application opens nothing; a failing lifespan would end the process by SystemExit.
                lifespan="off",
                http="h11",
                ws="none",
                timeout_graceful_shutdown=GRACEFUL_STOP_SECONDS,
            )
        )

    @property
    def port(self) -> int:
        """The port that is bound; what the system chose where 0 was asked for."""
        return int(self._socket.getsockname()[1]) if self._socket else self._port

    def bind(self) -> None:
        """Take the address; from then on connections wait to be served.

        Raises `OSError` with a message for people: the port is in use, the host is not one of ours.
        """
        try:
            self._socket = _listen(self._host, self._port)
        except OSError as error:
            place = f"[{self._host}]" if ":" in self._host else self._host
            raise OSError(error.errno, f"cannot listen on {place}:{self._port}: {error.strerror}") from error

    async def serve(self) -> None:
        """Answer until `stop`, binding first where that was not done. Cancelling stops it in order, too."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None  # noqa: S101 - bind raises otherwise
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="uvicorn")
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            # Cancelled inside, uvicorn would leave its connections open.
            self.stop()
            await serving
            raise
        finally:
            self.close()

    def close(self) -> None:
        """Give the address back when `serve` never ran."""
        if self._socket:
            self._socket.close()

    def stop(self) -> None:
        """Let `serve` return soon: requests that run are finished, idle connections closed."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Uvicorn without a hand on the process's signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    # Listening at once: two sockets that are only bound may share a port, and nobody would notice.
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener

"""What every short command begins with: an event loop, a quiet log, a few connections to the database.

`upsertd run` opens its own in `service.app`. A short command answers on stdout and with one line on stderr:
what libraries would log in between is heard only with LOG_LEVEL=DEBUG.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
from structlog.typing import EventDict, WrappedLogger

from service.database import Database
from service.settings import DatabaseSettings, LogSettings, SettingsError, load_group
from service.telemetry.logging import configure_logging

# The questions of a command may run side by side, but it is no service.
MAX_CONNECTIONS = 2

Result = TypeVar("Result")


def run_briefly(command: Coroutine[object, object, Result]) -> Result:
    """Run a short command to its end, without log lines unless LOG_LEVEL is DEBUG."""
    try:
        configure_brief_logging()
    except SettingsError:
        command.close()
        raise
    return asyncio.run(command)


def configure_brief_logging() -> None:
    """Log everything with LOG_LEVEL=DEBUG, nothing otherwise. Raises `SettingsError`."""
    settings = load_group(LogSettings)
    if settings.level == "DEBUG":
        configure_logging(settings.level, settings.format)
    else:
        logging.getLogger().addHandler(logging.NullHandler())
        logging.captureWarnings(True)
        # Left alone it prints, with the values of a traceback's variables.
        structlog.configure(processors=[_drop])


def _drop(_logger: WrappedLogger, _method: str, _event: EventDict) -> EventDict:
    raise structlog.DropEvent


@asynccontextmanager
async def open_database(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """A few connections to the database, made when they are needed."""
    size = min(settings.pool_size, MAX_CONNECTIONS)
    database = Database(settings.connection_url, size, ssl=settings.ssl_context())
    try:
        yield database
    finally:
        await database.close()

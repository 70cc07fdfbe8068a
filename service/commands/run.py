"""`upsertd run`: the service itself, until it is told to stop; what it does is in `service.app`."""

from __future__ import annotations

import asyncio
import os

import click

from service import app
from service.commands.ending import Failed
from service.entities.registry import ENTITIES
from service.settings import load_settings
from service.telemetry.logging import configure_logging


@click.command(
    epilog="""\b
Examples:
  upsertd run
  DATABASE_URL_FILE=/run/secrets/database_url LOG_FORMAT=console upsertd run

SIGTERM or SIGINT drains and ends with 0. A server that is away at the start is waited for; /health/ready
says which. All settings are environment variables: see docs/configuration.md."""
)
def run() -> int:
    """Consume change events until SIGTERM or SIGINT."""
    settings = load_settings()
    settings.check_entities(ENTITIES)
    configure_logging(settings.log.level, settings.log.format)
    try:
        return asyncio.run(app.run(settings))
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        place = f"HTTP_HOST {settings.http.host}, HTTP_PORT {settings.http.port}"
        raise Failed(f"cannot serve HTTP ({place}): {why}") from error

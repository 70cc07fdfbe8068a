"""Times on the command line, and as the commands print them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", re.IGNORECASE)


class Moment(click.ParamType[datetime]):
    """An RFC 3339 time, as naive UTC; a time without a zone is UTC, a date its midnight."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        moment = _moment_of(value)
        if moment is None:
            raise click.BadParameter("must be a time such as 2026-11-21T10:15:30Z", ctx, param)
        return moment


def _moment_of(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text.upper()) if _TIME.fullmatch(text) else None
        return moment.astimezone(UTC).replace(tzinfo=None) if moment and moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def shown_time(moment: datetime) -> str:
    """Naive UTC as RFC 3339, to the microsecond."""
    return f"{moment.isoformat(timespec='microseconds')}Z"

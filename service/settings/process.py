"""The process itself: where it answers, what it writes, how long it takes to stop."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from pydantic import Field

from service.settings.forms import AnyCase, AnyCaseUpper, Otherwise, Seconds, Whole, matching
from service.settings.reading import Group


def _format_for_stderr() -> Literal["json", "console"]:
    return "console" if sys.stderr is not None and sys.stderr.isatty() else "json"


class HttpSettings(Group):
    """HTTP"""

    host: Annotated[str, matching(r"[^\s/@]{1,255}", "must be a host name or an address")] = Field(
        default="127.0.0.1",
        validation_alias="HTTP_HOST",
        description="The address that the metrics and the health answer on; `0.0.0.0` is all of them (the "
        "container image sets it).",
    )
    port: Whole = Field(default=8000, ge=1, le=65535, validation_alias="HTTP_PORT", description="Its port.")


class LogSettings(Group):
    """Log"""

    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], AnyCaseUpper] = Field(
        default="INFO",
        validation_alias="LOG_LEVEL",
        description="The least level that is written; libraries never write below `WARNING`.",
    )
    format: Annotated[
        Literal["json", "console"], AnyCase, Otherwise("`json`; `console` when stderr is a terminal")
    ] = Field(
        default_factory=_format_for_stderr,
        validation_alias="LOG_FORMAT",
        description="One JSON object a line, or lines for people. Both go to stderr.",
    )


class ShutdownSettings(Group):
    """Shutdown"""

    timeout_seconds: Seconds = Field(
        default=30,
        ge=1,
        le=3600,
        validation_alias="SHUTDOWN_TIMEOUT_SECONDS",
        description="How long a stop may take to finish what is in flight; whatever is left then is "
        "redelivered, nothing is lost.",
    )

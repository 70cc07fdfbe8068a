"""Logs: structlog over the standard library, one line each on stderr, without secrets and personal data.

`configure_logging` is called once, first thing, by a command; every module takes its logger from
`get_logger(__name__)`. What may be said of an exception is decided in `failures`; our own events say names,
numbers and coordinates, never payloads.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import PurePath
from types import TracebackType
from typing import Any, Literal
from uuid import UUID

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from service.core.types import Partition
from service.telemetry.failures import story, summary
from service.telemetry.throttle import Throttle

OURS = "service"
MAX_TEXT = 2000
MAX_DEPTH = 10

# `path:line: Category: text`: the text of a driver's warning quotes values.
_WARNING = re.compile(r".+?:\d+: \w+")


def get_logger(name: str) -> BoundLogger:
    """The logger of a module: `log.info("lane claimed", topic=…, partition=…)`."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logging(level: str, format: Literal["json", "console"]) -> None:  # noqa: A002 - the setting's name
    """Send every log line of the process to stderr, ours from `level` on, the libraries' from WARNING on.

    Exceptions that nobody caught, and warnings, go the same way.
    """
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_context(), ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = _Handler()
    handler.setFormatter(_formatter(format))
    handler.addFilter(Throttle(exempt=OURS))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    logging.getLogger(OURS).setLevel(level)
    # Closing a connection that the server has dropped already fails, with an error and a stack each time.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    _log_uncaught()


class _Handler(logging.StreamHandler[Any]):
    """Writes to stderr; a line that cannot be written does not put its arguments there instead."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        error = sys.exc_info()[1]
        line = {"level": "error", "logger": record.name, "event": "a log line could not be written"}
        with suppress(OSError, ValueError):
            self.stream.write(json.dumps(line | {"error": summary(error) if error else ""}) + "\n")


class _Formatter(ProcessorFormatter):
    """Takes the exceptions out of foreign messages' arguments before they are put into the text."""

    def format(self, record: logging.LogRecord) -> str:
        safe = logging.makeLogRecord(record.__dict__)
        if isinstance(safe.args, tuple):
            safe.args = tuple(map(_without_message, safe.args))
        elif safe.args:
            safe.args = {key: _without_message(value) for key, value in safe.args.items()}
        if isinstance(safe.msg, BaseException):
            safe.msg = summary(safe.msg)
        return super().format(safe)


def _without_message(value: object) -> object:
    return summary(value) if isinstance(value, BaseException) else value


def _formatter(format_name: Literal["json", "console"]) -> logging.Formatter:
    console: list[Processor] = [_exception_as_text, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    machine: list[Processor] = [_in_order, structlog.processors.JSONRenderer()]
    return _Formatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _tidy_foreign, *_context()],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            *(console if format_name == "console" else machine),
        ],
    )


def _context() -> list[Processor]:
    """What every line is given, and what is taken from it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _tell_exception,
        _make_plain,
    ]


def _tell_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by what may be said of it."""
    error = event.pop("exc_info", None)
    event.pop("stack_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = story(error)
    return event


def _make_plain(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # The record and its like belong to ProcessorFormatter, which takes them out again.
    return {key: value if key.startswith("_") else plain(value) for key, value in event.items()}


def plain(value: object, depth: int = MAX_DEPTH) -> object:
    """The value as JSON knows it; of an unknown object only the class's name, its repr may hold anything."""
    if isinstance(value, str):
        return str(value[:MAX_TEXT])
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, BaseException):
        return summary(value)
    if isinstance(value, Partition | datetime | PurePath | UUID):
        return str(value)
    return _plain_collection(value, depth - 1)


def _plain_collection(value: object, depth: int) -> object:
    if depth > 0 and isinstance(value, Mapping):
        return {str(plain(key)): plain(part, depth) for key, part in value.items()}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [plain(part, depth) for part in value]
    return f"<{type(value).__name__}>"


def _tidy_foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)  # uvicorn's second copy, with escape codes
    name, text = event["_record"].name, str(event["event"])
    if name == "asyncio":
        # Below its first line stands the repr of a future, with its exception and the message of that.
        event["event"] = text.partition("\n")[0]
    elif name == "py.warnings":
        place = _WARNING.match(text)
        event["event"] = place.group() if place else "warning"
    return event


def _in_order(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = ("timestamp", "level", "logger", "event")
    return {**{key: event[key] for key in first if key in event}, **event}


def _exception_as_text(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if "exception" in event:
        event["exception"] = "\n".join(_lines(event["exception"], "  "))
    return event


def _lines(chapters: list[dict[str, Any]], indent: str) -> list[str]:
    lines: list[str] = []
    for chapter in chapters:
        lines.append(f"{indent}{chapter['error']}")
        lines += [f"{indent}  at {frame}" for frame in reversed(chapter["frames"])]
        for part in chapter.get("exceptions", ()):
            lines += _lines(part, indent + "  | ")
    return lines


def _log_uncaught() -> None:
    """Python's own hooks would print the messages of exceptions, and not as a log line."""
    log = get_logger(f"{OURS}.uncaught")

    def report(where: str) -> Callable[[BaseException | None], None]:
        def log_error(error: BaseException | None) -> None:
            if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
                log.critical("uncaught exception", where=where, exc_info=error)

        return log_error

    main, thread, finaliser = report("main"), report("thread"), report("finaliser")

    def from_main(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        main(error)

    sys.excepthook = from_main
    threading.excepthook = lambda arguments: thread(arguments.exc_value)
    sys.unraisablehook = lambda arguments: finaliser(arguments.exc_value)

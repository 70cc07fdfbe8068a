"""Log lines are JSON on stderr, and hold no secret and no personal data, whoever wrote them."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

import pymysql
import pytest
import structlog

from service.core.errors import Unavailable
from service.core.types import Partition
from service.telemetry.failures import story, summary
from service.telemetry.logging import configure_logging, get_logger
from service.telemetry.throttle import LINES_PER_WINDOW, WINDOW_SECONDS, Throttle

SECRET = "ada@example.org"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Puts logging and the hooks back after each test."""
    root, ours = logging.getLogger(), logging.getLogger("service")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    logging.captureWarnings(False)
    structlog.reset_defaults()


def our_log() -> structlog.stdlib.BoundLogger:
    """One of our loggers, with JSON lines from INFO on.

    No fixture: pytest gives every phase of a test another stderr, and handlers of its own that raise.
    """
    configure_logging("INFO", "json")
    return get_logger("service.pipeline.run")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert SECRET not in captured.err
    return [json.loads(line) for line in captured.err.splitlines()]


def throw(error: BaseException) -> NoReturn:
    raise error


def failure(error: Exception) -> Exception:
    """The error as it is when it was raised: with frames."""
    with suppress(type(error)):
        throw(error)
    return error


def test_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is one JSON object that begins with when, how bad, who and what."""
    log = our_log()
    log.info("lane claimed", topic="orders", partition=Partition("orders", 3), epoch=4, ratio=float("nan"))
    (line,) = lines(capsys)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["event"]) == ("info", "service.pipeline.run", "lane claimed")
    assert (line["topic"], line["partition"], line["epoch"], line["ratio"]) == (
        "orders",
        "orders/3",
        4,
        "nan",
    )


def test_level(capsys: pytest.CaptureFixture[str]) -> None:
    """What lies below the level is not written."""
    log = our_log()
    log.debug("batch decoded")
    assert lines(capsys) == []


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """People get a line with the event, and the exception below it."""
    configure_logging("INFO", "console")
    get_logger("service.app").error("start failed", exc_info=failure(ValueError(SECRET)))
    err = capsys.readouterr().err
    assert "start failed" in err
    assert "ValueError\n" in err
    assert "tests/unit/test_logging.py" in err
    assert SECRET not in err


def test_values_of_unknown_objects_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    """An object's repr may hold a whole record: only its class is told, at any depth."""
    log = our_log()

    class Customer:
        def __repr__(self) -> str:
            return SECRET

    log.info("decoded", event_of=Customer(), nested={"rows": [Customer()]}, raw=SECRET.encode())
    (line,) = lines(capsys)
    assert (line["event_of"], line["nested"], line["raw"]) == (
        "<Customer>",
        {"rows": ["<Customer>"]},
        "<bytes>",
    )


def test_exception_as_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception handed over as a value is told without its message."""
    log = our_log()
    log.warning("skipped", error=KeyError(SECRET), at=datetime(2026, 1, 2, tzinfo=UTC))
    (line,) = lines(capsys)
    assert (line["error"], line["at"]) == ("KeyError", "2026-01-02 00:00:00+00:00")


def test_exception_in_flight(capsys: pytest.CaptureFixture[str]) -> None:
    """`log.exception` tells class and frames of the whole chain, and only our own messages."""
    log = our_log()
    try:
        try:
            throw(pymysql.err.DataError(1406, f"Data too long: '{SECRET}'"))
        except pymysql.err.DataError as error:
            raise Unavailable("SQL error 1406 (email)", part="database") from error
    except Unavailable:
        log.exception("batch failed")
    (line,) = lines(capsys)
    assert [chapter["error"] for chapter in line["exception"]] == [
        "service.core.errors.Unavailable: SQL error 1406 (email)",
        "pymysql.err.DataError: code 1406",
    ]
    assert line["exception"][0]["frames"][0].startswith("tests/unit/test_logging.py:")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(ValueError(SECRET), "ValueError", id="foreign"),
        pytest.param(KeyError(4711), "KeyError", id="number-that-may-be-an-id"),
        pytest.param(OSError(111, SECRET), "ConnectionRefusedError: Connection refused", id="os-error"),
        pytest.param(OSError(SECRET), "OSError", id="os-error-without-number"),
        pytest.param(TimeoutError(SECRET), "TimeoutError", id="timeout"),
        pytest.param(
            pymysql.err.OperationalError(2013, SECRET), "pymysql.err.OperationalError: code 2013", id="sql"
        ),
        pytest.param(pymysql.err.InterfaceError(SECRET), "pymysql.err.InterfaceError", id="sql-without-code"),
        pytest.param(
            Unavailable("no answer for 5 s", part="redis"),
            "service.core.errors.Unavailable: no answer for 5 s",
            id="ours",
        ),
    ],
)
def test_summary(error: BaseException, told: str) -> None:
    """Messages are told where we wrote them; of others the class, and a number that means something."""
    assert summary(error) == told


def test_group_tells_its_parts() -> None:
    """A task group's exception tells what is inside."""
    (chapter,) = story(failure(ExceptionGroup(SECRET, [ValueError(SECRET), KeyError(1)])))
    parts = chapter["exceptions"]
    assert isinstance(parts, list)
    assert [part[0]["error"] for part in parts] == ["ValueError", "KeyError"]
    assert SECRET not in str(chapter)


def test_chain_in_a_circle_ends() -> None:
    """Exceptions that cause each other are told once."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert [chapter["error"] for chapter in story(first)] == ["ValueError", "KeyError"]


def test_library_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries write from WARNING on, in our form, with exceptions told our way."""
    our_log()
    library = logging.getLogger("aiokafka.consumer")
    library.info("joined")
    library.warning(
        "failed for %s: %s",
        "orders",
        ValueError(SECRET),
        exc_info=failure(ValueError(SECRET)),
        extra={"node": 2},
    )
    library.error(ValueError(SECRET))
    first, second = lines(capsys)
    assert (first["event"], first["logger"]) == ("failed for orders: ValueError", "aiokafka.consumer")
    assert (first["node"], first["exception"][0]["error"]) == (2, "ValueError")
    assert second["event"] == "ValueError"


def test_library_with_named_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """The form with one mapping is told our way, too."""
    our_log()
    logging.getLogger("sqlalchemy").warning("failed: %(error)s", {"error": ValueError(SECRET)})
    (line,) = lines(capsys)
    assert line["event"] == "failed: ValueError"


def test_asyncio_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """asyncio's report of a lost exception has the repr of a future below its first line."""
    our_log()
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: ValueError('{SECRET}')")
    (line,) = lines(capsys)
    assert line["event"] == "Task exception was never retrieved"


def test_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """A driver's warning quotes values: its place and its category are told."""
    our_log()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(UserWarning(f"Incorrect value: '{SECRET}'"), UserWarning, "driver.py", 7)
    (line,) = lines(capsys)
    assert line["event"] == "driver.py:7: UserWarning"


def test_line_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    """A message that does not fit its arguments does not spill them."""
    our_log()
    logging.getLogger("aiokafka").error("%d records", SECRET)
    (line,) = lines(capsys)
    assert line["event"] == "a log line could not be written"
    assert line["error"] == "TypeError"


@pytest.mark.parametrize("hook", ["main", "thread"])
def test_uncaught_exceptions(capsys: pytest.CaptureFixture[str], hook: str) -> None:
    """What nobody caught is a log line, without its message."""
    our_log()
    error = failure(ValueError(SECRET))
    if hook == "main":
        sys.excepthook(ValueError, error, error.__traceback__)
    else:
        threading.excepthook(threading.ExceptHookArgs((ValueError, error, error.__traceback__, None)))
    (line,) = lines(capsys)
    assert (line["level"], line["where"], line["exception"][0]["error"]) == ("critical", hook, "ValueError")


def test_libraries_are_throttled(capsys: pytest.CaptureFixture[str]) -> None:
    """A library that repeats itself is heard a few times, whatever its arguments; we are heard always."""
    log = our_log()
    library = logging.getLogger("aiokafka.conn")
    for attempt in range(1000):
        library.warning("attempt %s failed", attempt)
    library.warning("another message")
    for _ in range(10):
        log.info("ours")
    told = [line["event"] for line in lines(capsys)]
    assert len([event for event in told if event.startswith("attempt")]) == LINES_PER_WINDOW
    assert told.count("another message") == 1
    assert told.count("ours") == 10


def test_throttle_says_what_it_kept_back() -> None:
    """The first line of the next minute carries the number of those before it."""
    now = 0.0
    throttle = Throttle(exempt="service", clock=lambda: now)

    def passes() -> logging.LogRecord | None:
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no broker %s", (1,), None)
        return record if throttle.filter(record) else None

    passed = [passes() for _ in range(LINES_PER_WINDOW + 20)]
    assert len([record for record in passed if record]) == LINES_PER_WINDOW
    now = WINDOW_SECONDS
    record = passes()
    assert record is not None
    assert record.__dict__["suppressed"] == 20
    again = passes()
    assert again is not None
    assert "suppressed" not in again.__dict__


def test_throttle_is_bounded() -> None:
    """Messages that are all different neither fill the memory nor the log."""
    throttle = Throttle(exempt="service", clock=lambda: 0.0)
    records = (logging.LogRecord("lib", logging.ERROR, "", 0, f"id {n}", (), None) for n in range(5000))
    assert sum(throttle.filter(record) for record in records) <= 1000 + LINES_PER_WINDOW


def test_connections_that_the_server_has_dropped_are_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    """Closing one fails, and SQLAlchemy would tell that with a stack."""
    our_log()
    logging.getLogger("sqlalchemy.pool.impl.AsyncAdaptedQueuePool").error("Exception closing connection")
    assert lines(capsys) == []

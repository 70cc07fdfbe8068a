"""The filter that keeps an outage from flooding the log."""

from __future__ import annotations

import logging

from service.sources.kafka_logging import Sparingly


def line(message: str, value: object, at: float, logger: str = "aiokafka") -> logging.LogRecord:
    """A line as aiokafka logs it, at a time in seconds."""
    record = logging.LogRecord(logger, logging.ERROR, __file__, 1, message, (value,), None)
    record.created = at
    return record


def test_a_line_comes_once_in_a_while() -> None:
    """Repeats are silent for the time, whatever values they carry, and are heard again afterwards."""
    sparingly = Sparingly(30)
    times = (0, 1, 29, 31, 32, 62)
    assert [sparingly.filter(line("failed: %s", at, at)) for at in times] == [1, 0, 0, 1, 0, 1]


def test_lines_of_other_kinds_and_loggers_come_through() -> None:
    """One flood does not hide another."""
    sparingly = Sparingly(30)
    assert sparingly.filter(line("failed: %s", 1, 0))
    assert sparingly.filter(line("lost: %s", 1, 0))
    assert sparingly.filter(line("failed: %s", 1, 0, logger="aiokafka.conn"))

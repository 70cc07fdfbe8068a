"""Keeps a library that repeats itself from filling the log: a few lines per message a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 60.0
LINES_PER_WINDOW = 5
# Messages that hold their values are all different: beyond this many, the rest of a logger counts as one.
MAX_TEMPLATES = 1000


@dataclass(slots=True)
class _Window:
    began: float
    lines: int = 0
    suppressed: int = 0


class Throttle(logging.Filter):
    """Lets `LINES_PER_WINDOW` lines of each message template pass in a minute.

    The next line that passes says how many were `suppressed`. Loggers under `exempt` pass always.
    """

    def __init__(self, exempt: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._exempt = exempt
        self._clock = clock
        self._windows: dict[tuple[str, int, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == self._exempt or record.name.startswith(f"{self._exempt}."):
            return True
        window = self._window(record)
        if window.lines >= LINES_PER_WINDOW:
            window.suppressed += 1
            return False
        if window.suppressed:
            record.suppressed = window.suppressed
            window.suppressed = 0
        window.lines += 1
        return True

    def _window(self, record: logging.LogRecord) -> _Window:
        key = (record.name, record.levelno, str(record.msg))
        if key not in self._windows and len(self._windows) >= MAX_TEMPLATES:
            key = (record.name, record.levelno, "")
        window = self._windows.setdefault(key, _Window(self._clock()))
        if self._clock() - window.began >= WINDOW_SECONDS:
            window.began = self._clock()
            window.lines = 0
        return window

"""What is going on in a running demo: `play` writes it, the views read it, twice a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from service.demo.figures import Figures, quantile

# Rates and delays are taken over this long: long enough to be calm, short enough to show an outage.
WINDOW_SECONDS = 5.0
_HISTORY_READINGS = 240


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose: `rate` in records a second, `duplicates` as a share from 0 to 1."""

    seconds: float = 30.0
    rate: int = 200
    seed: int = 1
    duplicates: float = 0.3


class Phase(StrEnum):
    STARTING = "starting"
    STREAMING = "streaming"
    DRAINING = "draining"
    JUDGING = "judging"


class Tone(StrEnum):
    """What a piece of news means for the service."""

    PLAIN = "plain"
    FAULT = "fault"
    RELIEF = "relief"


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened `second` seconds after the start."""

    second: float
    text: str
    tone: Tone


@dataclass
class Scene:
    """The demo now. `clock` gives seconds; `urls` are there once the service has an address."""

    options: Options
    clock: Callable[[], float]
    phase: Phase = Phase.STARTING
    started: float = 0.0
    streaming_since: float | None = None
    sent: int = 0
    figures: Figures = field(default_factory=Figures)
    answers: bool = False
    letters: tuple[tuple[str, int], ...] = ()
    news: list[News] = field(default_factory=list)
    urls: tuple[str, ...] = ()
    unready_seconds: float = 0.0
    _readings: deque[tuple[int, Figures]] = field(default_factory=lambda: deque(maxlen=_HISTORY_READINGS))

    @property
    def second(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    @property
    def streamed_seconds(self) -> float:
        """Seconds of the stream so far; it has as many as were asked for, start and drain come on top."""
        if self.streaming_since is None:
            return 0.0
        return min(self.clock() - self.streaming_since, self.options.seconds)

    def say(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Add a piece of news."""
        self.news.append(News(self.second, text, tone))

    def read(self, figures: Figures | None) -> None:
        """Take a new reading of the service, None when it did not answer."""
        self.answers = figures is not None
        if figures is None:
            return
        if figures.status == "failing" and self._readings and self.streaming_since is not None:
            self.unready_seconds += figures.time - self.figures.time
        self._tell_health(figures)
        self.figures = figures
        self._readings.append((self.sent, figures))

    def _tell_health(self, figures: Figures) -> None:
        """Say it when the service's readiness changes, in its own words."""
        if figures.status == self.figures.status or self.streaming_since is None:
            return
        why = "; ".join(f"{part.name}: {part.reason}" for part in figures.troubles[:1])
        tone = Tone.RELIEF if figures.status == "ok" else Tone.FAULT
        self.say(f"/health/ready: {figures.status}" + (f" ({why})" if why else ""), tone)

    @property
    def sent_rate(self) -> float:
        """Records sent a second."""
        (sent, older), (now_sent, newer) = self._window()
        return (now_sent - sent) / _span(older, newer)

    @property
    def lag(self) -> int:
        """Records that were sent and have no outcome yet: the service's own gauge is seconds old."""
        sent, figures = self._readings[-1] if self._readings else (0, self.figures)
        return max(0, sent - figures.handled)

    @property
    def handled_rate(self) -> float:
        """Events handled a second."""
        (_, older), (_, newer) = self._window()
        return (newer.handled - older.handled) / _span(older, newer)

    @property
    def statement_rate(self) -> float:
        """SQL statements a second."""
        (_, older), (_, newer) = self._window()
        return (newer.statements - older.statements) / _span(older, newer)

    def delay(self, share: float, *, whole: bool = False) -> float | None:
        """Seconds from a change to its commit, for `share` of the events of late, or of the `whole` demo."""
        (_, older), (_, newer) = self._window()
        return quantile(share, Figures() if whole else older, newer)

    def handled_rates(self, number: int) -> list[float]:
        """The last `number` rates of events handled, one for each reading."""
        figures = [figures for _, figures in self._readings][-number - 1 :]
        return [(newer.handled - older.handled) / _span(older, newer) for older, newer in pairwise(figures)]

    def _window(self) -> tuple[tuple[int, Figures], tuple[int, Figures]]:
        if not self._readings:
            return (0, Figures()), (0, Figures())
        newest = self._readings[-1]
        edge = newest[1].time - WINDOW_SECONDS
        oldest = next(reading for reading in self._readings if reading[1].time >= edge)
        return oldest, newest


def _span(older: Figures, newer: Figures) -> float:
    return max(newer.time - older.time, 0.001)

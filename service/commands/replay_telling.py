"""What `upsertd replay` says: on stderr how far it is while it runs, on stdout what became of the records.

On a terminal the line of progress is written over every second; elsewhere it is a line now and then.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

import click

from service.commands.terminal import printable, table
from service.commands.words import plain_words
from service.core.errors import TemporaryError, Unavailable
from service.core.types import Outcome
from service.pipeline.replay import Replayed, begin
from service.pipeline.stretch import Stretch

_SECONDS_ON_A_TERMINAL, _SECONDS_ELSEWHERE = 1.0, 10.0
_HEAD = ("TOPIC", "PARTITION", "FROM", "TO", "AT", "READ", "APPLIED", "STALE", "DUPLICATE", "DEAD", "PARKED")


class Teller:
    """Tells of the replay of `stretches`; `all` are how far each of them has come.

    `clock` answers seconds and never runs backwards.
    """

    def __init__(
        self,
        stretches: Sequence[Stretch],
        *,
        force: bool = False,
        dry_run: bool = False,
        as_json: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.all = [begin(stretch) for stretch in stretches]
        self._force = force
        self._dry_run = dry_run
        self._as_json = as_json
        self._clock = clock
        self._terminal = sys.stderr.isatty()
        self._seconds = _SECONDS_ON_A_TERMINAL if self._terminal else _SECONDS_ELSEWHERE
        self._told_at = clock()
        self._width = 0

    def begins(self) -> None:
        """Say what is going to be read."""
        for replayed in self.all:
            self._line(_intention(replayed.stretch))

    def moved(self, replayed: Replayed) -> None:
        """A transaction came to its end: say so, if it is time."""
        self._progress(replayed, "")

    def waiting(self, replayed: Replayed, error: TemporaryError | Unavailable) -> None:
        """Something does not answer as it should: say so, if it is time."""
        self._progress(replayed, f", waiting: {plain_words(error)}")

    def ends(self) -> None:
        """Say what became of it all."""
        self._finish_line()
        for replayed in self.all:
            if not replayed.finished:
                self._line(f"not finished: {_place(replayed)}")
        if self._dry_run:
            self._line("dry run: nothing was written")
        click.echo(json.dumps(self._summary(), indent=2) if self._as_json else _table(self.all))

    def _summary(self) -> dict[str, object]:
        return {
            "topic": self.all[0].stretch.partition.topic,
            "force": self._force,
            "dry_run": self._dry_run,
            "finished": all(replayed.finished for replayed in self.all),
            "partitions": [_counted(replayed) for replayed in self.all],
            "total": dict(_total(self.all)),
        }

    def _progress(self, replayed: Replayed, addition: str) -> None:
        now = self._clock()
        if now - self._told_at < self._seconds:
            return
        self._told_at = now
        line = printable(f"{_place(replayed)}, {_outcomes(replayed)}{addition}")
        if self._terminal:
            click.echo(f"\r{line:<{self._width}}", nl=False, err=True)
            self._width = len(line)
        else:
            self._line(line)

    def _line(self, text: str) -> None:
        click.echo(f"upsertd: {printable(text)}", err=True)

    def _finish_line(self) -> None:
        if self._width:
            click.echo(err=True)
            self._width = 0


def _intention(stretch: Stretch) -> str:
    if stretch.begin == stretch.end:
        return f"{stretch.partition}: {stretch.remark or f'nothing from {stretch.begin} on'}"
    remark = f", {stretch.remark}" if stretch.remark else ""
    return f"{stretch.partition}: {stretch.begin} to {stretch.end}{remark}"


def _place(replayed: Replayed) -> str:
    return f"{replayed.stretch.partition} at {replayed.position} of {replayed.stretch.end}"


def _outcomes(replayed: Replayed) -> str:
    return ", ".join(
        f"{number} {name}" for name, number in counts(replayed).items() if number or name == "read"
    )


def counts(replayed: Replayed) -> dict[str, int]:
    """How many records were read, and what became of them."""
    by_outcome = {outcome.value: replayed.outcomes[outcome] for outcome in Outcome}
    return {"read": replayed.records, **by_outcome, "parked": replayed.parked}


def _total(every: Sequence[Replayed]) -> Counter[str]:
    total: Counter[str] = Counter()
    for replayed in every:
        total.update(counts(replayed))
    return total


def _counted(replayed: Replayed) -> dict[str, object]:
    stretch = replayed.stretch
    return {
        "partition": stretch.partition.number,
        "from_offset": stretch.begin,
        "to_offset": stretch.end,
        "next_offset": replayed.position,
        **counts(replayed),
    }


def _table(every: Sequence[Replayed]) -> str:
    topic = every[0].stretch.partition.topic
    rows = [[topic, *map(str, _counted(replayed).values())] for replayed in every]
    if len(rows) > 1:
        rows.append(["all", "", "", "", "", *map(str, _total(every).values())])
    return table(_HEAD, rows, numbers=range(1, len(_HEAD)))

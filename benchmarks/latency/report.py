"""The section `latency` of docs/performance.md and its pictures. Called by `report` of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import sections
from benchmarks.latency.picture import draw_bursts, draw_rising
from benchmarks.latency.results import Bursts, Latency, Rising
from benchmarks.latency.table import BURSTS_HEAD, RISING_HEAD, bursts_rows, kept_up, rising_rows
from benchmarks.machine import told
from benchmarks.table import markdown

COMMAND = "python -m benchmarks.latency report build/latency.json"
_RISING, _BURSTS = "latency-rising.svg", "latency-bursts.svg"


def write(latency: Latency) -> Iterator[Path]:
    """Write the pictures of what was measured, and the section; yields what was written."""
    if latency.rising:
        yield _write_picture(_RISING, draw_rising(latency.rising))
    if latency.bursts:
        yield _write_picture(_BURSTS, draw_bursts(latency.bursts))
    yield sections.write("latency", COMMAND, lines(latency))


def lines(latency: Latency) -> list[str]:
    """What stands in the section."""
    parts = []
    if latency.rising:
        parts.append("\n".join(_rising(latency.rising)))
    if latency.bursts:
        parts.append("\n".join(_bursts(latency.bursts)))
    return "\n\n".join(parts).splitlines()


def _rising(rising: Rising) -> Iterator[str]:
    rounds = f"{rising.rounds} rounds" if rising.rounds > 1 else "one round"
    yield "### Under rising load"
    yield ""
    yield from sections.paragraph(
        f"Each rate is offered whatever the service does, and an event's delay begins when it is due. "
        f"{_percent(rising.copied_share)} of the events are replays, which leave nothing to see: the delays "
        f"are those of originals. The highest rate that was kept up with: **{kept_up(rising):,.0f} "
        f"events/s**. *Saturated* is a rate at which delays grow as long as it goes on, or pass a second in "
        f"one of a hundred events. Looking for what has become visible, every 1 to 3 ms, costs the database "
        f"CPU time, which is counted here: that is why low rates look expensive."
    )
    yield ""
    yield f"![Delay by offered rate](images/{_RISING})"
    yield ""
    yield from markdown(RISING_HEAD, list(rising_rows(rising))).splitlines()
    yield ""
    yield from sections.paragraph(f"Measured: {told(rising.machine, rounds, f'seed {rising.seed}')}.")


def _bursts(bursts: Bursts) -> Iterator[str]:
    yield "### Bursts"
    yield ""
    yield from sections.paragraph(
        f"Quiet traffic, {bursts.quiet_per_second:g} events/s, and now and then thousands that are due at "
        f"one moment; {_percent(bursts.copied_share)} of all are replays. *Beside* are quiet events that "
        f"were on their way while the burst was worked off, *after* those that came later."
    )
    yield ""
    yield f"![Delay over time](images/{_BURSTS})"
    yield ""
    yield from markdown(BURSTS_HEAD, list(bursts_rows(bursts))).splitlines()
    yield ""
    yield from sections.paragraph(
        f"Producing the largest burst took part of its time: the last event of one was sent up to "
        f"{bursts.late_ms:,.0f} ms after it was due. Measured: {told(bursts.machine, f'seed {bursts.seed}')}."
    )


def _percent(share: float) -> str:
    return f"{share * 100:g} %"


def _write_picture(name: str, svg: str) -> Path:
    file = sections.IMAGES / name
    file.write_text(svg, encoding="utf-8")
    return file

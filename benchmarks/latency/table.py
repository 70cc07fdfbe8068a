"""The figures as tables. Pure; called by `__main__` and `report`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from benchmarks.latency.results import Bursts, Delays, Rising, Step
from benchmarks.summary import spread
from benchmarks.table import Cells

RISING_HEAD = (
    "offered, events/s", "p50", "p90", "p99", "max", "events/batch", "statements/event", "CPU µs/event", "",
)  # fmt: skip
BURSTS_HEAD = (
    "burst", "worked off in", "originals/s", "inside p50", "p99",
    "quiet before p50", "p99", "beside p50", "p99", "after p50", "p99",
)  # fmt: skip


def rates(rising: Rising) -> dict[float, list[Step]]:
    """The steps of each rate, one for each round that came so far."""
    found: dict[float, list[Step]] = {}
    for step in rising.steps:
        found.setdefault(step.per_second, []).append(step)
    return found


def kept_up(rising: Rising) -> float:
    """The highest rate that was worked off in every round; 0 where there is none."""
    good = [
        rate
        for rate, steps in rates(rising).items()
        if len(steps) == rising.rounds and not any(step.is_saturated for step in steps)
    ]
    return max(good, default=0)


def rising_rows(rising: Rising) -> Iterator[Cells]:
    """A row for each rate."""
    for rate, steps in rates(rising).items():
        delays = [step.delays for step in steps]
        yield [
            f"{rate:,.0f}",
            _ms([each.p50_ms for each in delays]),
            _ms([each.p90_ms for each in delays]),
            _ms([each.p99_ms for each in delays]),
            _ms([each.max_ms for each in delays]),
            f"{median(step.events / max(step.batches, 1) for step in steps):,.1f}",
            f"{median(step.statements / step.events for step in steps):.3f}",
            f"{median(sum(step.cpu_us.values()) for step in steps):,.0f}",
            _remark(steps),
        ]


def bursts_rows(bursts: Bursts) -> Iterator[Cells]:
    """A row for each burst."""
    for each in bursts.bursts:
        yield [
            f"{each.size:,}",
            f"{each.catch_up_seconds:.2f} s",
            f"{each.originals_per_second:,.0f}",
            *_p50_p99(each.inside),
            *_p50_p99(each.before),
            *_p50_p99(each.beside),
            *_p50_p99(each.after),
        ]


def _p50_p99(delays: Delays | None) -> tuple[str, str]:
    if delays is None:
        return "", ""
    return _ms([delays.p50_ms]), _ms([delays.p99_ms])


def _ms(values: Sequence[float]) -> str:
    """Such as `7.4 ms`; with the least and the greatest value where there are several."""
    digits = 0 if median(values) >= 100 else 1
    text = f"{values[0]:,.{digits}f}" if len(values) == 1 else spread(values).text(digits)
    return f"{text} ms"


def _remark(steps: Sequence[Step]) -> str:
    remarks = []
    if any(step.is_saturated for step in steps):
        remarks.append("saturated")
    if (late_ms := max(step.late_ms for step in steps)) > 100:
        remarks.append(f"sent up to {late_ms:,.0f} ms late")
    return ", ".join(remarks)

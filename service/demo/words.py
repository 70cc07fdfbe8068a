"""Figures as people read them: used by both views and the summary."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share from 0 to 1."""
    return f"{share:.0%}".replace("%", " %")


def seconds_text(seconds: float | None) -> str:
    """A duration in two digits: `9 ms`, `1.2 s`, `40 s`; a dash where there is none."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def number(value: float) -> str:
    """A count with its thousands set apart."""
    return f"{value:,.0f}"

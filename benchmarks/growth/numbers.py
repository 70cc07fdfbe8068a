"""Numbers on the command line, such as `0,1M,20M`. Called by `__main__`."""

from __future__ import annotations

import re

import click

_NUMBER = re.compile(r"(\d+)([kM]?)")
_TIMES = {"": 1, "k": 1_000, "M": 1_000_000}


class Number(click.ParamType[int]):
    """A whole number from `least` on; `k` is a thousand, `M` a million."""

    name = "number"

    def __init__(self, least: int = 1) -> None:
        self._least = least

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`; an int was read already."""
        if isinstance(value, int):
            return value
        found = _NUMBER.fullmatch(value.strip())
        number = int(found[1]) * _TIMES[found[2]] if found else -1
        if number < self._least:
            self.fail(f"{value!r}: a whole number from {self._least} on, such as 50k or 20M", param, ctx)
        return number


class Numbers(click.ParamType[tuple[int, ...]]):
    """Several of them, separated by commas."""

    name = "numbers"

    def __init__(self, least: int = 1) -> None:
        self._number = Number(least)

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """See `click.ParamType`; a tuple was read already."""
        if isinstance(value, tuple):
            return value
        return tuple(self._number.convert(each, param, ctx) for each in value.split(","))

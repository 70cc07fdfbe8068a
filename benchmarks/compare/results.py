"""What a comparison has measured, as it is kept in JSON. Written by `runs`, read by `report`."""

from __future__ import annotations

import msgspec

from benchmarks.machine import Machine
from benchmarks.results import Drain

A, B = "A", "B"


class Side(msgspec.Struct, frozen=True):
    """What was run on one side, by a Python that says so of itself (empty: by the one that measures).

    `differing` are pinned packages that are installed in other versions.
    """

    label: str
    title: str
    settings: dict[str, str]
    differing: list[str]
    python: str = ""


class Compared(msgspec.Struct):
    """Everything of one comparison; the `contender` of a drain is A or B."""

    machine: Machine
    a: Side
    b: Side
    rounds: int
    events: int
    seed: int
    drains: list[Drain] = []

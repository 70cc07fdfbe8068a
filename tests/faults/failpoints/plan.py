"""What a process is to run into, and what it tells of it: the words between a chain and its processes.

The plan travels in an environment variable, the account in a file of lines, each written with one call: what
a process wrote before it was killed is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.steps import STEPS, Step

PLAN_VARIABLE = "UPSERTD_TEST_FAILPOINTS"

STUBBORN = "a stubborn row"
"""No batch gets the lock of a new customer of this name (1205): its record is parked, and tried alone."""


class Failpoint(msgspec.Struct, frozen=True):
    """One fault at one step, when the lane that comes there has a batch of `records` or more in hand.

    `records` 0: whatever it has, nothing at all too. The first `skip` who come there pass.
    """

    step_name: str
    kind: Kind
    records: int = 0
    skip: int = 0

    @property
    def step(self) -> Step:
        return STEPS[self.step_name]


class Plan(msgspec.Struct, frozen=True):
    """The failpoints of one process, in the order in which they are armed; `bug` is planted first of all."""

    failpoints: tuple[Failpoint, ...]
    account: str
    bug: str | None = None

    def variables(self) -> Mapping[str, str]:
        """The environment that hands it over."""
        return {PLAN_VARIABLE: msgspec.json.encode(self).decode()}


def handed_plan() -> Plan:
    """The plan that this process was given; raises KeyError where there is none."""
    return msgspec.json.decode(os.environ[PLAN_VARIABLE], type=Plan)


class Told(msgspec.Struct, frozen=True):
    """A line of the account: what happened, to which failpoint (its number in the plan), when.

    `struck` the fault; `went on` the lane that it struck; `worked` the process's first batch. `at` is the
    monotonic clock's, which all processes of a machine share.
    """

    what: str
    number: int
    at: float


@dataclass(frozen=True, slots=True)
class Account:
    """The file in which a process tells; a new process has a new one."""

    path: Path

    def tell(self, what: str, number: int = -1) -> None:
        """Add a line."""
        line = msgspec.json.encode(Told(what, number, time.monotonic())) + b"\n"
        with self.path.open("ab", buffering=0) as file:
            file.write(line)

    def read(self) -> Sequence[Told]:
        """All that was told so far."""
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [msgspec.json.decode(line, type=Told) for line in lines]

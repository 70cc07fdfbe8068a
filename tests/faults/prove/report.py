"""What the proof found: one `Report`, written as report.json and shown by `page`. Called by `parts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.faults.chaos.results import Results
from tests.faults.failpoints.summary import Summary as Failpoints


@dataclass(frozen=True, slots=True)
class Broken:
    """A simulated history that broke a promise; its seed replays it."""

    seed: int
    what: str


@dataclass(frozen=True, slots=True)
class Simulated:
    """What the simulation says; it says more than this. `faults` by kind."""

    histories: int
    first_seed: int
    records: int
    faults: Mapping[str, int]
    violations: tuple[Broken, ...]


@dataclass(frozen=True, slots=True)
class Planted:
    """The bugs that were planted, and those that no scenario noticed."""

    bugs: int
    missed: tuple[str, ...]
    other_failures: tuple[str, ...]

    @property
    def caught(self) -> int:
        return self.bugs - len(self.missed)


Found = Simulated | Failpoints | Planted | Results


@dataclass(frozen=True, slots=True)
class Part:
    """How one part of the proof went. `repeat` is the command that runs it again, the same way.

    `problem` is why nothing is known of it: it did not end in time, or wrote nothing that can be read.
    """

    name: str
    held: bool
    seconds: float
    repeat: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A whole proof; a part that found nothing readable is None."""

    began: str
    seconds: float
    seed: int
    repeat: str
    parts: tuple[Part, ...]
    simulation: Simulated | None
    failpoints: Failpoints | None
    planted: Planted | None
    chaos: Results | None

    @property
    def held(self) -> bool:
        """Whether every part ran, and found nothing."""
        return bool(self.parts) and all(part.held for part in self.parts)

    @property
    def violations(self) -> tuple[str, ...]:
        """Every broken promise, a line each."""
        simulated = self.simulation.violations if self.simulation is not None else ()
        return (
            *(f"simulation, seed {each.seed}: {each.what}" for each in simulated),
            *(f"failpoints: {line}" for line in (self.failpoints.violations if self.failpoints else ())),
            *(self.chaos.violations if self.chaos is not None else ()),
        )

    @property
    def unnoticed(self) -> tuple[str, ...]:
        """Why the checks themselves are in doubt, or do not know: a line each."""
        planted = self.planted or Planted(0, (), ())
        return (
            *(f"{part.name}: {part.problem}" for part in self.parts if part.problem is not None),
            *(f"the planted bug {name} was not noticed" for name in planted.missed),
            *(f"{name} failed" for name in planted.other_failures),
        )

    @property
    def produced(self) -> int:
        """Records that went through real servers."""
        failpoints = self.failpoints.counts.produced if self.failpoints is not None else 0
        return failpoints + (self.chaos.produced if self.chaos is not None else 0)

    @property
    def injected(self) -> int:
        """Faults of real servers and processes."""
        failpoints = len(self.failpoints.injected) if self.failpoints is not None else 0
        return failpoints + (len(self.chaos.faults) if self.chaos is not None else 0)

    @property
    def lost(self) -> int:
        failpoints = self.failpoints.counts.lost if self.failpoints is not None else 0
        return failpoints + (self.chaos.lost if self.chaos is not None else 0)

    @property
    def doubled(self) -> int:
        failpoints = self.failpoints.counts.doubled if self.failpoints is not None else 0
        return failpoints + (self.chaos.doubled if self.chaos is not None else 0)


def write(report: Report, file: Path) -> None:
    """Write it as JSON, the verdict first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    verdict = {"held": report.held, "lost": report.lost, "doubled": report.doubled}
    whole = verdict | msgspec.to_builtins(report)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")


def read(file: Path) -> Report:
    """Read what `write` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Report)

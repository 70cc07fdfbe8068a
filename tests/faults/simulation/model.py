"""The second opinion: what the tables must hold, one record at a time, in plain dictionaries.

Takes records in the order in which their transactions were committed and shares no decision with the
service. `judge` feeds it, and compares; a backup of the database is a copy of this, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from service.core.types import Operation, Partition
from tests.faults.simulation.messages import Kind, Message

APPLIED, STALE, DUPLICATE, DEAD, PARKED = "applied", "stale", "duplicate", "dead", "parked"
OPEN = ("dead", "retrying")

Place = tuple[Partition, int]


class Age(NamedTuple):
    """What a row says about its age."""

    version: int | None
    occurred_at: datetime
    partition: int
    offset: int


class Row(NamedTuple):
    age: Age
    deleted: bool
    columns: dict[str, str]


class Disagreement(Exception):
    """The service did with a record what no rule allows."""


def is_older(age: Age, than: Age) -> bool:
    """Whether a row of this `age` must not be written over one of the other."""
    if age.version is not None and than.version is not None and age.version != than.version:
        return age.version < than.version
    return (age.occurred_at, age.partition, age.offset) <= (than.occurred_at, than.partition, than.offset)


@dataclass(slots=True)
class Model:
    """What one record after the other adds up to. `outcomes` has the last word on each record taken."""

    rows: dict[int, Row] = field(default_factory=dict)
    ids: dict[bytes, int] = field(default_factory=dict)
    letters: dict[Place, str] = field(default_factory=dict)
    outcomes: dict[Place, str] = field(default_factory=dict)
    positions: dict[Partition, int] = field(default_factory=dict)
    claims: dict[Partition, str] = field(default_factory=dict)
    # Records that nobody is to handle: an operator jumped over them, or the log lost them before.
    left_out: set[Place] = field(default_factory=set)

    def copy(self) -> Model:
        return Model(
            dict(self.rows),
            dict(self.ids),
            dict(self.letters),
            dict(self.outcomes),
            dict(self.positions),
            dict(self.claims),
            set(self.left_out),
        )

    def take(self, place: Place, message: Message, reported: str | None) -> str:
        """Handle a record of which the service `reported` an outcome; None: it took it for known already.

        Returns the outcome. Raises `Disagreement` when that is not the one there must be.
        """
        outcome = self._outcome(place, message, reported)
        if reported is None and outcome is not DUPLICATE:
            raise Disagreement("was passed over as known, and nothing knows it")
        if reported is not None and outcome != reported:
            raise Disagreement(f"became {reported} instead of {outcome}")
        if reported is None:
            self.outcomes[place] = outcome  # SQL was not asked, and nothing in it has changed
        else:
            self._settle(place, message, outcome)
        return outcome

    def retry(self, place: Place, message: Message, reported: str) -> None:
        """Handle a record of an open letter once more."""
        if self.letters.get(place) not in OPEN:
            raise Disagreement("was tried again without an open letter")
        self.take(place, message, reported)
        if reported != DEAD:
            self.letters[place] = "replayed" if reported == APPLIED else "superseded"
        else:
            self.letters[place] = "dead"

    def _outcome(self, place: Place, message: Message, reported: str | None) -> str:
        if message.kind is Kind.HOSTILE:
            return DEAD
        if reported == PARKED or (reported == DEAD and message.kind is Kind.REFUSED):
            # It failed a moment ago; whether it still does, or is needed, nobody asks again.
            return reported
        known = self.ids.get(message.event_id)
        if known is not None:
            return DUPLICATE if known == message.entity_id else DEAD
        row = self.rows.get(message.entity_id)
        return STALE if row is not None and is_older(_age(place, message), row.age) else APPLIED

    def _settle(self, place: Place, message: Message, outcome: str) -> None:
        self.outcomes[place] = outcome
        if outcome in (DEAD, PARKED):
            self.letters.setdefault(place, "retrying" if outcome == PARKED else "dead")
            return
        if outcome != DUPLICATE:
            self.ids[message.event_id] = message.entity_id
        if self.letters.get(place) in OPEN:
            self.letters[place] = "superseded"
        if outcome == APPLIED:
            self.rows[message.entity_id] = self._written(place, message)

    def _written(self, place: Place, message: Message) -> Row:
        age = _age(place, message)
        before = self.rows.get(message.entity_id)
        if before is not None and age.version is None:
            age = age._replace(version=before.age.version)
        if message.operation is Operation.DELETE:
            return Row(age, True, {})
        columns = {} if before is None else before.columns
        return Row(age, False, {**columns, **message.columns})


def _age(place: Place, message: Message) -> Age:
    return Age(message.version, message.occurred_at, place[0].number, place[1])

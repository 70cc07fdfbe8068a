"""The decisions of a batch, pure: known or new, newer or stale, and what becomes of each row.

The sink calls these inside its transaction, with what it has read there; they decide the same whether a
record comes alone or in a batch (I1), because they take the events one by one in offset order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct
from msgspec.structs import replace

from service.core.types import Event, Mark, Operation, Outcome, RowVersion


@dataclass(frozen=True, slots=True)
class Checked:
    """A batch held against the marks: `fresh` is to be decided, the rest is settled."""

    fresh: tuple[Event, ...]
    duplicates: tuple[Event, ...]
    reused: tuple[Event, ...]


def check(events: Iterable[Event], marks: Mapping[bytes, Mark]) -> Checked:
    """Tell new event ids from known ones; each new one counts as marked for the events after it.

    A known id of the same record is a duplicate, whatever its body says; of another record it was reused.
    """
    known = dict(marks)
    fresh: list[Event] = []
    duplicates: list[Event] = []
    reused: list[Event] = []
    for event in events:
        mine = Mark(event.entity, event.entity_id)
        mark = known.setdefault(event.event_id, mine)
        if mark is mine:
            fresh.append(event)
        elif mark == mine:
            duplicates.append(event)
        else:
            reused.append(event)
    return Checked(tuple(fresh), tuple(duplicates), tuple(reused))


def version_of(event: Event) -> RowVersion:
    """What an event says about its age."""
    record = event.record
    return RowVersion(event.version, event.occurred_at, record.partition.number, record.offset)


def is_newer(event: RowVersion, stored: RowVersion) -> bool:
    """Whether an event beats what is stored.

    Both carry a version and they differ: the higher one wins. Otherwise the later `occurred_at`, and where
    that is equal too, the higher (partition, offset).
    """
    if event.version is not None and stored.version is not None and event.version != stored.version:
        return event.version > stored.version
    return _moment(event) > _moment(stored)


def has_passed(stored: RowVersion, event: Event) -> bool:
    """Whether the row was last written by the event's record, or by one behind it in its partition.

    An event that was handled had its say before that, and is not asked again. The rule alone would let it win
    over what came after it: without a version, but of a later time, it beats a higher version both times.
    """
    record = event.record
    return stored.source_partition == record.partition.number and stored.source_offset >= record.offset


def _moment(age: RowVersion) -> tuple[object, ...]:
    return (age.occurred_at, age.source_partition, age.source_offset)


class Change(Struct, frozen=True, gc=False):
    """What to write for one record, all its events of a batch folded into one row.

    `columns` holds what the winning events carried; with `from_defaults` every other payload column takes
    its default (a delete lies in between), without it they are left alone. `lines` None: left alone.
    """

    entity_id: int
    version: RowVersion
    is_new: bool
    deleted: bool
    from_defaults: bool
    columns: Mapping[str, object]
    lines: tuple[Mapping[str, object], ...] | None


class Folded(Struct, frozen=True, gc=False):
    """The verdict on each event of one record, and the row they add up to (None: all were stale)."""

    outcomes: tuple[tuple[Event, Outcome], ...]
    change: Change | None


def fold(stored: RowVersion | None, events: Sequence[Event]) -> Folded:
    """Hold the events of one record, in offset order, against the stored row and against each other."""
    current = stored
    change: Change | None = None
    outcomes: list[tuple[Event, Outcome]] = []
    for event in events:
        age = version_of(event)
        if current is not None and not is_newer(age, current):
            outcomes.append((event, Outcome.STALE))
            continue
        current = _keep_highest_version(age, current)
        change = _merge(change, event, current, is_new=stored is None)
        outcomes.append((event, Outcome.APPLIED))
    return Folded(tuple(outcomes), change)


def _keep_highest_version(age: RowVersion, stored: RowVersion | None) -> RowVersion:
    # A row keeps its highest version: without this the rule is no order, and three events, one of them
    # without a version, can beat each other in a circle.
    if age.version is None and stored is not None:
        return replace(age, version=stored.version)
    return age


def _merge(change: Change | None, event: Event, version: RowVersion, *, is_new: bool) -> Change:
    """Lay `event`, which is newer, over what the batch has gathered for its record so far."""
    if event.operation is Operation.DELETE:
        return Change(event.entity_id, version, is_new, True, True, {}, ())
    if change is None:
        return Change(event.entity_id, version, is_new, False, False, event.columns, event.lines)
    return replace(
        change,
        version=version,
        deleted=False,
        columns={**change.columns, **event.columns},
        lines=change.lines if event.lines is None else event.lines,
    )

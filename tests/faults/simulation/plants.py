"""Bugs that the simulation must find: pieces of the service replaced from outside, one entry each in `BUGS`.

Those of `tests.planted` that make sense without a real server, and some that take an unlucky moment, which
no scenario on real servers stages: a claim that reads in the wrong order, a call of somebody who has died.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from service.core import decide
from service.core.errors import ConnectionLost, FenceLost
from service.core.ports import Sink
from service.core.types import (
    Batch,
    GroupOffset,
    Lease,
    Mark,
    OpenLetter,
    Partition,
    Work,
    Written,
)
from service.pipeline import isolate, partition
from service.pipeline.isolate import apply_isolated
from service.pipeline.partition import ClaimLost, Lane
from service.pipeline.process import Route, decode_all
from service.pipeline.run import Consumer
from tests.faults.simulation.database import Database, Place
from tests.faults.simulation.faults import FAULTS
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.run import Violation, run
from tests.planted.plants import cache as in_cache
from tests.planted.plants import pipeline as in_pipeline
from tests.planted.plants import sink as in_sink

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A rule broken on purpose, and the invariants that are then seen to be broken.

    `among` are the faults that it takes, where chance would need long to bring them together.
    """

    plant: Plant
    reports: str
    among: tuple[str, ...] = tuple(FAULTS)

    @property
    def name(self) -> str:
        return self.plant.__name__

    @property
    def wrong(self) -> str:
        """What is wrong, in a sentence."""
        return (self.plant.__doc__ or "").strip()


@dataclass(frozen=True, slots=True)
class Found:
    """A bug was seen in `times` of so many `histories`, first by `seed` (None: never)."""

    bug: Bug
    histories: int
    times: int
    seed: int | None
    what: str


def hunt(bug: Bug, histories: int, first_seed: int = 1, *, stop_at_violation: bool = False) -> Found:
    """Play histories with the bug in the service, and count those that report it."""
    with pytest.MonkeyPatch.context() as patch:
        bug.plant(patch)
        seen: list[Violation] = []

        def note(seed: int, journal: Journal) -> None:
            seen.extend(
                Violation(seed, what)
                for what in journal.violations[:1]
                if what.split(":")[0] in bug.reports.split()
            )

        # Another violation than the one expected does not end the hunt.
        summary = run(
            histories,
            None,
            first_seed,
            among=bug.among,
            on_history=note,
            stop=lambda: bool(seen and stop_at_violation),
        )
    if not seen:
        return Found(bug, summary.histories, 0, None, "")
    return Found(bug, summary.histories, len(seen), seen[0].seed, seen[0].what)


RESTORES = ("backup_taken", "database_restored", "group_reset", "row_reset")


# ---------------------------------------------------------------- the lane


def claim_over_a_change(patch: pytest.MonkeyPatch) -> None:
    """A claim overwrites a row that has changed since it was read."""
    patch.setattr(Database, "_is_as_seen", lambda self, here, seen: True)


def group_read_first(patch: pytest.MonkeyPatch) -> None:
    """A claim reads the group's offset before the row: what it was told is older than what it compares."""
    try_claim = Lane._try_claim

    async def out_of_order(self: Lane) -> Lease | None:
        group = await self._source.group_offset(self.partition)

        async def as_read_before(_partition: Partition) -> GroupOffset | None:
            return group

        with patch.context() as meanwhile:
            meanwhile.setattr(self._source, "group_offset", as_read_before)
            return await try_claim(self)

    patch.setattr(Lane, "_try_claim", out_of_order)


def start_not_committed(patch: pytest.MonkeyPatch) -> None:
    """A claimed lane does not tell Kafka where it starts: an operator's reset is obeyed again and again."""

    try_claim = Lane._try_claim

    async def silently(self: Lane) -> Lease | None:
        async def say_nothing(_partition: Partition, _offset: int) -> None: ...

        with patch.context() as meanwhile:
            meanwhile.setattr(self._source, "commit", say_nothing)
            return await try_claim(self)

    patch.setattr(Lane, "_try_claim", silently)


def fence_without_claim(patch: pytest.MonkeyPatch) -> None:
    """The fence compares the position alone: whoever was superseded goes on writing."""

    def fence(self: Database, lease: Lease) -> None:
        position = self.tables.positions.get(lease.partition)
        if position is None or position.next_offset != lease.expected:
            raise FenceLost(f"{lease.partition} is not at {lease.expected}")

    patch.setattr(Database, "_fence", fence)


def fence_without_position(patch: pytest.MonkeyPatch) -> None:
    """The fence compares the claim alone: a batch whose answer was lost is written again."""

    def fence(self: Database, lease: Lease) -> None:
        position = self.tables.positions.get(lease.partition)
        if position is None or position.claim_id != lease.claim_id:
            raise FenceLost(f"{lease.partition} has another claim")

    patch.setattr(Database, "_fence", fence)


def lost_answer_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    """A batch whose connection broke counts as written."""

    async def attempt(part: Work, lease: Lease, sink: Sink, *_how: object) -> Written:
        try:
            return await sink.apply(part, lease)
        except ConnectionLost:
            return Written()

    patch.setattr(isolate, "_attempt", attempt)


def own_commit_not_recognised(patch: pytest.MonkeyPatch) -> None:
    """A position that is ahead under our own claim is taken for where the lane had been."""
    look = Lane._look_at_row

    async def misread(self: Lane, lease: Lease, why: str) -> Lease:
        found = await look(self, lease, why)
        self._go_to(lease.expected)
        return replace(found, expected=lease.expected)

    patch.setattr(Lane, "_look_at_row", misread)


def nobody_asks_kafka(patch: pytest.MonkeyPatch) -> None:
    """After a failed fence the lane gives up: an owner that was superseded by a zombie waits for ever."""

    async def give_up(self: Lane, lease: Lease, why: str) -> Lease:
        stored = await self._patiently("row", lambda: self._route.sink.position(self.partition))
        if stored is None or stored.claim_id != lease.claim_id:
            self._draining = True
            raise ClaimLost(why)
        return await look(self, lease, why)

    look = Lane._look_at_row
    patch.setattr(Lane, "_look_at_row", give_up)


def lanes_not_drained(patch: pytest.MonkeyPatch) -> None:
    """Partitions that leave take nobody's lane with them."""

    async def keep(self: Consumer, partitions: object, seconds: float) -> tuple[str, ...]:
        return ()

    patch.setattr(Consumer, "_drain", keep)


# ---------------------------------------------------------------- the batch


def unknown_outcome_remembered(patch: pytest.MonkeyPatch) -> None:
    """Events of a batch whose connection broke are put into the cache: they may well have been written."""

    async def process(batch: Batch, lease: Lease, route: Route, progress: isolate.Progress) -> Lease:
        events, letters = decode_all(batch.records, route)
        seen = await route.cache.seen(events, lease)
        fresh = tuple(event for event in events if event.event_id not in seen)
        try:
            if fresh or letters:
                work = Work(fresh, letters, batch.end)
                async for part, written in apply_isolated(work, lease, route.sink, progress, route.retries):
                    lease = lease.moved_to(part.end)
                    await route.cache.remember(written.marked, lease)
        except ConnectionLost:
            await route.cache.remember(fresh, lease)
            raise
        return lease

    patch.setattr(partition, "process", process)


def letters_remembered(patch: pytest.MonkeyPatch) -> None:
    """What became a dead letter for a reused id is put into the cache like all the rest."""
    patch.setattr(Written, "marked", property(lambda self: tuple(event for event, _ in self.outcomes)))


def parts_out_of_order(patch: pytest.MonkeyPatch) -> None:
    """A batch that fails is divided, and the later parts are tried first."""
    split = isolate.split

    def later_first(part: Work, ways: int) -> tuple[Work, ...]:
        return split(part, ways)[::-1]

    patch.setattr(isolate, "split", later_first)


# ---------------------------------------------------------------- the transaction


def marks_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Nobody asks whether an event is known."""
    check = decide.check
    patch.setattr(decide, "check", lambda events, marks: check(events, dict[bytes, Mark]()))


def letters_stay_open(patch: pytest.MonkeyPatch) -> None:
    """Applying a record leaves its letter open."""
    patch.setattr(Database, "_supersede", lambda self, written: None)


def letters_tried_twice(patch: pytest.MonkeyPatch) -> None:
    """A letter is not held while it is tried: two replicas try it at once."""

    def anyhow(self: Database, letter: OpenLetter) -> Place:
        place = (letter.record.partition, letter.record.offset)
        return place if place in self.tables.letters else hold(self, letter)

    hold = Database._hold

    patch.setattr(Database, "_hold", anyhow)


BUGS = (
    Bug(in_pipeline.remember_before_the_commit, "I2 I4"),
    Bug(in_pipeline.offset_before_the_transaction, "I3"),
    Bug(in_pipeline.offset_of_hits, "I3"),
    Bug(in_pipeline.bury_the_batch, "I1"),
    Bug(in_pipeline.skip_a_failed_fence, "I2 I3 I8"),
    Bug(in_pipeline.drop_without_seek, "I2"),
    Bug(in_pipeline.never_look_at_the_row, "I6"),
    Bug(in_pipeline.every_offset_is_ours, "I8"),
    Bug(in_pipeline.keep_the_namespace, "I2 I4", among=RESTORES),
    Bug(in_pipeline.end_at_the_last_record, "I6"),
    Bug(in_cache.ask_by_existence, "I2"),
    Bug(in_cache.any_offset, "I2", among=RESTORES),
    Bug(in_cache.any_namespace, "I2", among=RESTORES),
    Bug(in_cache.any_entity, "I2"),
    Bug(in_sink.no_version_rule, "I1 I7"),
    Bug(in_sink.version_forgotten, "I1 I7"),
    Bug(claim_over_a_change, "I8"),
    Bug(group_read_first, "I8"),
    Bug(start_not_committed, "I6"),
    Bug(fence_without_claim, "I8"),
    Bug(fence_without_position, "I8"),
    Bug(lost_answer_taken_for_done, "I3"),
    Bug(own_commit_not_recognised, "I6"),
    Bug(nobody_asks_kafka, "I6"),
    Bug(lanes_not_drained, "I6"),
    Bug(unknown_outcome_remembered, "I2 I4"),
    Bug(letters_remembered, "I4"),
    Bug(parts_out_of_order, "I2 I8"),
    Bug(marks_not_checked, "I1"),
    Bug(letters_stay_open, "I2"),
    Bug(letters_tried_twice, "I1 I2"),
)

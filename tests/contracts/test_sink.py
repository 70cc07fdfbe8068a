"""What every `Sink` keeps to: one suite over the one in memory and the SQL one on each real database."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.core.errors import FenceLost, PermanentError
from service.core.types import DeadLetter, Event, Lease, Operation, Outcome, Partition, RowVersion, Work
from service.testing.sink import InMemorySink
from tests.building import (
    CUSTOMERS,
    ORDERS,
    at,
    delete,
    event,
    lease,
    letter,
    line,
    position,
    record,
    work,
)
from tests.contracts.conftest import DATABASES
from tests.contracts.sink_worlds import (
    MemoryWorld,
    Stored,
    StoredMark,
    StoredRow,
    World,
    claimed,
    outcomes,
    write,
)

APPLIED, STALE, DUPLICATE, DEAD = Outcome.APPLIED, Outcome.STALE, Outcome.DUPLICATE, Outcome.DEAD


async def row(world: World, entity_id: int = 1, entity: str = "customers") -> StoredRow:
    return (await world.stored()).rows[entity, entity_id]


class TestClaims:
    async def test_a_new_partition_has_no_position(self, world: World) -> None:
        """No row is no position."""
        assert await world.sink.position(CUSTOMERS) is None

    async def test_a_first_claim_is_what_the_position_says(self, world: World) -> None:
        """Every field of the claim is read back as it was written."""
        first = position(7, handled=9, claim_id="a" * 32, epoch=3, namespace="00ff", cluster_id=None)
        assert await world.sink.claim(CUSTOMERS, None, first)
        assert await world.sink.position(CUSTOMERS) == first

    async def test_a_claim_replaces_what_was_seen(self, world: World) -> None:
        """Who saw the row as it is may write it."""
        first, second = position(7, claim_id="a" * 32), position(3, handled=7, claim_id="b" * 32, epoch=2)
        await world.sink.claim(CUSTOMERS, None, first)
        assert await world.sink.claim(CUSTOMERS, first, second)
        assert await world.sink.position(CUSTOMERS) == second

    @pytest.mark.parametrize(
        "seen",
        [
            pytest.param(None, id="saw-no-row"),
            pytest.param(position(7, claim_id="0" * 32), id="saw-another-claim"),
            pytest.param(position(6, handled=7, claim_id="a" * 32), id="saw-another-position"),
        ],
    )
    async def test_a_claim_over_something_else_changes_nothing(self, world: World, seen: None) -> None:
        """A lost race is told, and the winner's row stands."""
        first = position(7, claim_id="a" * 32)
        await world.sink.claim(CUSTOMERS, None, first)
        assert not await world.sink.claim(CUSTOMERS, seen, position(7, claim_id="b" * 32))
        assert await world.sink.position(CUSTOMERS) == first

    async def test_a_claim_over_a_row_that_is_gone_makes_none(self, world: World) -> None:
        """A database that lost the row is looked at again, not written to."""
        assert not await world.sink.claim(CUSTOMERS, position(7), position(7, claim_id="b" * 32))
        assert await world.sink.position(CUSTOMERS) is None

    @pytest.mark.parametrize("there", [False, True], ids=["first-claim", "later-claim"])
    async def test_of_two_at_once_one_wins(self, world: World, there: bool) -> None:
        """Both saw the same row, or none; the row is the winner's."""
        seen = position(5) if there else None
        if seen is not None:
            await world.sink.claim(CUSTOMERS, None, seen)
        rivals = [position(5, claim_id=str(number) * 32) for number in range(3)]
        won = await asyncio.gather(*(world.sink.claim(CUSTOMERS, seen, each) for each in rivals))
        assert sorted(won) == [False, False, True]
        assert await world.sink.position(CUSTOMERS) == rivals[won.index(True)]

    async def test_partitions_have_positions_of_their_own(self, world: World) -> None:
        """Neither another number nor another topic is touched, nor one that differs in case."""
        others = [Partition("customers", 1), ORDERS, Partition("Customers", 0)]
        await claimed(world, CUSTOMERS, at=4)
        assert [await world.sink.position(other) for other in others] == [None, None, None]
        await asyncio.gather(*(claimed(world, other) for other in others))
        stored = await world.sink.position(CUSTOMERS)
        assert stored is not None
        assert stored.next_offset == 4


class TestFence:
    @pytest.mark.parametrize(
        "stranger",
        [
            pytest.param(lease(5, claim_id="0" * 32), id="another-claim"),
            pytest.param(lease(4), id="behind"),
            pytest.param(lease(6), id="ahead"),
            pytest.param(lease(5, partition=Partition("customers", 1)), id="no-row"),
        ],
    )
    async def test_what_does_not_hold_the_position_writes_nothing(
        self, world: World, stranger: Lease
    ) -> None:
        """Neither rows nor marks nor letters nor the position change."""
        before = position(5)
        await world.sink.claim(CUSTOMERS, None, before)
        partition = stranger.partition
        late = work(event(7, partition=partition), letter(record(8, partition=partition)))
        with pytest.raises(FenceLost):
            await world.sink.apply(late, stranger)
        assert await world.stored() == Stored({}, {}, ())
        assert await world.sink.position(CUSTOMERS) == before

    async def test_the_position_moves_with_the_batch(self, world: World) -> None:
        """`end` may lie beyond the last record; the claim stays as it is."""
        held = await claimed(world, at=5)
        before = await world.sink.position(CUSTOMERS)
        await world.sink.apply(work(event(5), end=9), held)
        assert before is not None
        assert await world.sink.position(CUSTOMERS) == replace(before, next_offset=9, handled_offset=9)

    async def test_a_lease_holds_once(self, world: World) -> None:
        """The same transaction again, as after a lost answer, is turned away."""
        held = await claimed(world)
        await world.sink.apply(work(event(0)), held)
        with pytest.raises(FenceLost):
            await world.sink.apply(work(event(0)), held)
        await world.sink.apply(work(event(1)), held.moved_to(1))

    async def test_the_position_moves_alone(self, world: World) -> None:
        """Work without events and letters is for what the cache has settled."""
        held = await claimed(world)
        written = await world.sink.apply(work(end=40), held)
        assert written.outcomes == ()
        stored = await world.sink.position(CUSTOMERS)
        assert stored is not None
        assert (stored.next_offset, stored.handled_offset) == (40, 40)

    async def test_moving_nowhere_is_no_failed_fence(self, world: World) -> None:
        """A row that stays as it is was found all the same."""
        held = await claimed(world, at=5)
        await world.sink.apply(work(end=5), held)
        await world.sink.apply(work(end=5), held)

    async def test_what_was_handled_stays_handled(self, world: World) -> None:
        """After a reset backwards `handled_offset` waits until the position has passed it."""
        held = lease(2, handled=10)
        await world.sink.claim(CUSTOMERS, None, position(2, handled=10))
        for end, handled in ((5, 10), (12, 12)):
            await world.sink.apply(work(end=end), held)
            held = held.moved_to(end)
            stored = await world.sink.position(CUSTOMERS)
            assert stored is not None
            assert (stored.next_offset, stored.handled_offset) == (end, handled)


class TestOutcomes:
    async def test_a_new_event_is_applied_and_marked(self, world: World) -> None:
        """The row says where it comes from, the mark what became of the event."""
        held = await claimed(world)
        await write(world, held, event(0, 7, event_id=b"a", version=3, seconds=0.123456, name="Ann"))
        stored = await world.stored()
        assert stored.rows["customers", 7].version == RowVersion(3, at(0.123456), 0, 0)
        assert stored.rows["customers", 7].columns["name"] == "Ann"
        assert stored.rows["customers", 7].deleted_at is None
        assert stored.marks == {b"a": StoredMark("customers", 7, "applied")}

    async def test_an_older_event_changes_nothing_and_is_marked(self, world: World) -> None:
        """Not even fields that the newer one did not carry."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, version=3, name="Ann"))
        before = await row(world)
        got, held = await write(world, held, event(1, event_id=b"old", version=2, name="Bob", phone="1"))
        assert got == [STALE]
        assert await row(world) == before
        assert (await world.stored()).marks[b"old"] == StoredMark("customers", 1, "stale")

    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_a_known_id_of_the_same_record_is_a_duplicate(self, world: World, together: bool) -> None:
        """Whatever its body says: the first one counts."""
        held = await claimed(world)
        events = [event(0, event_id=b"a", name="Ann"), event(1, event_id=b"a", version=9, name="Bob")]
        assert await in_batches(world, held, events, together) == [APPLIED, DUPLICATE]
        assert (await row(world)).columns["name"] == "Ann"

    async def test_the_id_of_a_stale_event_is_known_too(self, world: World) -> None:
        """A mark says that an event was seen, not that it won."""
        held = await claimed(world)
        events = [event(0, version=3), event(1, event_id=b"a", version=1), event(2, event_id=b"a", version=9)]
        got, _ = await write(world, held, *events)
        assert got == [APPLIED, STALE, DUPLICATE]
        assert (await row(world)).version.version == 3

    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_a_known_id_of_another_record_is_dead(self, world: World, together: bool) -> None:
        """`EventIdReused`: its neighbours are applied, the mark stays the first one's."""
        held = await claimed(world)
        events = [event(0, 1, event_id=b"a"), event(1, 2, event_id=b"a"), event(2, 3)]
        assert await in_batches(world, held, events, together) == [APPLIED, DEAD, APPLIED]
        stored = await world.stored()
        assert set(stored.rows) == {("customers", 1), ("customers", 3)}
        assert stored.marks[b"a"] == StoredMark("customers", 1, "applied")
        (dead,) = stored.letters
        assert dead.record == replace(events[1].record, cluster_id="")
        assert (dead.stage, dead.error_class, dead.status) == ("check", "EventIdReused", "dead")
        assert (dead.event_id, dead.entity, dead.entity_id, dead.attempts) == (b"a", "customers", 2, 1)

    async def test_the_same_number_of_another_entity_is_another_record(self, world: World) -> None:
        """An order's id says nothing about a customer's."""
        customer, order = event(0, 7, event_id=b"a"), event(0, 7, event_id=b"a", partition=ORDERS)
        assert (await write(world, await claimed(world), customer))[0] == [APPLIED]
        assert (await write(world, await claimed(world, ORDERS), order))[0] == [DEAD]

    async def test_copies_in_other_partitions_are_duplicates(self, world: World) -> None:
        """Marks are one for all partitions: the first copy counts."""
        other = Partition("customers", 1)
        await write(world, await claimed(world), event(0, event_id=b"a", name="Ann"))
        copy = event(0, event_id=b"a", version=9, name="Bob", partition=other)
        assert (await write(world, await claimed(world, other), copy))[0] == [DUPLICATE]
        assert (await row(world)).columns["name"] == "Ann"

    @pytest.mark.parametrize(
        "ids",
        [
            pytest.param((b"a", b"A"), id="case"),
            pytest.param((b"a", b"a ", b" a"), id="blank"),
            pytest.param((b"a", b"a\t", b"a\n"), id="white-space"),
            pytest.param((b"\xff\xfe", b"\xff", b"\xc3\xa9", b"\xe9"), id="not-utf-8"),
            pytest.param(tuple("\u00e9 e\u0301 e".encode().split()), id="composed"),
            pytest.param((b"1", b"01", b"1.0"), id="numbers"),
            pytest.param((b"'", b"\\", b"\\'", b'"', b"%s", b"%(a)s", b":a"), id="quotes"),
            pytest.param((b"x" * 255, b"x" * 254), id="long"),
        ],
    )
    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_ids_are_compared_byte_for_byte(
        self, world: World, ids: tuple[bytes, ...], together: bool
    ) -> None:
        """What a collation or a conversion would take for the same are different events."""
        held = await claimed(world)
        events = [event(offset, offset + 1, event_id=each) for offset, each in enumerate(ids)]
        assert await in_batches(world, held, events, together) == [APPLIED] * len(ids)
        assert set((await world.stored()).marks) == set(ids)

    async def test_what_is_marked_is_told(self, world: World) -> None:
        """`marked` leaves out exactly the dead ones: the cache lives on it."""
        held = await claimed(world)
        events = [
            event(0, event_id=b"a", version=2),
            event(1, event_id=b"b", version=1),
            event(2, event_id=b"a"),
            event(3, 2, event_id=b"a"),
        ]
        written = await world.sink.apply(work(*events), held)
        assert outcomes(written) == [APPLIED, STALE, DUPLICATE, DEAD]
        assert [each for each, _ in written.outcomes] == events
        assert written.marked == tuple(events[:3])


async def in_batches(world: World, held: Lease, events: Sequence[Event], together: bool) -> list[Outcome]:
    if together:
        return (await write(world, held, *events))[0]
    got = []
    for each in events:
        outcome, held = await write(world, held, each)
        got += outcome
    return got


class TestRows:
    async def test_an_insert_takes_the_defaults(self, world: World) -> None:
        """A field that is absent is the column's default, null where it has none."""
        await write(world, await claimed(world), event(0, name="Ann"))
        assert (await row(world)).columns == {
            "email": None,
            "name": "Ann",
            "phone": None,
            "status": "active",
            "address": None,
            "attributes": None,
        }

    async def test_an_update_leaves_absent_fields_alone(self, world: World) -> None:
        """Absent is not null, and a null that is there is written."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, name="Ann", phone="1", status="gone"))
        await write(world, held, event(1, phone=None, email="a@x"))
        columns = (await row(world)).columns
        assert (columns["name"], columns["phone"], columns["status"]) == ("Ann", None, "gone")
        assert columns["email"] == "a@x"

    async def test_a_batch_of_different_shapes_is_written_as_a_whole(self, world: World) -> None:
        """Rows that are new and rows that are not, with and without a column, do not mix."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, 1, name="Ann", phone="1"), event(1, 2, name="Bob"))
        batch = [
            event(2, 1, name="Eve"),
            event(3, 3, phone="3"),
            event(4, 2, phone="2"),
            event(5, 4, name="D"),
        ]
        got, _ = await write(world, held, *batch)
        assert got == [APPLIED] * 4
        rows = (await world.stored()).rows
        found = {key[1]: (each.columns["name"], each.columns["phone"]) for key, each in rows.items()}
        assert found == {1: ("Eve", "1"), 2: ("Bob", "2"), 3: (None, "3"), 4: ("D", None)}

    async def test_values_are_kept_exactly(self, world: World) -> None:
        """Decimals to the last digit, JSON as its text, text beyond the basic plane, quotes and all."""
        products = Partition("products", 0)
        columns = {
            "price": Decimal("12345678901234.5678"),
            "attributes": '{"b": 1.0, "a": 1e2, "a": [ ]}',
            "name": "\U0001d4b3 ' \" \\ % %s :x ; -- \n",
            "stock_quantity": -(2**31),
        }
        exact = replace(event(0, 2**63 - 1, partition=products), columns=columns)
        await write(world, await claimed(world, products), exact)
        kept = (await row(world, 2**63 - 1, "products")).columns
        assert {name: kept[name] for name in columns} == columns

    async def test_text_is_not_folded(self, world: World) -> None:
        """A change of case or of a trailing blank is a change."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, name="ann"))
        await write(world, held, event(1, name="Ann "))
        assert (await row(world)).columns["name"] == "Ann "


class TestDeletes:
    async def test_a_delete_leaves_a_tombstone(self, world: World) -> None:
        """Every payload column goes back to its default; the version is the delete's."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, version=1, name="Ann", status="gone"))
        got, _ = await write(world, held, delete(1, version=2))
        assert got == [APPLIED]
        stone = await row(world)
        assert (stone.columns["name"], stone.columns["status"]) == (None, "active")
        assert (stone.version, stone.deleted_at) == (RowVersion(2, at(1), 0, 1), at(1))

    async def test_a_delete_of_an_unknown_id_leaves_one_too(self, world: World) -> None:
        """So that the update which it has overtaken comes too late."""
        held = await claimed(world)
        got, _ = await write(world, held, delete(0, version=2), event(1, version=1, name="Ann"))
        assert got == [APPLIED, STALE]
        assert (await row(world)).deleted_at == at(0)
        assert (await row(world)).columns["status"] == "active"

    async def test_a_late_update_does_not_bring_it_back(self, world: World) -> None:
        """A tombstone has a version like any row."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, version=1, name="Ann"))
        _, held = await write(world, held, delete(1, version=3))
        got, _ = await write(world, held, event(2, version=2, name="Bob"))
        assert got == [STALE]
        assert (await row(world)).columns["name"] is None

    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    @pytest.mark.parametrize("operation", [Operation.CREATE, Operation.UPDATE])
    async def test_a_newer_event_revives(self, world: World, operation: Operation, together: bool) -> None:
        """What the deleted record held does not come back with it."""
        held = await claimed(world)
        events = [
            event(0, version=1, name="Ann", phone="1", status="gone"),
            delete(1, version=2),
            event(2, version=3, operation=operation, name="Bob"),
        ]
        assert await in_batches(world, held, events, together) == [APPLIED] * 3
        revived = await row(world)
        assert revived.deleted_at is None
        columns = revived.columns
        assert (columns["name"], columns["phone"], columns["status"]) == ("Bob", None, "active")

    async def test_an_older_delete_deletes_nothing(self, world: World) -> None:
        """Deletes obey the version rule."""
        held = await claimed(world)
        got, _ = await write(world, held, event(0, version=2, name="Ann"), delete(1, version=1))
        assert got == [APPLIED, STALE]
        assert (await row(world)).columns["name"] == "Ann"


class TestLines:
    async def lines_after(self, world: World, *events: Event) -> list[object]:
        held = await claimed(world, ORDERS)
        for each in events:
            _, held = await write(world, held, each)
        return [(each["line_no"], each["product_id"]) for each in (await row(world, 1, "orders")).lines]

    @pytest.mark.parametrize(
        ("then", "left"),
        [
            pytest.param([line(3, 30)], [(3, 30)], id="replaced"),
            pytest.param([line(1, 11), line(2, 20)], [(1, 11), (2, 20)], id="changed"),
            pytest.param([], [], id="emptied"),
            pytest.param(None, [(1, 10), (2, 20)], id="left-alone"),
        ],
    )
    async def test_lines_that_are_there_replace_all(
        self, world: World, then: list[dict[str, object]] | None, left: list[object]
    ) -> None:
        """An empty list removes them, none leaves them alone."""
        first = event(0, partition=ORDERS, lines=[line(1, 10), line(2, 20)])
        second = event(1, partition=ORDERS, lines=then, status="paid")
        assert await self.lines_after(world, first, second) == left

    async def test_stale_lines_do_not_come(self, world: World) -> None:
        """Lines belong to the order that won."""
        first = event(0, version=2, partition=ORDERS, lines=[line(1, 10)])
        assert await self.lines_after(
            world, first, event(1, version=1, partition=ORDERS, lines=[line(2, 20)])
        ) == [(1, 10)]

    async def test_a_delete_removes_them(self, world: World) -> None:
        """And a revival without lines does not bring them back."""
        first = event(0, version=1, partition=ORDERS, lines=[line(1, 10)])
        gone = delete(1, version=2, partition=ORDERS)
        assert await self.lines_after(world, first, gone) == []
        await world.clear()
        assert await self.lines_after(world, first, gone, event(2, version=3, partition=ORDERS)) == []

    async def test_lines_of_a_batch_come_from_the_last_that_carried_some(self, world: World) -> None:
        """Within a batch as well as beyond it; other orders keep theirs."""
        held = await claimed(world, ORDERS)
        _, held = await write(world, held, event(0, 2, partition=ORDERS, lines=[line(1, 99)]))
        await write(
            world,
            held,
            event(1, partition=ORDERS, lines=[line(1, 10), line(2, 20)]),
            event(2, partition=ORDERS, lines=[line(2, 21)]),
            event(3, partition=ORDERS, status="paid"),
        )
        assert (await row(world, 1, "orders")).lines == (line(2, 21),)
        assert (await row(world, 2, "orders")).lines == (line(1, 99),)


class TestVersions:
    @pytest.mark.parametrize(
        ("stored", "then", "expected"),
        [
            pytest.param((1, 5), (2, 1), APPLIED, id="higher-version-earlier-time"),
            pytest.param((2, 1), (1, 5), STALE, id="lower-version-later-time"),
            pytest.param((1, 1), (1, 2), APPLIED, id="same-version-later-time"),
            pytest.param((1, 2), (1, 1), STALE, id="same-version-earlier-time"),
            pytest.param((1, 1), (1, 1), APPLIED, id="same-version-and-time-higher-offset"),
            pytest.param((None, 1), (None, 2), APPLIED, id="no-versions-later-time"),
            pytest.param((None, 2), (None, 1), STALE, id="no-versions-earlier-time"),
            pytest.param((1, 1), (None, 2), APPLIED, id="no-version-later-time"),
            pytest.param((1, 2), (None, 1), STALE, id="no-version-earlier-time"),
            pytest.param((None, 1), (1, 2), APPLIED, id="first-version-later-time"),
            pytest.param((None, 2), (1, 1), STALE, id="first-version-earlier-time"),
            pytest.param((0, 1), (None, 1.000001), APPLIED, id="a-microsecond-later"),
            pytest.param((2**63 - 2, 1), (2**63 - 1, 1), APPLIED, id="the-largest-version"),
        ],
    )
    @pytest.mark.parametrize("together", [True, False], ids=["one-batch", "two-batches"])
    async def test_newer_wins(
        self,
        world: World,
        stored: tuple[int | None, float],
        then: tuple[int | None, float],
        expected: Outcome,
        together: bool,
    ) -> None:
        """By version, by time, by offset; the second event has the higher offset."""
        held = await claimed(world)
        events = [
            event(offset, version=version, seconds=seconds, name=name)
            for offset, (version, seconds), name in ((0, stored, "first"), (1, then, "second"))
        ]
        assert await in_batches(world, held, events, together) == [APPLIED, expected]
        assert (await row(world)).columns["name"] == ("second" if expected is APPLIED else "first")

    async def test_a_row_keeps_its_highest_version(self, world: World) -> None:
        """An event without a version wins by time and leaves the version as it is."""
        held = await claimed(world)
        got, held = await write(
            world, held, event(0, version=5, seconds=1), event(1, seconds=2), event(2, version=4, seconds=3)
        )
        assert got == [APPLIED, APPLIED, STALE]
        assert (await row(world)).version == RowVersion(5, at(2), 0, 1)

    async def test_the_offset_of_another_partition_is_compared_after_its_number(self, world: World) -> None:
        """The higher (partition, offset) wins where nothing else tells."""
        low, high = Partition("customers", 1), Partition("customers", 2)
        first = event(9, event_id=b"a", seconds=0, partition=low)
        second = event(1, event_id=b"b", seconds=0, partition=high)
        third = event(10, event_id=b"c", seconds=0, partition=low)
        held = await claimed(world, low, at=9)
        got, held = await write(world, held, first)
        assert got == [APPLIED]
        assert (await write(world, await claimed(world, high, at=1), second))[0] == [APPLIED]
        assert (await write(world, held, third))[0] == [STALE]


class TestLetters:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            pytest.param(None, None, id="null"),
            pytest.param(b"", b"", id="empty"),
            pytest.param(b"\x00\xff'\\\"", b"%s \r\n\x1a\x00\xc3(", id="binary"),
            pytest.param(b"k" * 300, b"v" * 300_000, id="long"),
        ],
    )
    async def test_a_letter_keeps_the_record_byte_for_byte(
        self, world: World, key: bytes | None, value: bytes | None
    ) -> None:
        """Key, value and headers as they came: null and empty apart, headers in order, repeats too."""
        headers = (("b", b"1"), ("a", None), ("b", b""), ("b", b"1"), ("é \"'", b"\x00\xff"))
        lost = record(3, value, key=key, headers=headers)
        await world.sink.apply(work(letter(lost)), await claimed(world))
        (kept,) = (await world.stored()).letters
        assert kept.record == replace(lost, cluster_id="")
        assert (kept.stage, kept.error_class, kept.status) == ("decode", "SchemaViolation", "dead")
        assert (kept.event_id, kept.entity, kept.entity_id, kept.attempts) == (None, None, None, 1)

    async def test_a_letter_names_its_event_where_it_is_known(self, world: World) -> None:
        """Id, entity and attempts are kept with it."""
        named = replace(
            letter(record(0)), event_id=b"\xffA", entity="customers", entity_id=2**63 - 1, attempts=4
        )
        await world.sink.apply(work(named), await claimed(world))
        (kept,) = (await world.stored()).letters
        known = (kept.event_id, kept.entity, kept.entity_id, kept.attempts)
        assert known == (b"\xffA", "customers", 2**63 - 1, 4)

    async def test_letters_and_events_are_written_together(self, world: World) -> None:
        """In any order of offsets."""
        held = await claimed(world)
        got = await world.sink.apply(
            work(letter(record(0)), event(1, 1), letter(record(2)), event(3, 2)), held
        )
        stored = await world.stored()
        assert outcomes(got) == [APPLIED, APPLIED]
        assert [each.record.offset for each in stored.letters] == [0, 2]
        assert len(stored.marks) == 2

    @pytest.mark.parametrize("status", ["dead", "replayed", "discarded", "superseded"])
    async def test_a_redelivered_letter_changes_nothing(self, world: World, status: str) -> None:
        """It is there once, and its status is not reopened."""
        lost = letter(record(0, b"bad"))
        await world.sink.apply(work(lost, end=1), await claimed(world))
        await world.set_letter_status(0, status)
        again = replace(lost, error_class="AnotherReason", attempts=9)
        await world.sink.apply(work(again, end=2), lease(1, claim_id=f"{0:032}"))
        (kept,) = (await world.stored()).letters
        assert (kept.status, kept.error_class, kept.attempts) == (status, "SchemaViolation", 1)

    async def test_another_record_at_the_same_offset_is_another_letter(self, world: World) -> None:
        """A topic that was created anew counts its offsets anew."""
        held = await claimed(world)
        await world.sink.apply(work(letter(record(0, b"one")), end=1), held)
        await world.sink.apply(work(letter(record(0, b"two")), end=2), held.moved_to(1))
        assert [each.record.value for each in (await world.stored()).letters] == [b"one", b"two"]

    async def test_applying_a_record_closes_its_letter(self, world: World) -> None:
        """A letter and a mark of the same record never stand open together."""
        held = await claimed(world)
        late, other = event(0, value=b"late"), record(1, b"other")
        await world.sink.apply(work(letter(late.record), letter(other), end=2), held)
        await world.sink.apply(work(late, end=3), held.moved_to(2))
        assert await statuses(world) == {0: "superseded", 1: "dead"}

    @pytest.mark.parametrize("status", ["replayed", "discarded"])
    async def test_a_closed_letter_keeps_its_status(self, world: World, status: str) -> None:
        """What an operator decided stays in the books."""
        held = await claimed(world)
        late = event(0, value=b"late")
        await world.sink.apply(work(letter(late.record)), held)
        await world.set_letter_status(0, status)
        await world.sink.apply(work(late, end=3), held.moved_to(1))
        assert await statuses(world) == {0: status}

    @pytest.mark.parametrize("what", ["stale", "duplicate"])
    async def test_a_mark_found_or_stale_closes_it_too(self, world: World, what: str) -> None:
        """Every outcome but a dead one settles the record."""
        held = await claimed(world)
        late = event(1, event_id=b"late", version=1, value=b"late")
        before = event(0, event_id=b"late" if what == "duplicate" else b"first", version=2)
        await world.sink.apply(work(before, letter(late.record)), held)
        written = await world.sink.apply(work(late, end=3), held.moved_to(2))
        assert outcomes(written) == [Outcome(what)]
        assert await statuses(world) == {1: "superseded"}

    async def test_another_record_at_the_same_offset_closes_nothing(self, world: World) -> None:
        """The letter of a topic that was created anew is still the only trace of its record."""
        held = await claimed(world)
        await world.sink.apply(work(letter(record(0, b"of the old topic")), end=1), held)
        await world.sink.apply(work(event(0, value=b"of the new topic"), end=2), held.moved_to(1))
        assert await statuses(world) == {0: "dead"}

    async def test_a_letter_of_another_partition_stays_open(self, world: World) -> None:
        """The same offset elsewhere is another record."""
        other = Partition("customers", 1)
        same = b"the same bytes"
        await world.sink.apply(work(letter(record(0, same, partition=other))), await claimed(world, other))
        await write(world, await claimed(world), event(0, value=same))
        assert await statuses(world) == {0: "dead"}

    async def test_an_event_that_dies_again_is_one_letter(self, world: World) -> None:
        """A reused id that is delivered twice."""
        held = await claimed(world)
        reused = event(1, 2, event_id=b"a")
        await world.sink.apply(work(event(0, 1, event_id=b"a"), reused), held)
        written = await world.sink.apply(work(reused, end=3), held.moved_to(2))
        assert outcomes(written) == [DEAD]
        assert await statuses(world) == {1: "dead"}


async def statuses(world: World) -> dict[int, str]:
    return {each.record.offset: each.status for each in (await world.stored()).letters}


class TestAllOrNothing:
    async def test_a_failing_transaction_leaves_nothing(self, world: World) -> None:
        """Rows and marks of the good neighbours, the letter and the position are rolled back too."""
        held = await claimed(world)
        _, held = await write(world, held, event(0, 1, name="Ann"))
        before, where = await world.stored(), await world.sink.position(CUSTOMERS)
        bad = event(3, 3, status=None)  # what every kind of database refuses
        batch = work(event(1, 1, name="Bob"), letter(record(2)), bad, event(4, 4))
        if isinstance(world.sink, InMemorySink):
            world.sink.before_commit = refuse_null_status
        with pytest.raises(PermanentError):
            await world.sink.apply(batch, held)
        assert await world.stored() == before
        assert await world.sink.position(CUSTOMERS) == where
        got, _ = await write(world, held, event(1, 1, name="Bob"))
        assert got == [APPLIED]

    async def test_a_ping_is_answered(self, world: World) -> None:
        """A database that is there says so."""
        await world.sink.ping()


def refuse_null_status(attempted: Work) -> None:
    """What a column does, for the sink that has none."""
    if any(each.columns.get("status", "") is None for each in attempted.events):
        raise PermanentError("SQL error 1048 (status)", error_class="ColumnCannotBeNull")


# ---------------------------------------------------------------- a batch is its records one by one


@dataclass(frozen=True)
class Script:
    """What happens before, and then a batch: events and letters by offset."""

    before: tuple[Event | DeadLetter, ...]
    batch: tuple[Event | DeadLetter, ...]


@st.composite
def parts(draw: st.DrawFn, offset: int) -> Event | DeadLetter:
    """An event of an order, or a letter: few ids, versions and times, so that they meet."""
    if draw(st.integers(0, 6)) == 0:
        return letter(record(offset, draw(st.sampled_from([b"x", b"y", None])), partition=ORDERS))
    operation = draw(st.sampled_from(Operation))
    columns: dict[str, object] = {}
    lines = None
    if operation is not Operation.DELETE:
        columns = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "status": st.sampled_from(["new", "paid"]),
                    "order_number": st.sampled_from([None, "A", "B"]),
                    "total": st.sampled_from([None, Decimal("1.0000"), Decimal("2.5000")]),
                },
            )
        )
        lines = draw(
            st.none()
            | st.lists(
                st.builds(line, st.integers(1, 2), st.integers(1, 9)),
                max_size=2,
                unique_by=lambda each: cast("int", each["line_no"]),
            )
        )
    made = event(
        offset,
        draw(st.integers(1, 3)),
        event_id=draw(st.sampled_from([b"%d" % offset, b"a", b"A", b"b"])),
        version=draw(st.none() | st.integers(0, 2)),
        seconds=draw(st.integers(0, 2)),
        operation=operation,
        partition=ORDERS,
        lines=lines,
    )
    return replace(made, columns=columns)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    before, batch = draw(st.integers(0, 4)), draw(st.integers(1, 8))
    made = [draw(parts(offset)) for offset in range(before + batch)]
    return Script(tuple(made[:before]), tuple(made[before:]))


async def run(world: World, script: Script, *, together: bool) -> tuple[Stored, list[Outcome], object]:
    """The stored result, the outcomes and the position of a script."""
    await world.clear()
    held = await claimed(world, ORDERS)
    ones = [(part,) for part in (*script.before, *script.batch)]
    got: list[Outcome] = []
    for group in [*ones[: len(script.before)], script.batch] if together else ones:
        if group:
            attempted = work(*group)
            got += outcomes(await world.sink.apply(attempted, held))
            held = held.moved_to(attempted.end)
    return await world.stored(), got, await world.sink.position(ORDERS)


@settings(max_examples=150, deadline=None, database=None)
@given(script=scripts())
async def test_in_memory_a_batch_is_its_records_one_by_one(script: Script) -> None:
    """Rows, marks, outcomes, letters and position are the same (I1)."""
    assert await run(MemoryWorld(), script, together=True) == await run(MemoryWorld(), script, together=False)


@settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(script=scripts())
@pytest.mark.parametrize("tables_url", DATABASES, indirect=True)
async def test_in_sql_a_batch_is_its_records_one_by_one(world: World, script: Script) -> None:
    """And both are what the sink in memory says (I1)."""
    together = await run(world, script, together=True)
    assert together == await run(MemoryWorld(), script, together=False)
    assert together == await run(world, script, together=False)

"""What every `Letters` keeps to: one suite over the one in memory and the SQL one on each real database."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from service.core.errors import FenceLost, PermanentError, TemporaryError
from service.core.types import DeadLetter, Event, Lease, OpenLetter, Outcome, Record, Work
from tests.building import CUSTOMERS, ORDERS, event, letter, record, work
from tests.contracts.sink_worlds import StoredLetter, World, claimed

TOPICS = ("customers",)
LOCKED = TemporaryError("SQL error 1205", error_class="LockTimeout")
REFUSED = PermanentError("SQL error 1406 (name)", error_class="DataTooLong")


def parked(of: Record, seconds: float = 60) -> DeadLetter:
    return replace(letter(of, "LockTimeout"), stage="apply", retry_in_seconds=seconds)


def again(of: Record, **more: object) -> Event:
    """The event of a parked record."""
    return replace(event(of.offset, **more), record=of)  # type: ignore[arg-type]  # passed on


async def park(world: World, *offsets: int, seconds: float = 60) -> None:
    """Park records of the first partition."""
    held = await claimed(world)
    await world.sink.apply(work(*(parked(record(offset), seconds) for offset in offsets)), held)


async def due(world: World, limit: int = 10) -> list[OpenLetter]:
    return list(await world.letters.due(TOPICS, limit))


async def only_due(world: World) -> OpenLetter:
    (letter,) = await due(world)
    return letter


async def stored(world: World) -> StoredLetter:
    (letter,) = (await world.stored()).letters
    return letter


async def test_a_parked_record_is_due_when_its_time_has_come(world: World) -> None:
    """Not before; it waits as `retrying`."""
    await park(world, 3, seconds=60)
    assert (await stored(world)).status == "retrying"
    world.wait(59)
    assert await due(world) == []
    world.wait(1)
    assert [each.record.offset for each in await due(world)] == [3]


async def test_what_is_due_has_its_record_byte_for_byte(world: World) -> None:
    """Coordinates, cluster, time, key, value and headers: the same id is derived from it."""
    whole = record(7, b"\xff\x00{", key=None, headers=(("a", None), ("a", b""), ("b", b"\xfe")))
    await world.sink.apply(work(parked(whole)), await claimed(world))
    world.wait(60)
    assert (await only_due(world)).record == whole


async def test_the_longest_waiting_comes_first(world: World) -> None:
    """And no more than asked for."""
    held = await claimed(world)
    waits = {0: 30.0, 1: 10.0, 2: 20.0}
    await world.sink.apply(work(*(parked(record(at), wait) for at, wait in waits.items())), held)
    world.wait(30)
    assert [each.record.offset for each in await due(world, limit=2)] == [1, 2]


async def test_other_topics_are_left_to_others(world: World) -> None:
    """A service that does not consume a topic cannot read its records."""
    held = await claimed(world, ORDERS)
    await world.sink.apply(work(parked(record(0, partition=ORDERS))), held)
    world.wait(60)
    assert await due(world) == []
    assert len(await world.letters.due(("orders", "customers"), 10)) == 1


@pytest.mark.parametrize("status", ["dead", "replayed", "discarded", "superseded"])
async def test_only_parked_letters_are_due(world: World, status: str) -> None:
    """An operator may have been faster."""
    await park(world, 0)
    await world.set_letter_status(0, status)
    world.wait(3600)
    assert await due(world) == []


async def test_a_retry_that_succeeds_is_applied_and_closed(world: World) -> None:
    """Row, mark and status in one transaction, under the record's own coordinates."""
    await park(world, 3)
    world.wait(60)
    again_due = await only_due(world)
    assert await world.letters.retry(again_due, again(again_due.record, name="Ann")) is Outcome.APPLIED
    after = await world.stored()
    assert after.rows["customers", 1].columns["name"] == "Ann"
    assert after.rows["customers", 1].version.source_offset == 3
    assert [mark.outcome for mark in after.marks.values()] == ["applied"]
    assert after.letters[0].status == "replayed"
    assert await due(world) == []


async def test_no_position_is_moved(world: World) -> None:
    """The lane goes on as if nothing had been."""
    await park(world, 0)
    world.wait(60)
    before = await world.sink.position(CUSTOMERS)
    again_due = await only_due(world)
    await world.letters.retry(again_due, again(again_due.record))
    assert await world.sink.position(CUSTOMERS) == before


async def test_an_overtaken_event_is_stale_and_superseded(world: World) -> None:
    """A newer event came while it waited: it changes nothing."""
    held = await claimed(world)
    await world.sink.apply(work(parked(record(0)), event(1, name="newer")), held)
    world.wait(60)
    again_due = await only_due(world)
    assert await world.letters.retry(again_due, again(again_due.record, name="older")) is Outcome.STALE
    after = await world.stored()
    assert after.rows["customers", 1].columns["name"] == "newer"
    assert after.letters[0].status == "superseded"


async def test_a_copy_that_was_faster_supersedes(world: World) -> None:
    """Its id is marked: the letter is closed, nothing is applied twice."""
    held = await claimed(world)
    copy = event(1, event_id=b"same", name="copy")
    await world.sink.apply(work(parked(record(0)), copy), held)
    world.wait(60)
    again_due = await only_due(world)
    event_again = again(again_due.record, event_id=b"same")
    assert await world.letters.retry(again_due, event_again) is Outcome.DUPLICATE
    assert (await stored(world)).status == "superseded"


async def test_an_id_of_another_record_is_dead(world: World) -> None:
    """The letter says so, and is not tried again."""
    held = await claimed(world)
    await world.sink.apply(work(parked(record(0)), event(1, 2, event_id=b"same")), held)
    world.wait(60)
    again_due = await only_due(world)
    assert await world.letters.retry(again_due, again(again_due.record, event_id=b"same")) is Outcome.DEAD
    kept = await stored(world)
    assert (kept.status, kept.error_class, kept.attempts) == ("dead", "EventIdReused", 2)
    assert await due(world) == []


async def test_a_letter_that_is_closed_is_not_tried(world: World) -> None:
    """Two replicas have read it: the second one writes nothing."""
    await park(world, 0)
    world.wait(60)
    again_due = await only_due(world)
    await world.letters.retry(again_due, again(again_due.record))
    before = await world.stored()
    with pytest.raises(FenceLost):
        await world.letters.retry(again_due, again(again_due.record, event_id=b"another", name="B"))
    assert await world.stored() == before


async def test_of_many_that_try_at_once_one_applies(world: World) -> None:
    """Side by side, as replicas do."""
    await park(world, 0)
    world.wait(60)
    again_due = await only_due(world)

    async def attempt() -> Outcome | None:
        try:
            return await world.letters.retry(again_due, again(again_due.record))
        except FenceLost:
            return None

    got = await asyncio.gather(*(attempt() for _ in range(3)))
    assert sorted(got, key=str) == [None, None, Outcome.APPLIED]


async def test_a_failure_is_counted_and_parks_again(world: World) -> None:
    """With what went wrong this time, and another moment to come."""
    await park(world, 0)
    world.wait(60)
    await world.letters.failed(await only_due(world), LOCKED, 120)
    kept = await stored(world)
    assert (kept.status, kept.attempts, kept.error_class) == ("retrying", 2, "LockTimeout")
    world.wait(119)
    assert await due(world) == []
    world.wait(1)
    assert (await only_due(world)).attempts == 2


async def test_a_failure_without_another_try_is_dead(world: World) -> None:
    """Nobody tries it by himself again."""
    await park(world, 0)
    world.wait(60)
    await world.letters.failed(await only_due(world), REFUSED, None)
    kept = await stored(world)
    assert (kept.status, kept.attempts, kept.error_class) == ("dead", 2, "DataTooLong")
    world.wait(3600)
    assert await due(world) == []


async def test_a_failure_of_a_closed_letter_changes_nothing(world: World) -> None:
    """A slow replica's failure does not reopen what another one has applied."""
    await park(world, 0)
    world.wait(60)
    again_due = await only_due(world)
    await world.letters.retry(again_due, again(again_due.record))
    await world.letters.failed(again_due, LOCKED, 60)
    assert (await stored(world)).status == "replayed"


async def test_a_redelivery_of_a_parked_record_that_is_applied_supersedes(world: World) -> None:
    """It is never tried again: the two never stand open together (I2)."""
    await park(world, 0)
    held = await claimed_again(world)
    await world.sink.apply(Work((again(record(0)),), (), 1), held)
    assert (await stored(world)).status == "superseded"
    world.wait(3600)
    assert await due(world) == []


async def claimed_again(world: World) -> Lease:
    """The lease of the partition, set back to the beginning as by an operator."""
    seen = await world.sink.position(CUSTOMERS)
    assert seen is not None
    back = replace(seen, next_offset=0, claim_id="b" * 32)
    assert await world.sink.claim(CUSTOMERS, seen, back)
    return Lease(CUSTOMERS, back.claim_id, 0, back.handled_offset, back.cache_namespace)

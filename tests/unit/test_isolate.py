"""Finding the culprit of a failing batch, and telling it from weather."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.core.errors import (
    ConnectionLost,
    FenceLost,
    PermanentError,
    TemporaryError,
    Unavailable,
)
from service.core.types import Event, Lease, Operation, Outcome, Work, Written
from service.pipeline.isolate import ATTEMPTS, WAYS_OF_SLOW_FAILURES, Progress, apply_isolated, divide
from service.pipeline.retry import RetryPolicy
from service.testing.sink import InMemorySink
from tests.building import CUSTOMERS, Unheard, event, lease, letter, position, record, work

pytestmark = pytest.mark.looptime

PERMANENT = PermanentError("SQL error 1406 (name)", error_class="DataTooLong")
TEMPORARY = TemporaryError("SQL error 1213")
LOST = ConnectionLost("SQL error 2013", part="database")
AWAY = Unavailable("SQL error 1290", part="database")


class Failing(InMemorySink):
    """A database in which work that holds one of `culprits` fails; `attempts` are all that was tried."""

    def __init__(self, culprits: set[int], error: Exception, times: int | None = None) -> None:
        super().__init__()
        self.tables.positions[CUSTOMERS] = position()
        self.before_commit = self._fail
        self.attempts: list[list[int]] = []
        self._culprits, self._error, self._times = culprits, error, times

    def _fail(self, attempted: Work) -> None:
        offsets = [each.record.offset for each in attempted.events]
        self.attempts.append(offsets)
        if self._culprits & set(offsets) and self._times != 0:
            self._times = None if self._times is None else self._times - 1
            raise self._error

    @property
    def applied(self) -> set[int]:
        return {mark.entity_id - 1 for mark, _ in self.tables.marks.values()}

    @property
    def dead(self) -> list[int]:
        return [letter.record.offset for letter, _ in self.tables.letters.values()]

    @property
    def next_offset(self) -> int:
        return self.tables.positions[CUSTOMERS].next_offset


class Unpinged(Failing):
    """A database that does not answer any more."""

    async def ping(self) -> None:
        raise AWAY


def events(count: int, first: int = 0) -> list[Event]:
    return [event(offset, entity_id=offset + 1) for offset in range(first, first + count)]


async def apply(
    whole: Work, sink: InMemorySink, progress: Progress | None = None
) -> list[tuple[Work, Written]]:
    return [part async for part in apply_isolated(whole, lease(), sink, progress or Unheard())]


def tried(part: Work) -> list[int]:
    return [each.record.offset for each in part.events]


class TestPermanent:
    @pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
    async def test_one_culprit_is_found_wherever_it_stands(self, count: int) -> None:
        """It alone is dead, every neighbour is applied."""
        for culprit in range(count):
            sink = Failing({culprit}, PERMANENT)
            await apply(work(*events(count), end=count + 5), sink)
            assert sink.dead == [culprit]
            assert sink.applied == set(range(count)) - {culprit}
            assert sink.next_offset == count + 5

    @pytest.mark.parametrize("culprits", [{0, 1}, {0, 7}, {3, 4}, {1, 3, 6}, set(range(8))])
    async def test_all_of_several_are_found(self, culprits: set[int]) -> None:
        """Neighbours, ends, and a batch that has nothing good."""
        sink = Failing(culprits, PERMANENT)
        await apply(work(*events(8)), sink)
        assert sorted(sink.dead) == sorted(culprits)
        assert sink.applied == set(range(8)) - culprits

    async def test_parts_come_in_offset_order_and_each_moves_the_position_to_its_own_end(self) -> None:
        """So that an order between events of a record holds, and the fence with it."""
        sink = Failing({2}, PERMANENT)
        parts = await apply(work(*events(6), end=9), sink)
        assert [(tried(part), part.end) for part, _ in parts] == [
            ([0], 1),
            ([1], 2),
            ([], 3),
            ([3, 4, 5], 9),
        ]

    async def test_a_part_ends_where_the_next_begins(self) -> None:
        """Offsets between them belong to hits and markers: they are handled."""
        sink = Failing({20}, PERMANENT)
        parts = await apply(work(event(10, 1), event(20, 2), event(30, 3), end=40), sink)
        assert [part.end for part, _ in parts] == [20, 30, 40]

    async def test_letters_go_with_their_part(self) -> None:
        """None is written twice, none before its turn, and they stay in offset order."""
        sink = Failing({3}, PERMANENT)
        whole = work(
            letter(record(0)),
            event(1, 2),
            letter(record(2)),
            event(3, 4),
            letter(record(4)),
            event(5, 6),
            letter(record(6)),
        )
        parts = await apply(whole, sink)
        assert [[each.record.offset for each in part.letters] for part, _ in parts] == [[0, 2], [3], [4], [6]]
        assert sorted(sink.dead) == [0, 2, 3, 4, 6]

    async def test_the_letter_says_what_the_error_said(self) -> None:
        """Stage, class and message; and which event it was."""
        bad = event(0, 7, event_id=b"a")
        ((part, written),) = await apply(work(bad), Failing({0}, PERMANENT))
        (dead,) = part.letters
        assert dead.record is bad.record
        assert (dead.stage, dead.error_class, dead.error_message) == (
            "apply",
            "DataTooLong",
            "SQL error 1406 (name)",
        )
        assert (dead.event_id, dead.entity, dead.entity_id, dead.attempts) == (b"a", "customers", 7, 1)
        assert written.outcomes == ()

    async def test_a_permanent_failure_is_not_tried_again(self) -> None:
        """It would fail the same way."""
        sink = Failing({0}, PERMANENT)
        await apply(work(*events(1)), sink)
        assert sink.attempts == [[0], []]

    async def test_outcomes_of_events_of_one_record_are_those_of_the_batch(self) -> None:
        """What follows the culprit is decided without it."""
        sink = Failing({1}, PERMANENT)
        same = [event(0, version=1, name="a"), event(1, version=9), event(2, version=2, name="c")]
        parts = await apply(work(*same), sink)
        outcomes = [outcome for _, written in parts for _, outcome in written.outcomes]
        assert outcomes == [Outcome.APPLIED, Outcome.APPLIED]
        assert sink.tables.rows["customers", 1].columns == {"name": "c"}

    async def test_letters_that_fail_alone_are_raised(self) -> None:
        """Nothing is left to divide: the lane pauses, and no record is lost."""
        sink = Failing(set(), PERMANENT)
        sink.before_commit = always(PERMANENT)
        with pytest.raises(PermanentError):
            await apply(work(letter(record(0)), letter(record(1))), sink)
        assert sink.next_offset == 0

    @pytest.mark.parametrize("refused", range(4))
    async def test_a_letter_that_fails_is_told_from_its_neighbours(self, refused: int) -> None:
        """Those before it go through, whatever they are; those behind it are not buried in its place."""
        sink = Failing(set(), PERMANENT)
        sink.before_commit = refuse_letter(refused)
        whole = work(*(letter(record(at)) if at == refused else event(at, at + 1) for at in range(4)))
        with pytest.raises(PermanentError):
            await apply(whole, sink)
        assert (sink.applied, sink.dead, sink.next_offset) == (set(range(refused)), [], refused)

    @pytest.mark.parametrize("refused", range(4))
    async def test_one_of_many_letters_that_fails_is_found(self, refused: int) -> None:
        """The others before it are kept."""
        sink = Failing(set(), PERMANENT)
        sink.before_commit = refuse_letter(refused)
        with pytest.raises(PermanentError):
            await apply(work(*(letter(record(at)) for at in range(4))), sink)
        assert (sink.dead, sink.next_offset) == (list(range(refused)), refused)


class TestTemporary:
    async def test_what_passes_within_the_attempts_is_not_divided(self) -> None:
        """The whole transaction again, after a pause."""
        sink = Failing({1}, TEMPORARY, times=ATTEMPTS - 1)
        parts = await apply(work(*events(3)), sink)
        assert [tried(part) for part, _ in parts] == [[0, 1, 2]]
        assert sink.attempts == [[0, 1, 2]] * ATTEMPTS

    async def test_attempts_are_spaced(self, looptime: float) -> None:
        """Two writers that block each other must not meet again at once."""
        await apply(work(*events(2)), Failing({1}, TEMPORARY, times=2))
        assert 0.15 <= looptime <= 0.3

    async def test_after_the_attempts_the_lone_culprit_is_parked(self) -> None:
        """It waits for another try, its neighbours are applied."""
        sink = Failing({2}, TEMPORARY)
        parts = await apply(work(*events(4)), sink)
        assert (sink.applied, sink.next_offset) == ({0, 1, 3}, 4)
        assert sink.attempts.count([0, 1, 2, 3]) == ATTEMPTS
        assert sink.attempts.count([2]) == ATTEMPTS + 1  # the last with its table known to be writable
        (parked,) = [each for part, _ in parts for each in part.letters]
        assert (parked.record.offset, parked.error_class, parked.stage) == (2, "Temporary", "apply")
        assert parked.retry_in_seconds is not None
        assert 60 <= parked.retry_in_seconds <= 66

    async def test_without_retries_the_lone_culprit_is_dead(self) -> None:
        """An operator who wants no retries has it at once."""
        sink = Failing({0}, TEMPORARY)
        never = RetryPolicy(retries=dict.fromkeys(Operation, 0))
        async for _ in apply_isolated(work(*events(1)), lease(), sink, Unheard(), never):
            pass
        ((_, status),) = sink.tables.letters.values()
        assert status == "dead"

    async def test_who_has_waited_for_a_lock_is_not_tried_again(self) -> None:
        """Some seconds of patience are enough for the whole; then the culprit is looked for."""

        class Waiting(Failing):
            async def apply(self, work: Work, lease: Lease) -> Written:
                await asyncio.sleep(5 if any(each.record.offset == 2 for each in work.events) else 0)
                return await super().apply(work, lease)

        sink = Waiting({2}, TEMPORARY)
        await apply(work(*events(4)), sink)
        assert sink.attempts == [[0, 1, 2, 3], [0], [1], [2], [2], [], [3]]

    async def test_few_levels_lead_to_a_row_that_is_locked(self, looptime: float) -> None:
        """Each costs the wait for the lock: the whole, two parts, and the record, twice."""

        class Waiting(Failing):
            async def apply(self, work: Work, lease: Lease) -> Written:
                await asyncio.sleep(5 if any(each.record.offset == 700 for each in work.events) else 0)
                return await super().apply(work, lease)

        sink = Waiting({700}, TEMPORARY)
        await apply(work(*events(1000)), sink)
        assert (len(sink.applied), sink.next_offset) == (999, 1000)
        assert looptime == 25

    async def test_a_table_that_was_locked_until_now_parks_nobody(self) -> None:
        """Whoever looks afterwards finds it writable: only another try tells."""
        sink = Failing({0}, TEMPORARY, times=ATTEMPTS)
        await apply(work(*events(1)), sink)
        assert (sink.applied, sink.tables.letters) == ({0}, {})

    async def test_a_table_that_is_locked_parks_nobody(self) -> None:
        """It is no record's fault: the lane waits, and the records stay where they are."""
        sink = Failing({0, 1, 2, 3}, TEMPORARY)
        sink.locked.add("customers")
        with pytest.raises(Unavailable, match="customers are locked"):
            await apply(work(*events(4)), sink)
        assert (sink.applied, sink.dead, sink.next_offset) == (set(), [], 0)

    async def test_a_table_that_is_locked_is_found_out_before_the_batch_is_divided(self) -> None:
        """Each part would wait for it as long as the whole did."""
        sink = Failing({0, 1, 2, 3}, TEMPORARY)
        sink.locked.add("customers")
        with pytest.raises(Unavailable):
            await apply(work(*events(4)), sink)
        assert sink.attempts == [[0, 1, 2, 3]] * ATTEMPTS


class TestLostConnections:
    async def test_an_answer_that_was_lost_is_asked_for_again(self) -> None:
        """The same work runs again, through the fence."""
        sink = Failing({1}, LOST, times=1)
        parts = await apply(work(*events(3)), sink)
        assert [tried(part) for part, _ in parts] == [[0, 1, 2]]

    async def test_a_batch_that_loses_its_connection_again_and_again_is_divided(self) -> None:
        """While a ping succeeds it may be a record that is too large: the neighbours are applied."""
        sink = Failing({2}, LOST)
        with pytest.raises(ConnectionLost):
            await apply(work(*events(4)), sink)
        assert (sink.applied, sink.next_offset) == ({0, 1}, 2)
        assert sink.attempts[: ATTEMPTS + 1] == [[0, 1, 2, 3]] * ATTEMPTS + [[0]]

    async def test_a_lone_record_that_loses_it_is_never_a_dead_letter(self) -> None:
        """It is raised, however often it is tried: the lane waits."""
        sink = Failing({0}, LOST)
        for _ in range(3):
            with pytest.raises(ConnectionLost):
                await apply(work(*events(1)), sink)
        assert (sink.dead, sink.next_offset) == ([], 0)

    async def test_without_an_answer_to_the_ping_nothing_is_divided(self) -> None:
        """The database is away: everything waits as it is."""
        sink = Unpinged({0}, LOST)
        with pytest.raises(Unavailable) as raised:
            await apply(work(*events(4)), sink)
        assert raised.value is AWAY
        assert sink.attempts == [[0, 1, 2, 3]]
        assert sink.next_offset == 0

    async def test_a_commit_whose_answer_was_lost_meets_the_fence(self) -> None:
        """Nothing runs twice: the caller looks at the row."""
        sink = Failing(set(), LOST)
        sink.after_commit = always(LOST)
        with pytest.raises(FenceLost):
            await apply(work(*events(4)), sink)
        assert (sink.applied, sink.next_offset, sink.transactions) == ({0, 1, 2, 3}, 4, 1)


class Heard:
    """Notes how a batch gets on."""

    def __init__(self) -> None:
        self.news: list[str] = []

    def retrying(self, error: TemporaryError | Unavailable) -> None:
        self.news.append(str(error))

    def reached(self, offset: int) -> None:
        self.news.append(f"at {offset}")


class TestProgress:
    @pytest.mark.parametrize("error", [TEMPORARY, LOST], ids=["temporary", "lost"])
    async def test_whoever_asked_hears_of_every_run_again(self, error: Exception) -> None:
        """Before the waiting for it begins; and that it went through."""
        heard = Heard()
        sink = Failing({1}, error, times=ATTEMPTS - 1)
        await apply(work(*events(3), end=9), sink, heard)
        assert heard.news == [str(error)] * (ATTEMPTS - 1) + ["at 9"]

    async def test_each_part_is_told_with_its_end(self) -> None:
        """A batch that is divided gets ahead, if slowly."""
        heard = Heard()
        await apply(work(*events(4), end=9), Failing({2}, PERMANENT), heard)
        assert heard.news == ["at 2", "at 3", "at 9"]

    async def test_a_part_that_is_not_committed_was_not_reached(self) -> None:
        """Nothing is told ahead of the database."""
        heard = Heard()
        with pytest.raises(Unavailable):
            await apply(work(*events(4)), Failing({0}, AWAY), heard)
        assert heard.news == []


class TestEverythingElse:
    @pytest.mark.parametrize(
        "error",
        [
            pytest.param(AWAY, id="unavailable"),
            pytest.param(FenceLost("not ours"), id="fence"),
            pytest.param(RuntimeError("a bug"), id="unknown"),
        ],
    )
    async def test_what_is_not_the_records_fault_passes_at_once(self, error: Exception) -> None:
        """No second attempt, no division, no letter."""
        sink = Failing({1}, error)
        with pytest.raises(type(error)):
            await apply(work(*events(4)), sink)
        assert sink.attempts == [[0, 1, 2, 3]]
        assert (sink.dead, sink.next_offset) == ([], 0)

    async def test_a_failure_in_a_later_part_keeps_the_earlier_ones(self) -> None:
        """What was committed was handed out."""
        sink = Failing({1}, PERMANENT)
        sink.after_commit = lambda _: setattr(sink, "reachable", False)
        parts = apply_isolated(work(*events(4)), lease(), sink, Unheard())
        assert (await anext(parts))[0].end == 1
        with pytest.raises(Unavailable):
            await anext(parts)
        assert sink.tables.positions[CUSTOMERS].next_offset == 1


class TestDivide:
    def test_two_halves_in_offset_order(self) -> None:
        """The first ends where the second begins."""
        whole = Work(tuple(events(5)), (letter(record(2)),), 9)
        first, second = divide(whole, PERMANENT, RetryPolicy())
        assert (tried(first), first.end, tried(second), second.end) == ([0, 1], 2, [2, 3, 4], 9)
        assert (len(first.letters), len(second.letters)) == (0, 1)

    @pytest.mark.parametrize("error", [TEMPORARY, LOST], ids=["temporary", "lost"])
    @pytest.mark.parametrize("count", [2, 3, 15, 16, 17, 33, 1000])
    def test_many_parts_where_failing_is_slow(self, count: int, error: TemporaryError | Unavailable) -> None:
        """At most sixteen, none empty, none much larger than another: together they are the whole."""
        whole = work(*events(count), end=count + 5)
        parts = divide(whole, error, RetryPolicy())
        sizes = [len(part.events) for part in parts]
        assert len(parts) == min(count, WAYS_OF_SLOW_FAILURES)
        assert max(sizes) - min(sizes) <= 1
        assert tuple(each for part in parts for each in part.events) == whole.events
        assert [part.end for part in parts[:-1]] == [part.events[0].record.offset for part in parts[1:]]
        assert parts[-1].end == whole.end

    def test_letters_count_as_much_as_events(self) -> None:
        """Either may be the culprit: an event and a letter are parted, in both orders."""
        for whole in (work(letter(record(0)), event(1)), work(event(0), letter(record(1)))):
            first, second = divide(whole, PERMANENT, RetryPolicy())
            assert (len(first.events) + len(first.letters), first.end) == (1, 1)
            assert (len(second.events) + len(second.letters), second.end) == (1, 2)
            assert first.events + second.events == whole.events
            assert first.letters + second.letters == whole.letters

    def test_nothing_to_divide_raises_the_error(self) -> None:
        """For one event without a connection, for a letter, and for none."""
        for part, error in (
            (work(letter(record(0))), TEMPORARY),
            (work(*events(1)), LOST),
            (work(end=3), PERMANENT),
        ):
            with pytest.raises(type(error)):
                divide(part, error, RetryPolicy())


def always(error: Exception) -> Callable[[Work], None]:
    def fail(_: Work) -> None:
        raise error

    return fail


def refuse_letter(offset: int) -> Callable[[Work], None]:
    """Fail every transaction that holds the letter of this record."""

    def fail(attempted: Work) -> None:
        if any(each.record.offset == offset for each in attempted.letters):
            raise PERMANENT

    return fail


def test_leases_move_with_the_parts() -> None:
    """The rights of the next part are those of the one before, moved."""
    assert lease(3).moved_to(7) == Lease(CUSTOMERS, lease().claim_id, 7, 7, "5eed")
    assert lease(3, handled=9).moved_to(7).handled_offset == 9

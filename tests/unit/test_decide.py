"""The newer-or-stale decision: an order, kept by rows that only ever go up."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from service.core.decide import check, fold, is_newer, version_of
from service.core.types import Event, Mark, Operation, Outcome, RowVersion
from tests.building import age, at, delete, event, line

ages = st.builds(
    age,
    st.none() | st.integers(0, 3),
    st.integers(0, 3),
    partition_number=st.integers(0, 1),
    offset=st.integers(0, 3),
)


@st.composite
def events_of_one_record(draw: st.DrawFn) -> list[Event]:
    """Up to six events in offset order, with few versions and times, so that they meet."""
    count = draw(st.integers(0, 6))
    return [
        replace(
            event(
                offset,
                version=draw(st.none() | st.integers(0, 3)),
                seconds=draw(st.integers(0, 3)),
                operation=draw(st.sampled_from(Operation)),
            ),
            columns=draw(st.dictionaries(st.sampled_from(["name", "phone"]), st.integers(0, 3))),
        )
        for offset in range(1, count + 1)
    ]


def folded_one_by_one(stored: RowVersion | None, events: list[Event]) -> list[RowVersion]:
    """The age of the row after each event."""
    after: list[RowVersion] = []
    for each in events:
        change = fold(stored, [each]).change
        stored = change.version if change else stored
        assert stored is not None
        after.append(stored)
    return after


class TestOrder:
    @settings(max_examples=150, deadline=None, database=None)
    @given(one=ages, other=ages)
    def test_of_two_different_ages_exactly_one_is_newer(self, one: RowVersion, other: RowVersion) -> None:
        """Antisymmetric and total: nothing beats itself, and of two that differ in place one wins."""
        assert not is_newer(one, one)
        assert not (is_newer(one, other) and is_newer(other, one))
        if replace(one, version=None) != replace(other, version=None):
            assert is_newer(one, other) or is_newer(other, one)

    @settings(max_examples=150, deadline=None, database=None)
    @given(one=ages, other=ages)
    def test_versions_decide_before_times(self, one: RowVersion, other: RowVersion) -> None:
        """Where both have one and they differ, nothing else is looked at."""
        if one.version is not None and other.version is not None and one.version != other.version:
            assert is_newer(one, other) == (one.version > other.version)

    def test_time_decides_before_the_place(self) -> None:
        """Then the time, then the partition, then the offset."""
        ladder = [
            age(1, 0, partition_number=9, offset=9),
            age(1, 0.000001, partition_number=0, offset=9),
            age(1, 0.000001, partition_number=1, offset=0),
            age(1, 0.000001, partition_number=1, offset=1),
        ]
        assert [is_newer(high, low) for low, high in pairwise(ladder)] == [True] * 3
        assert not any(is_newer(low, high) for low, high in pairwise(ladder))

    @settings(max_examples=150, deadline=None, database=None)
    @given(stored=st.none() | ages, events=events_of_one_record())
    def test_the_version_of_a_row_never_goes_down(
        self, stored: RowVersion | None, events: list[Event]
    ) -> None:
        """Whatever comes in whatever order (I7)."""
        versions = [-1 if stored is None or stored.version is None else stored.version]
        versions += [
            -1 if each.version is None else each.version for each in folded_one_by_one(stored, events)
        ]
        assert versions == sorted(versions)

    def test_three_events_cannot_beat_each_other_in_a_circle(self) -> None:
        """Each of these beats the one before; the row keeps its version, so the last does not get through."""
        first, second, third = age(2, 1, offset=1), age(None, 2, offset=2), age(1, 3, offset=3)
        assert is_newer(second, first)
        assert is_newer(third, second)
        assert is_newer(first, third)
        events = [
            event(each.source_offset, version=each.version, seconds=each.source_offset)
            for each in (first, second, third)
        ]
        assert folded_one_by_one(None, events) == [
            first,
            replace(second, version=2),
            replace(second, version=2),
        ]


class TestFold:
    @settings(max_examples=150, deadline=None, database=None)
    @given(stored=st.none() | ages, events=events_of_one_record())
    def test_folding_a_batch_gives_what_its_events_give_one_by_one(
        self, stored: RowVersion | None, events: list[Event]
    ) -> None:
        """The same age of the row and the same outcomes."""
        folded = fold(stored, events)
        outcomes: list[tuple[Event, Outcome]] = []
        current = stored
        for each in events:
            one = fold(current, [each])
            outcomes += one.outcomes
            current = one.change.version if one.change else current
        assert folded.outcomes == tuple(outcomes)
        assert (folded.change.version if folded.change else stored) == current

    def test_nothing_that_wins_is_no_change(self) -> None:
        """A row that is newer than all is not written."""
        folded = fold(age(9), [event(1, version=1), delete(2, version=2)])
        assert folded.change is None
        assert [outcome for _, outcome in folded.outcomes] == [Outcome.STALE] * 2

    def test_later_columns_lie_over_earlier_ones(self) -> None:
        """What only the earlier one carried stays; what only a stale one carried never comes."""
        change = fold(
            None,
            [
                event(1, version=2, name="Ann", phone="1"),
                event(2, version=1, email="stale@x"),
                event(3, version=3, name="Bob"),
            ],
        ).change
        assert change is not None
        assert change.columns == {"name": "Bob", "phone": "1"}
        assert (change.is_new, change.deleted, change.from_defaults, change.lines) == (
            True,
            False,
            False,
            None,
        )

    def test_a_delete_wipes_what_came_before_it(self) -> None:
        """Columns go back to their defaults and lines go, for the revival after it too."""
        change = fold(age(0), [event(1, name="Ann", lines=[line(1)]), delete(2)]).change
        assert change is not None
        assert (change.columns, change.lines, change.deleted, change.from_defaults) == ({}, (), True, True)
        change = fold(age(0), [event(1, name="Ann"), delete(2), event(3, phone="1")]).change
        assert change is not None
        assert (change.columns, change.lines, change.deleted, change.from_defaults) == (
            {"phone": "1"},
            (),
            False,
            True,
        )
        assert not change.is_new

    def test_lines_stay_until_others_come(self) -> None:
        """None leaves alone what an earlier event of the batch brought, an empty list does not."""
        lines = [line(1)]
        for last, expected in ((None, tuple(lines)), ([], ())):
            change = fold(None, [event(1, lines=lines), event(2, lines=last)]).change
            assert change is not None
            assert change.lines == expected

    def test_the_age_is_that_of_the_record(self) -> None:
        """Version and time of the event, partition and offset of the record."""
        assert version_of(event(7, version=3, seconds=5)) == RowVersion(3, at(5), 0, 7)


class TestCheck:
    def test_new_known_and_reused_ids_are_told_apart(self) -> None:
        """A mark of the same record makes a duplicate, one of another record an id reused."""
        marks = {b"a": Mark("customers", 1), b"b": Mark("customers", 2), b"c": Mark("orders", 3)}
        new, known = event(1, 1, event_id=b"A"), event(2, 1, event_id=b"a")
        other_id, other_entity = event(3, 1, event_id=b"b"), event(4, 3, event_id=b"c")
        checked = check([new, known, other_id, other_entity], marks)
        assert (checked.fresh, checked.duplicates, checked.reused) == (
            (new,),
            (known,),
            (other_id, other_entity),
        )

    def test_an_id_counts_as_known_for_the_events_after_it(self) -> None:
        """Within the batch as well."""
        first, same, other, again = (
            event(offset, entity_id, event_id=b"a") for offset, entity_id in enumerate((1, 1, 2, 1))
        )
        checked = check([first, same, other, again], {})
        assert (checked.fresh, checked.duplicates, checked.reused) == ((first,), (same, again), (other,))

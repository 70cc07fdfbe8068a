"""The flood guard: when it trips, what it forgets, and what lanes do then."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.types import GroupOffset, Partition, Work
from service.pipeline.batching import BatchLimits
from service.pipeline.flood import Flooded, FloodGuard
from tests.building import CUSTOMERS, event, letter, record
from tests.unit.lane_world import World


class TestGuard:
    def test_half_of_the_window(self) -> None:
        """It trips at the configured share, and says so."""
        guard = FloodGuard(0.5, 10)
        guard.count(6, dead=4)
        with pytest.raises(Flooded):
            guard.count(4, dead=1)
        assert guard.reason == "5 of the last 10 records are dead"

    def test_a_window_that_is_not_full_counts_as_full_of_good_ones(self) -> None:
        """One bad record at the start of the day stops nobody."""
        guard = FloodGuard(0.5, 10)
        guard.count(4, dead=4)
        assert guard.reason is None

    def test_old_ones_leave_the_window(self) -> None:
        """What went wrong long ago does not count."""
        guard = FloodGuard(0.5, 10)
        for _ in range(100):
            guard.count(10, dead=0)
            guard.count(4, dead=4)
        assert guard.reason is None

    def test_a_new_window_after_an_operator_has_resumed(self) -> None:
        """What was counted before is forgotten."""
        guard = FloodGuard(0.5, 10)
        with pytest.raises(Flooded):
            guard.count(10, dead=9)
        assert guard.resume()
        guard.count(4, dead=4)
        assert guard.reason is None
        assert not guard.resume()

    def test_a_batch_with_dead_letters_is_taken_a_window_at_a_time(self) -> None:
        """Or a large batch of garbage would be in the database before anybody counts."""
        work = Work(
            tuple(event(n, n + 1) for n in range(10)), tuple(letter(record(n)) for n in range(10, 25)), 30
        )
        portions = FloodGuard(0.5, 10).portions(work)
        assert [len(part.events) + len(part.letters) for part in portions] == [8, 8, 9]
        assert [part.end for part in portions] == [8, 16, 30]

    def test_a_good_batch_is_taken_whole(self) -> None:
        """However large it is, and whatever the batch without a guard holds."""
        good = Work(tuple(event(n, n + 1) for n in range(25)), (), 25)
        bad = Work((), tuple(letter(record(n)) for n in range(25)), 25)
        assert FloodGuard(0.5, 10).portions(good) == (good,)
        assert FloodGuard(0.5, 0).portions(bad) == (bad,)

    def test_it_can_be_switched_off(self) -> None:
        """A window of 0."""
        guard = FloodGuard(0.5, 0)
        guard.count(10_000, dead=10_000)
        assert guard.reason is None

    @given(
        ratio=st.floats(0.01, 1),
        window=st.integers(1, 50),
        dead=st.lists(st.booleans(), max_size=200),
    )
    def test_record_by_record_it_is_the_share_of_the_last_ones(
        self, ratio: float, window: int, dead: list[bool]
    ) -> None:
        """Exactly those of the window."""
        guard = FloodGuard(ratio, window)
        for count in range(1, len(dead) + 1):
            flood = sum(dead[max(0, count - window) : count]) >= ratio * window
            if flood:
                with pytest.raises(Flooded):
                    guard.count(1, dead=dead[count - 1])
                return
            guard.count(1, dead=dead[count - 1])


@pytest.mark.looptime
class TestLanes:
    async def test_lanes_pause_and_an_operator_resumes(self) -> None:
        """The topic is not drained into the dead letters; every partition stands still, with a reason."""
        world = World(partitions=2)
        world.flood = FloodGuard(0.5, 10)
        other = Partition("customers", 1)
        for _ in range(100):
            world.kafka.append(CUSTOMERS, b"garbage")
        member = await world.member()
        lanes = [world.lane(member, each, limits=BatchLimits(max_records=10)) for each in (CUSTOMERS, other)]
        for lane in lanes:
            world.run(lane)
        await asyncio.sleep(5)
        assert [lane.paused for lane in lanes] == ["flood", "flood"]
        assert lanes[0].detail == "10 of the last 10 records are dead"
        assert world.dead == set(range(10))
        world.produce_numbered(3, partition=other)
        await asyncio.sleep(3600)
        assert len(world.dead) == 10
        assert world.applied == set()
        assert world.committed == GroupOffset(10, ours=True)
        world.flood.resume()
        await asyncio.sleep(5)
        assert world.dead == set(range(20))
        await world.close()

    async def test_the_rest_of_a_batch_is_not_tried(self) -> None:
        """Records that the database refuses one by one are no different."""
        world = World()
        world.flood = FloodGuard(0.5, 10)
        world.refuse_events()
        world.produce_numbered(100)
        await world.start(limits=BatchLimits(max_records=100))
        await asyncio.sleep(60)
        assert world.dead == set(range(5))
        assert world.stored.next_offset == 5
        await world.close()

    async def test_a_lane_that_pauses_drains(self) -> None:
        """At once, and where it stood."""
        world = World()
        world.flood = FloodGuard(0.5, 2)
        for _ in range(10):
            world.kafka.append(CUSTOMERS, b"garbage")
        lane, task = await world.start(limits=BatchLimits(max_records=2))
        await asyncio.sleep(5)
        lane.drain()
        await asyncio.wait_for(task, 1)
        assert world.stored.next_offset == 2
        assert world.committed == GroupOffset(2, ours=True)
        await world.close()

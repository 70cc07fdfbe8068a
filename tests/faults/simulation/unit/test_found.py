"""What the simulation has found in the service, each as the shortest history that shows it."""

from __future__ import annotations

import asyncio

import pytest

from service.core.types import OPERATOR
from service.pipeline.claim import StartPolicy
from tests.building import CUSTOMERS, position
from tests.unit.lane_world import CLUSTER, World


@pytest.mark.looptime
async def test_a_reset_to_an_offset_that_the_log_has_lost_commits_nothing_ahead() -> None:
    """I3: the row is at 1, the log begins at 3, and the claim goes on there: SQL first, then Kafka."""
    world = World()
    world.produce_numbered(5)
    world.kafka.trim(CUSTOMERS, 3)
    world.store(position(1, owner=OPERATOR, cluster_id=CLUSTER))
    await world.start(policy=StartPolicy(go_on_at_earliest=True))
    await asyncio.sleep(5)
    await world.close()
    assert world.stored.next_offset == 5
    assert world.kafka.too_far == []

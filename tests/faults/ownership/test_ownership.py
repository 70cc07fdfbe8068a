"""An owner that stops at the worst moment costs its successor a bounded time, and nobody anything else."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Mapping

import pytest

from tests.e2e.stage import staged
from tests.faults.ownership.endings import SCENARIOS, STORM_SECONDS, Scene
from tests.faults.side_by_side import Ending, play, wanted
from tests.servers import Kafka, MariaDb, Redis


@pytest.fixture(scope="module")
def endings(
    request: pytest.FixtureRequest, kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes
) -> Mapping[str, Ending]:
    """How each scenario of this run ended; they take place side by side."""
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")

    def scenario(name: str) -> Callable[[], Coroutine[object, object, str]]:
        async def happen() -> str:
            with staged(kafka, mariadb, redis_server, schema) as stage:
                return await SCENARIOS[name](Scene(stage, kafka, mariadb, seed))

        return happen

    return play({name: scenario(name) for name in sorted(wanted(request))})


@pytest.mark.timeout(300 + 2 * STORM_SECONDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_member_ends_or_wakes_up_harmless(endings: Mapping[str, Ending], name: str) -> None:
    """Nothing is lost or doubled, every partition has one owner, everything ends in time."""
    print(f"{name}: {endings[name].said}")
    assert not endings[name].trouble, endings[name].trouble

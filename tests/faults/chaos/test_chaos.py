"""A short, fixed chaos run: one fault of each important kind, some at once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.chaos.act import Theatre, play_act
from tests.faults.chaos.faults import BY_NAME
from tests.faults.chaos.schedule import Planned, Scene
from tests.faults.chaos.servers import Servers, serving

_SEED = 20
# Kind, seconds after the scene began, seconds held, replica: those in one line overlap.
_SCENES = (
    (("cut after COMMIT", 0.0, 2.0, 0),),
    (("redis killed", 0.0, 1.5, 0), ("cut before COMMIT", 0.5, 2.0, 0)),
    (("replica killed", 0.0, 1.0, 1), ("kafka cut", 0.5, 0.0, 0)),
    (("database restored", 0.0, 1.5, 0),),
    (("broker killed", 0.0, 0.5, 0), ("redis flushed", 0.0, 0.0, 0)),
    (("database killed", 0.0, 1.0, 0),),
    (("replica frozen for long", 0.0, 9.0, 2), ("database black-holed", 0.5, 2.0, 0)),
)


@pytest_asyncio.fixture
async def servers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Servers]:
    """Servers of our own, whatever the environment offers: these are killed."""
    for given in ("KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(given, raising=False)
    async with serving() as servers:
        yield servers


async def test_nothing_is_lost_and_nothing_doubled(servers: Servers) -> None:
    """Three replicas under load, while everything around them fails."""
    scenes = [_scene(number, *faults) for number, faults in enumerate(_SCENES)]
    act = await play_act(Theatre(servers, time.monotonic(), print), scenes, _SEED)
    assert (act.lost, act.doubled, act.violations) == (0, 0, ())
    assert [fault.kind for fault in act.faults] == [name for faults in _SCENES for name, *_ in faults]
    assert act.outcomes["applied"]


def _scene(number: int, *faults: tuple[str, float, float, int]) -> Scene:
    planned = (Planned(BY_NAME[name], after, held, replica) for name, after, held, replica in faults)
    return Scene(number, tuple(planned), pause_seconds=0.0)

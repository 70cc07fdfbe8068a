"""Each planted bug is caught by its scenario, and the scenario finds nothing where no bug is planted."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from service.pipeline import partition
from tests.e2e import audit, world
from tests.planted.bugs import BUGS, SCENARIOS, Bug, Scenario
from tests.planted.page import PAGE, missing_tests, rendered
from tests.planted.scene import Scene, world_of
from tests.servers import MariaDb, database_of


@pytest.fixture(scope="module")
def audited_url(mariadb: MariaDb, schema: bytes) -> Iterator[str]:
    """A migrated database whose writes are audited, for all scenarios."""
    url = mariadb.create_database()
    mariadb.restore(database_of(url), schema)
    audit.install(world_of(url, redis_url=""))
    yield url
    mariadb.drop_database(database_of(url))


@pytest_asyncio.fixture
async def scene(audited_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """A stage without rows, keys and records, whose lanes wait for nothing longer than they must."""
    for wait in ("FETCH_WAIT_SECONDS", "SETTLE_SECONDS", "ROW_CHECK_SECONDS"):
        monkeypatch.setattr(partition, wait, 0.1)
    scene = Scene(audited_url, redis_url)
    # The judge's one question to Kafka; everything else it finds where it is.
    monkeypatch.setattr(world, "_kafka_progress", scene.kafka_progress)
    await scene.open()
    yield scene
    await scene.close()


@pytest.mark.parametrize("scenario", [pytest.param(each, id=name) for name, each in SCENARIOS.items()])
async def test_scenario_is_clean_without_bugs(scene: Scene, scenario: Scenario) -> None:
    """What a scenario does to the service breaks no invariant."""
    assert await scenario(scene) == []
    assert scene.unreached() == []


@pytest.mark.parametrize("bug", [pytest.param(bug, id=bug.name) for bug in BUGS])
async def test_bug_is_caught(scene: Scene, bug: Bug, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bug, the scenario reports the invariant that the bug violates."""
    bug.plant(monkeypatch)
    violations = await bug.scenario(scene)
    assert bug.reports in invariants(violations), violations


def invariants(violations: list[str]) -> set[str]:
    """The invariants that these lines name."""
    return set(re.findall(r"\bI[1-9]\b", "\n".join(violations)))


def test_names_are_unique() -> None:
    """Nothing is hidden behind a name that stands twice."""
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert len({bug.scenario for bug in BUGS}) == len(SCENARIOS)


def test_the_page_lists_every_bug() -> None:
    """docs/proof.md is what `python -m tests.planted` makes of it."""
    assert PAGE.read_text() == rendered(PAGE.read_text())


def test_the_page_names_tests_that_exist() -> None:
    """A proof that nobody runs is none."""
    assert missing_tests(PAGE.read_text()) == []

"""Scenarios of processes that die, answers that get lost, and batches of which only a part came through."""

from __future__ import annotations

from service.core.errors import Unavailable
from service.core.types import Work
from tests.planted.changes import customer, hopeless, not_json
from tests.planted.scenarios.rows import SECRET, narrow_phone
from tests.planted.scene import Scene
from tests.planted.steps import failure


async def crash_before_the_transaction(scene: Scene) -> list[str]:
    """A process dies with a batch in its hands."""
    doomed = await scene.start()
    doomed.steps.at("before apply", doomed.crash)
    scene.handle(customer("a", version=1))
    await doomed.crashed()
    await scene.start()
    return await scene.violations()


async def crash_behind_the_commit(scene: Scene) -> list[str]:
    """A process dies right behind the first COMMIT of a batch with an event and a record that is none."""
    doomed = await scene.start()
    scene.handle(customer("warm", 9, version=1))
    await scene.settle()

    scene.database.steps.at("after transaction", doomed.crash, when=_has_written)
    scene.handle(customer("a", version=1), not_json())
    await doomed.crashed()
    await scene.start()
    return await scene.violations()


async def half_a_batch(scene: Scene) -> list[str]:
    """A batch is divided around its culprit; the database goes away when the first half is through."""
    narrow_phone(scene)
    member = await scene.start()
    away = failure(Unavailable("planted", part="database"))
    member.steps.at("before apply", away, when=_is_second_half)
    scene.handle(
        customer("a", 1, version=1),
        hopeless(customer("b", 2, version=1, phone=SECRET)),
        customer("c", 3, version=1),
        customer("d", 4, version=1),
    )
    return await scene.violations()


def _has_written(names: object) -> bool:
    assert isinstance(names, list)
    return "insert customers" in names


def _is_second_half(work: object) -> bool:
    assert isinstance(work, Work)
    return [event.event_id for event in work.events] == [b"c", b"d"]

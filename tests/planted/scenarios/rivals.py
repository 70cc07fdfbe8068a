"""Scenarios of two writers: lanes that race, owners that were superseded, claims that cross."""

from __future__ import annotations

from service.core.errors import ConnectionLost
from service.core.types import Partition
from tests.planted.changes import customer
from tests.planted.member import Member
from tests.planted.scenarios.rows import CUSTOMERS
from tests.planted.scene import Scene
from tests.planted.steps import Gate


async def copy_elsewhere(scene: Scene) -> list[str]:
    """A copy comes to a lane whose cache does not know it: nobody looks for its mark beforehand."""
    await scene.start()
    scene.handle(customer("a", version=1, partition=0, name="early"))
    await scene.settle()
    scene.handle(customer("a", version=1, partition=1, name="late"))
    return await scene.violations()


async def race_for_a_new_row(scene: Scene) -> list[str]:
    """Two lanes hold events of one record that is not there yet; the older one writes last."""
    await scene.start()
    slow = Gate()
    scene.database.steps.at("after select customers", slow)
    older = scene.produce(customer("old", version=1, partition=1, name="old"))
    await slow.reached()
    scene.handle(customer("new", version=2, partition=0, name="new"))
    scene.expect(older)
    await scene.until(lambda: scene.position(CUSTOMERS) == 1)
    slow.open()
    return await scene.violations()


async def zombie(scene: Scene) -> list[str]:
    """An owner stops before its transaction and wakes up when its successor is far ahead."""
    stopped = await scene.start()
    asleep = Gate()
    stopped.steps.at("before apply", asleep)
    return await _superseded(scene, stopped, asleep)


async def lost_answer_of_a_zombie(scene: Scene) -> list[str]:
    """An owner's COMMIT went through, its answer never came, and a successor is far ahead meanwhile."""
    stopped = await scene.start()
    silence = Gate(ConnectionLost("planted", part="database"))
    stopped.steps.at("after apply", silence)
    return await _superseded(scene, stopped, silence)


async def _superseded(scene: Scene, stopped: Member, asleep: Gate) -> list[str]:
    scene.handle(customer("a", 1, version=1), customer("b", 2, version=1))
    await asleep.reached()
    stopped.expel()
    await scene.start()
    scene.handle(customer("c", 3, version=1))
    await scene.settle()
    asleep.open()
    await scene.until(lambda: stopped.has_ended(CUSTOMERS))
    return await scene.violations()


async def crossing_claims(scene: Scene) -> list[str]:
    """A member has read the row and stops before its claim; another one claims and goes ahead."""
    await scene.start()
    await scene.settle()
    await scene.stop()
    stopped, asleep = scene.member(), Gate()
    stopped.steps.at("before claim", asleep, when=_is_customers)
    await stopped.consumer.start()
    await asleep.reached()
    stopped.expel()
    await scene.start()
    scene.handle(customer("a", version=1))
    await scene.settle()
    asleep.open()
    await scene.until(lambda: stopped.has_ended(CUSTOMERS))
    return await scene.violations()


def _is_customers(partition: object) -> bool:
    assert isinstance(partition, Partition)
    return partition == CUSTOMERS

"""Scenarios of positions: operators' resets, restored databases, hits, and offsets without a record."""

from __future__ import annotations

from tests.planted.changes import customer
from tests.planted.scenarios.rows import CUSTOMERS
from tests.planted.scene import Scene


async def reset_forward(scene: Scene) -> list[str]:
    """An operator leaves records out."""
    await scene.start()
    scene.handle(customer("a", 1, version=1))
    await scene.settle()
    await scene.stop()
    _left_out, taken = scene.produce(customer("b", 2, version=1), customer("c", 3, version=1))
    scene.expect([taken])
    scene.reset(CUSTOMERS, taken.place.offset)
    await scene.start()
    return await scene.violations()


async def restored_backup(scene: Scene) -> list[str]:
    """The database goes back to a backup under an idle lane; Redis remembers what it has forgotten."""
    await scene.start()
    scene.handle(customer("a", 1, version=1))
    await scene.settle()
    scene.tables.backup()
    scene.handle(customer("b", 2, version=1), customer("c", 3, version=1))
    await scene.settle()
    scene.tables.restore()
    return await scene.violations()


async def restored_backup_that_nobody_notices(scene: Scene) -> list[str]:
    """As above, while nobody works, and the group's offset is gone as well: nothing tells of the restore."""
    await scene.start()
    scene.handle(customer("a", 1, version=1))
    await scene.settle()
    scene.tables.backup()
    scene.handle(customer("b", 2, version=1), customer("c", 3, version=1))
    await scene.settle()
    await scene.stop()
    scene.tables.restore()
    scene.kafka.reset_group_offset(CUSTOMERS, None)
    await scene.start()
    return await scene.violations()


async def restored_and_reset_forth_and_back(scene: Scene) -> list[str]:
    """After a restore an operator first jumps over what is missing, then goes back to it."""
    await scene.start()
    scene.handle(customer("a", 1, version=1))
    await scene.settle()
    scene.tables.backup()
    scene.handle(customer("b", 2, version=1), customer("c", 3, version=1))
    await scene.settle()
    await scene.stop()
    scene.tables.restore()
    for offset in (3, 1):
        scene.reset(CUSTOMERS, offset)
        await scene.start()
        await scene.settle()
        await scene.stop()
    return await scene.violations()


async def reset_forth_and_back_and_restored(scene: Scene) -> list[str]:
    """An operator jumps over records and goes back to them; a backup of the time in between is restored."""
    await scene.start()
    scene.handle(customer("a", 1, version=1))
    await scene.settle()
    await scene.stop()
    left_out, taken = scene.produce(customer("b", 2, version=1), customer("c", 3, version=1))
    scene.expect([taken])
    await _go_to(scene, taken.place.offset)
    scene.tables.backup()
    scene.expect([left_out])
    await _go_to(scene, left_out.place.offset)
    scene.tables.restore()
    await _go_to(scene, left_out.place.offset)
    return await scene.violations()


async def _go_to(scene: Scene, offset: int) -> None:
    """Reset the group and let a member work from there to the end."""
    scene.reset(CUSTOMERS, offset)
    await scene.start()
    await scene.settle()
    await scene.stop()


async def copies_that_the_cache_knows(scene: Scene) -> list[str]:
    """A batch of nothing but hits moves the lane, and the database's position later."""
    await scene.start()
    scene.handle(customer("a", version=1))
    await scene.settle()
    scene.handle(customer("a", version=1), customer("a", version=1))
    return await scene.violations()


async def markers_at_the_end(scene: Scene) -> list[str]:
    """The log ends with the marker of a transaction."""
    scene.handle(customer("a", version=1))
    scene.kafka.append_gap(CUSTOMERS)
    await scene.start()
    return await scene.violations()

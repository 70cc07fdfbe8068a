"""Scenarios of dead letters: who dies, who does not, and what is kept."""

from __future__ import annotations

from dataclasses import replace

from tests.planted.changes import customer, hopeless, not_json
from tests.planted.scenarios.rows import CUSTOMERS, SECRET, narrow_phone
from tests.planted.scene import Scene


async def refused_value(scene: Scene) -> list[str]:
    """The database refuses one record of a batch; its neighbours are as good as any."""
    narrow_phone(scene)
    scene.handle(
        customer("a", 1, version=1, name="a"),
        hopeless(customer("b", 2, version=1, phone=SECRET)),
        customer("c", 3, version=1, name="c"),
    )
    await scene.start()
    return await scene.violations()


async def healed_column(scene: Scene) -> list[str]:
    """A record died of its column; the column is mended and an operator goes back to the record."""
    undoing = narrow_phone(scene)
    message = customer("b", version=1, phone=SECRET)
    dead, good = scene.produce(message, customer("c", 2, version=1))
    scene.expect([replace(dead, message=hopeless(message)), good])
    await scene.start()
    await scene.settle()
    await scene.stop()
    undoing.close()
    scene.reset(CUSTOMERS, 0)
    scene.expect([dead])
    await scene.start()
    return await scene.violations()


async def corrected_copy(scene: Scene) -> list[str]:
    """The producer sends a record that died once more, mended, under the id that it had."""
    narrow_phone(scene)
    scene.handle(
        hopeless(customer("a", version=1, phone=SECRET)),
        customer("a", version=1, name="mended"),
    )
    await scene.start(batch_records=1)
    return await scene.violations()


async def reused_id(scene: Scene) -> list[str]:
    """The id of an event comes again, for another record."""
    await scene.start()
    scene.handle(customer("a", 1, version=1))
    await scene.settle()
    scene.handle(customer("a", 2, version=1))
    return await scene.violations()


async def record_without_key(scene: Scene) -> list[str]:
    """A record that is no event has no key and odd headers."""
    scene.handle(not_json())
    await scene.start()
    return await scene.violations()

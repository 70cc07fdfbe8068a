"""Scenarios of what a row must be: versions, tombstones, lines, and values that a column refuses."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from service.core.types import Partition
from tests.e2e.hostile import CANARY
from tests.planted.changes import customer, order
from tests.planted.scene import Scene

CUSTOMERS = Partition("customers", 0)
# What a column of numbers refuses, and what no error text may quote.
SECRET = f"{CANARY} 555"


async def late_update(scene: Scene) -> list[str]:
    """An older version comes after a newer one."""
    await scene.start()
    scene.handle(customer("new", version=2, name="new"))
    await scene.settle()
    scene.handle(customer("old", version=1, name="old", phone="1"))
    return await scene.violations()


async def version_left_out(scene: Scene) -> list[str]:
    """Between two versions, the older one later in time, comes an event that carries none."""
    await scene.start(batch_records=1)
    scene.handle(
        customer("a", version=5, minute=1, name="a"),
        customer("b", version=None, minute=2, name="b"),
        customer("c", version=3, minute=3, name="c"),
    )
    return await scene.violations()


async def late_update_of_a_deleted_record(scene: Scene) -> list[str]:
    """A delete overtakes an update."""
    await scene.start()
    scene.handle(
        customer("a", version=1, name="a"),
        customer("c", version=3, operation="delete"),
    )
    await scene.settle()
    scene.handle(customer("b", version=2, name="b"))
    return await scene.violations()


async def late_order(scene: Scene) -> list[str]:
    """An older order comes with lines of its own."""
    await scene.start()
    scene.handle(order("new", version=2, lines=[1, 2]))
    await scene.settle()
    scene.handle(order("old", version=1, lines=[7]))
    return await scene.violations()


async def similar_ids(scene: Scene) -> list[str]:
    """Three events of one record whose ids differ in case or by a trailing blank."""
    await scene.start()
    for version, event_id in enumerate(("e", "E", "e "), start=1):
        scene.handle(customer(event_id, version=version, name=f"v{version}"))
        await scene.settle()
    return await scene.violations()


async def locked_row(scene: Scene) -> list[str]:
    """Somebody else holds a row while it is to be read: 1205, and later it is free."""
    member = await scene.start()
    scene.handle(customer("a", version=1, name="a"))
    await scene.settle()
    rival = scene.tables.rival()
    rival.begin()
    with rival.cursor() as cursor:
        cursor.execute("SELECT id FROM customers WHERE id = 1 FOR UPDATE")
    scene.database.refuse_to_wait = True

    async def let_go() -> None:
        rival.rollback()

    member.steps.at("after failed apply", let_go)
    scene.handle(customer("b", version=2, name="b"))
    return await scene.violations()


async def missing_column(scene: Scene) -> list[str]:
    """The code is ahead of the schema for a while: its records wait, and die for nothing."""
    undoing = scene.tables.alter(
        "ALTER TABLE customers RENAME COLUMN email TO mail",
        "ALTER TABLE customers RENAME COLUMN mail TO email",
    )
    member = await scene.start()
    scene.handle(customer("a", version=1, email="a@example.org"))
    await scene.until(lambda: member.paused(CUSTOMERS) == "database" or scene.position(CUSTOMERS) == 1)
    await asyncio.to_thread(undoing.close)
    return await scene.violations()


def narrow_phone(scene: Scene) -> ExitStack:
    """Make the column of phones refuse what is no number (1366), until the stack is closed."""
    return scene.tables.alter(
        "ALTER TABLE customers MODIFY phone INT",
        "ALTER TABLE customers MODIFY phone VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    )

"""Closing aiokafka's clients for good, also when no broker answers.

`AIOKafkaConsumer.stop()` waits for a pending JoinGroup for as long as the request may take, and with the
brokers away its fetcher raises a stray `CancelledError` that leaves connections open. Here a stop has a time
limit, and what it left behind is ended by hand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.group import LeaveGroupRequest

STOP_SECONDS = 3
_STEP_SECONDS = 1

log = logging.getLogger(__name__)


async def finishes(work: Coroutine[object, object, object], seconds: float) -> bool:
    """Whether `work` ended well within `seconds`; otherwise it is cancelled. Never raises its exception."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
    if not task.done():
        await asyncio.wait({task}, timeout=_STEP_SECONDS)
    return task.done() and not task.cancelled() and task.exception() is None


async def close_consumer(consumer: AIOKafkaConsumer) -> bool:
    """Leave the group and end every task and connection of `consumer`, within seconds.

    False: the group did not hear of it, and waits for this member until its session ends.
    """
    coordinator, member = consumer._coordinator, _membership(consumer)
    has_joined = coordinator is not None and coordinator.generation > 0
    if await finishes(consumer.stop(), STOP_SECONDS):
        # A request to a coordinator that fails makes aiokafka forget who it is.
        return not has_joined or coordinator.coordinator_id is not None
    log.warning("the Kafka consumer did not stop by itself: ending it by hand")
    has_left = member is not None and await finishes(_leave(consumer, *member), _STEP_SECONDS)
    await _end(background_tasks(consumer))
    await finishes(consumer._client.close(), _STEP_SECONDS)
    return has_left or not has_joined


def background_tasks(consumer: AIOKafkaConsumer) -> list[asyncio.Task[object]]:
    """The tasks that a consumer has running for fetching and for its membership."""
    fetcher, coordinator = consumer._fetcher, consumer._coordinator
    tasks = [] if fetcher is None else [fetcher._fetch_task, *fetcher._pending_tasks]
    if coordinator is not None:
        tasks += [coordinator._coordination_task, coordinator._heartbeat_task]
        tasks += [coordinator._commit_refresh_task]
    return [task for task in tasks if task is not None]


def is_broken(consumer: AIOKafkaConsumer) -> bool:
    """Whether a task that must run as long as the consumer does has ended: it never recovers from that."""
    fetching, membership = consumer._fetcher._fetch_task, consumer._coordinator._coordination_task
    return bool(fetching.done() or membership.done())


def _membership(consumer: AIOKafkaConsumer) -> tuple[int, str, str] | None:
    """The coordinator's node, the group and our member id, while there are any."""
    coordinator = consumer._coordinator
    if coordinator is None or coordinator.coordinator_id is None or not coordinator.member_id:
        return None
    return coordinator.coordinator_id, coordinator.group_id, coordinator.member_id


async def _leave(consumer: AIOKafkaConsumer, node: int, group_id: str, member_id: str) -> None:
    # On the fetcher's connection: the coordinator's own one may still wait for the answer to a JoinGroup.
    await consumer._client.send(node, LeaveGroupRequest(group_id, member_id))


async def _end(tasks: list[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        done, _pending = await asyncio.wait(tasks, timeout=_STEP_SECONDS)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen, so that asyncio does not report it as lost


def hear_out_commits() -> None:
    """Listen to commits that were given up on: aiokafka shields them, and asyncio complains otherwise."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__name__", "") == "_do_commit_offsets":
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

"""The Kafka source: one member of a consumer group, read partition by partition.

The pipeline calls it through `core.ports.Source`; `app.py` builds it and hands `lag_ends`, `ping` and
`topic_partitions` to the monitor. Who may write is not decided here: an assignment is only Kafka's word, the
claim in SQL is the proof.

What aiokafka does, and what follows from it:

* It assigns partitions and begins to read before its listener runs. A new partition is paused and given a
  position first of all; `seek` gives it the real one and lets it flow.
* A member that does not poll leaves the group after `max_poll_interval_ms` and never comes back, and an
  error of the membership waits until somebody polls. The interval is therefore endless (a lane may wait for
  its database for days), and a keeper polls for members without partitions.
* Tasks that died never come back: the keeper joins the group anew then.
* It waits more than a minute on connections that the network has swallowed: the keeper closes them.
* `getmany` takes records out of its buffer without awaiting anything afterwards: cancelling it loses none.
  It waits for the end of a rebalance whatever its timeout says, so `fetch` has a timer of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.abc import ConsumerRebalanceListener

from service.core.errors import NotOwner, Unavailable, UpsertdError
from service.core.ports import AssignmentListener
from service.core.types import Batch, GroupOffset, LogRange, Partition
from service.sources.kafka_admin import METADATA, KafkaAdmin
from service.sources.kafka_client import KafkaClient
from service.sources.kafka_closing import close_consumer, hear_out_commits, is_broken
from service.sources.kafka_errors import answered
from service.sources.kafka_options import KafkaOptions, connection_settings, consumer_settings
from service.sources.kafka_reading import kafka_name, take

__all__ = ["KafkaOptions", "KafkaSource"]

COMMIT_SECONDS = 5
REREAD_SECONDS = 10
REVOKE_SECONDS = 20
POLL_SECONDS = 1
_GLANCE_SECONDS = 0.1

# A position for a partition that nobody has sought: without one aiokafka would look for one itself.
_PLACEHOLDER = 0
_NOBODY = TopicPartition("", 0)

log = logging.getLogger(__name__)


class _Tenure:
    """One assignment of one partition to us; the next one of the same partition is another object."""

    def __init__(self) -> None:
        self.sought = False


class KafkaSource:
    """A group member, as `core.ports.Source` describes it.

    Raises at construction what `consumer_settings` raises. `start` may be called again after it failed or
    after `stop`; it and every question end within `deadline_seconds`.
    """

    def __init__(self, options: KafkaOptions, *, deadline_seconds: float = 8) -> None:
        self._options = options
        self._settings = consumer_settings(options)
        self._deadline_seconds = deadline_seconds
        self._admin = KafkaAdmin(options, deadline_seconds=deadline_seconds)
        self._listener: AssignmentListener | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._tenures: dict[Partition, _Tenure] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[bool] | None = None
        self._cluster_id = ""
        self._trouble: str | None = None

    async def start(self, listener: AssignmentListener) -> None:
        """Connect and ask for membership; the assignment comes to `listener` later.

        Raises `Unavailable` and leaves nothing behind when no broker answers.
        """
        self._listener = listener
        try:
            await self._join()
        except BaseException:
            await self._admin.close()
            raise
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> str | None:
        """Leave the group and close every connection, within seconds; never raises. See the port.

        The listener is not called: whoever stops a source has drained before.
        """
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None
        has_left, _ = await asyncio.gather(self._leave(), self._admin.close())
        return None if has_left else "the group was not told: it waits for this member's session to end"

    async def fetch(self, partition: Partition, max_records: int, wait_seconds: float) -> Batch:
        """Take the next records of one partition; see the port. Several lanes may fetch side by side.

        A record that is too large to be handed over comes without key and value, with `missing_bytes`.
        """
        tenure, consumer = self._tenure(partition), self._member()
        if not tenure.sought:
            raise NotOwner(f"{partition} was assigned anew and not sought yet")
        async with answered(f"fetch {partition}", wait_seconds + REREAD_SECONDS):
            batch = await take(consumer, partition, self._cluster_id, max_records, wait_seconds)
        if self._tenures.get(partition) is not tenure:
            _give_back(consumer, partition, batch)
            raise NotOwner(f"{partition} was reassigned during a fetch")
        return batch

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`; no effect on a partition that has left."""
        tenure = self._tenures.get(partition)
        if tenure is None or self._consumer is None:
            return
        tp = kafka_name(partition)
        with suppress(kafka_errors.IllegalStateError):
            self._consumer.seek(tp, offset)
            self._consumer.resume(tp)
            tenure.sought = True

    async def commit(self, partition: Partition, offset: int) -> None:
        """Commit the group's offset; also allowed while `on_revoked` runs."""
        tenure, consumer = self._tenure(partition), self._member()
        if consumer._coordinator.generation < 0:
            # A group without members would take a commit from anybody.
            raise NotOwner(f"commit {partition}: the group has dropped this member")
        try:
            async with answered(f"commit {partition}", COMMIT_SECONDS):
                await consumer.commit({kafka_name(partition): (offset, METADATA)})
        except BaseException:  # cancelled, too: a lane that is cut off while Kafka hangs
            hear_out_commits()
            raise
        if self._tenures.get(partition) is not tenure:
            raise NotOwner(f"{partition} was reassigned during a commit")

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        """The group's offset and whether it is ours."""
        return await self._admin.group_offset(partition)

    async def log_range(self, partition: Partition) -> LogRange:
        """The first offset and the end of the committed records (the last stable offset)."""
        return await self._admin.log_range(partition)

    async def cluster_id(self) -> str:
        """The id of the cluster that this membership is with."""
        if not self._cluster_id:
            self._cluster_id = await self._admin.cluster_id()
        return self._cluster_id

    async def lag_ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The ends of `partitions` in one question; those without a leader are left out."""
        return await self._admin.ends(partitions)

    async def topic_partitions(self, topic: str) -> tuple[Partition, ...]:
        """The partitions of `topic`; none when it does not exist."""
        return await self._admin.topic_partitions(topic)

    async def ping(self) -> None:
        """Raise `Unavailable` unless a broker answers and the membership is well."""
        if self._keeper is None or self._keeper.done():
            raise Unavailable("not a member of the group", part="kafka")
        if self._trouble is not None:
            raise Unavailable(self._trouble, part="kafka")
        await self._admin.ping()

    def _tenure(self, partition: Partition) -> _Tenure:
        tenure = self._tenures.get(partition)
        if tenure is None:
            raise NotOwner(f"{partition} is not assigned to this member")
        return tenure

    def _member(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise NotOwner("not a member of the group")
        return self._consumer

    async def _join(self) -> None:
        consumer = AIOKafkaConsumer(**self._settings)
        # Not connected yet: it may as well use a client that notices silence.
        consumer._client = KafkaClient(connection_settings(self._options))
        try:
            async with answered("join the group", self._deadline_seconds):
                self._cluster_id = await self._admin.cluster_id()
                await consumer.start()
        except BaseException:
            await close_consumer(consumer)
            raise
        self._consumer = consumer
        # Only now: start() would wait for topics that do not exist, and fail.
        consumer.subscribe(self._options.topics, listener=_Rebalances(self, consumer))

    async def _leave(self) -> bool:
        consumer, self._consumer = self._consumer, None
        self._tenures.clear()
        if consumer is not None:
            self._closing = asyncio.create_task(close_consumer(consumer))
        if self._closing is not None:
            # Goes on when a stop cancels the keeper here; the stop waits for it in its turn.
            has_left = await asyncio.shield(self._closing)
            self._closing = None
            return has_left
        return True

    async def _keep(self) -> None:
        """Poll for a member without partitions, and join anew when aiokafka has given up."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._keep_up()
            except UpsertdError as error:
                self._trouble = str(error)
                log.warning("the Kafka membership is in trouble: %s", error)
            else:
                self._trouble = None

    async def _keep_up(self) -> None:
        if self._consumer is not None and is_broken(self._consumer):
            log.error("the Kafka consumer has broken down: joining the group anew")
            await self._revoked()
            await self._leave()
        if self._consumer is None:
            await self._join()
        else:
            self._consumer._client.close_silent()
            await _poll(self._consumer)

    async def _assigned(self, partitions: Collection[Partition]) -> None:
        self._tenures = {partition: _Tenure() for partition in partitions}
        if partitions and self._listener is not None:
            await self._listener.on_assigned(partitions)

    async def _revoked(self) -> None:
        """Let the listener finish, with commits still accepted; then the partitions are no longer ours."""
        try:
            if self._tenures and self._listener is not None:
                async with asyncio.timeout(REVOKE_SECONDS):
                    await self._listener.on_revoked(tuple(self._tenures))
        except TimeoutError:
            log.warning("the lanes did not drain within %s s: giving their partitions up", REVOKE_SECONDS)
        finally:
            self._tenures.clear()


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Passes on what one consumer hears; a consumer that was given up is not listened to."""

    def __init__(self, source: KafkaSource, consumer: AIOKafkaConsumer) -> None:
        self._source = source
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        if self._source._consumer is self._consumer:
            await self._source._revoked()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        for tp in assigned:  # before anything is awaited, or records flow
            self._consumer.pause(tp)
            self._consumer.seek(tp, _PLACEHOLDER)
        if self._source._consumer is self._consumer:
            await self._source._assigned(sorted(Partition(tp.topic, tp.partition) for tp in assigned))


async def _poll(consumer: AIOKafkaConsumer) -> None:
    """Hear errors of the membership, without taking records; during a rebalance there is nothing to hear."""
    async with answered("membership", POLL_SECONDS):
        with suppress(TimeoutError):
            async with asyncio.timeout(_GLANCE_SECONDS):
                await consumer.getmany(_NOBODY)


def _give_back(consumer: AIOKafkaConsumer, partition: Partition, batch: Batch) -> None:
    """Undo a fetch that outlived its tenure: its records belong to the next one, if that is ours too."""
    if batch.records:
        with suppress(kafka_errors.IllegalStateError):
            consumer.seek(kafka_name(partition), batch.records[0].offset)

"""A database that was lost or restored, and operators who move the group: two truths are brought together."""

from __future__ import annotations

from collections.abc import Iterable

from tests.e2e.eviction import evict_members
from tests.e2e.messages import Produced
from tests.e2e.producing import produce
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.e2e.world import Log
from tests.servers import MariaDb


async def test_a_lost_database_is_filled_again_from_the_log(stage: Stage, seed: int) -> None:
    """With an empty database the service begins at the earliest record, whatever Redis and Kafka say."""
    replica = stage.start()
    await stage.produce(Workload(seed).take(2_500))
    await stage.settle()
    assert await replica.sigterm() == 0
    stage.renew_database()
    replica.start()
    await stage.settle()
    await stage.judge(resets=True)


async def test_a_restored_backup_catches_up(stage: Stage, seed: int, mariadb: MariaDb) -> None:
    """What was applied after the backup is applied again, though Redis remembers it and Kafka is ahead."""
    workload = Workload(seed)
    replica = stage.start()
    await stage.produce(workload.take(1_500))
    await stage.settle()
    backup = mariadb.dump(stage.database)
    await stage.produce(workload.take(1_500))
    await stage.settle()
    await replica.kill9()
    await evict_members(stage.world)
    mariadb.restore(stage.database, backup)
    replica.start()
    await stage.settle()
    await stage.judge(resets=True)


async def test_a_reset_backward_is_obeyed_and_changes_nothing(stage: Stage, seed: int) -> None:
    """Everything is read again; nothing is applied again."""
    replica = stage.start()
    sent = await stage.produce(Workload(seed).take(1_500))
    await stage.settle()
    assert await replica.sigterm() == 0
    await stage.reset_group(dict.fromkeys(_by_log(sent), 0))
    stage.take(sent)
    replica.start()
    await stage.settle()
    await stage.judge(resets=True)
    metrics = await replica.metrics()
    assert metrics.total("upsertd_events_total") == len(sent)
    assert metrics.total("upsertd_events_total", outcome="applied") == 0
    assert metrics.total("upsertd_events_total", outcome="stale") == 0


async def test_a_reset_forward_and_back_again_is_obeyed(stage: Stage, seed: int) -> None:
    """Records that were jumped over are left out, not their copies behind; the way back has them all."""
    workload = Workload(seed)
    replica = stage.start()
    await stage.produce(workload.take(1_000))
    await stage.settle()
    assert await replica.sigterm() == 0
    waiting = await produce(stage.world, workload.take(1_500))
    rest = waiting[700:]
    await stage.reset_group({log: records[0].place.offset for log, records in _by_log(rest).items()})
    stage.take(rest)
    replica.start()
    await stage.settle()
    await stage.judge(resets=True)
    assert await replica.sigterm() == 0
    await stage.reset_group({log: records[0].place.offset for log, records in _by_log(waiting).items()})
    stage.take(waiting)
    replica.start()
    await stage.settle()
    await stage.judge(resets=True)


def _by_log(records: Iterable[Produced]) -> dict[Log, list[Produced]]:
    logs: dict[Log, list[Produced]] = {}
    for record in records:
        logs.setdefault(Log(record.place.topic, record.place.partition), []).append(record)
    return logs

"""Everything that can fail, one line each: `schedule` draws from the list, `act` plays what was drawn."""

from __future__ import annotations

from tests.faults.chaos import breaking
from tests.faults.chaos.fault import NO_STOP, TAKEN_OVER, Kind, Part
from tests.faults.chaos.network import (
    commits_cut,
    cut,
    everywhere,
    flapping,
    of_one,
    refused,
    slowed,
    swallowed,
)
from tests.faults.chaos.servers import Proxies
from tests.faults.proxy import Fate, Proxy


def _to_kafka(proxies: Proxies) -> Proxy:
    return proxies.kafka


def _to_database(proxies: Proxies) -> Proxy:
    return proxies.database


def _to_redis(proxies: Proxies) -> Proxy:
    return proxies.redis


KINDS = (
    Kind("replica killed", Part.REPLICA, breaking.replica_killed, (0.2, 8), TAKEN_OVER),
    Kind("all replicas killed", Part.REPLICA, breaking.all_replicas_killed, (0, 3)),
    Kind("replica restarted", Part.REPLICA, breaking.replica_restarted, (0, 2)),
    Kind("replica frozen for a moment", Part.REPLICA, breaking.replica_frozen, (1, 4)),
    Kind("replica frozen for long", Part.REPLICA, breaking.replica_frozen, (10, 16), TAKEN_OVER),
    Kind("database killed", Part.DATABASE, breaking.database_killed, (0, 5)),
    Kind("database stopped", Part.DATABASE, breaking.database_stopped, (0, 5)),
    Kind("database frozen", Part.DATABASE, breaking.database_frozen, (1, 7)),
    Kind("database restored", Part.DATABASE, breaking.database_restored, (1, 5)),
    Kind("database refused", Part.DATABASE, everywhere(_to_database, refused), (1, 6)),
    Kind("database cut", Part.DATABASE, everywhere(_to_database, cut), (0, 0)),
    Kind("database black-holed", Part.DATABASE, everywhere(_to_database, swallowed), (1, 8)),
    Kind("database slow", Part.DATABASE, everywhere(_to_database, slowed), (2, 5)),
    Kind("database flapping", Part.DATABASE, everywhere(_to_database, flapping), (3, 6)),
    Kind("database away from one", Part.DATABASE, of_one(_to_database, swallowed), (2, 8)),
    Kind("cut before COMMIT", Part.DATABASE, everywhere(_to_database, commits_cut(Fate.CUT_BEFORE)), (2, 4)),
    Kind("cut after COMMIT", Part.DATABASE, everywhere(_to_database, commits_cut(Fate.CUT_AFTER)), (2, 4)),
    Kind("broker killed", Part.KAFKA, breaking.broker_killed, (0, 3)),
    Kind("broker restarted", Part.KAFKA, breaking.broker_stopped, (0, 3)),
    Kind("broker frozen", Part.KAFKA, breaking.broker_frozen, (1, 8)),
    Kind("kafka refused", Part.KAFKA, everywhere(_to_kafka, refused), (1, 5)),
    Kind("kafka cut", Part.KAFKA, everywhere(_to_kafka, cut), (0, 0)),
    Kind("kafka black-holed", Part.KAFKA, everywhere(_to_kafka, swallowed), (1, 8)),
    Kind("kafka flapping", Part.KAFKA, everywhere(_to_kafka, flapping), (3, 6)),
    Kind("kafka slow", Part.KAFKA, everywhere(_to_kafka, slowed), (2, 5)),
    Kind("kafka away from one", Part.KAFKA, of_one(_to_kafka, swallowed), (10, 14), TAKEN_OVER),
    Kind("redis killed", Part.REDIS, breaking.redis_killed, (1, 4), NO_STOP),
    Kind("redis flushed", Part.REDIS, breaking.redis_flushed, (0, 0), NO_STOP),
    Kind("redis frozen", Part.REDIS, breaking.redis_frozen, (1, 4), NO_STOP),
    Kind("redis refused", Part.REDIS, everywhere(_to_redis, refused), (1, 4), NO_STOP),
    Kind("redis black-holed", Part.REDIS, everywhere(_to_redis, swallowed), (1, 4), NO_STOP),
    Kind("redis flapping", Part.REDIS, everywhere(_to_redis, flapping), (3, 5), NO_STOP),
    Kind("redis slow", Part.REDIS, everywhere(_to_redis, slowed), (1, 4), NO_STOP),
)
BY_NAME = {kind.name: kind for kind in KINDS}

"""Where one run takes place: topics and a database of its own, an empty Redis. Opened by `drain`, `paced`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.load import PARTITIONS, Message
from benchmarks.probe import Probe
from benchmarks.producing import Sender, produce
from benchmarks.servers import Servers


@dataclass(frozen=True, slots=True)
class Stage:
    """The names of one run on shared servers. `topics` maps entities to topics."""

    servers: Servers
    database: str
    topics: Mapping[str, str]
    group_id: str

    @property
    def addresses(self) -> dict[str, str]:
        """Where everything is, as both consumers want to be told."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka.bootstrap,
            "KAFKA_GROUP_ID": self.group_id,
            "DATABASE_URL": self.servers.mariadb.url(self.database),
            "REDIS_URL": self.servers.redis.url,
        }

    def produce(self, messages: Sequence[Message]) -> None:
        """Send all of them; the broker has them when this returns."""
        produce(self.servers.kafka.bootstrap, self.topics, messages)

    def sender(self) -> Sender:
        """A producer that stays, for messages that are sent at a pace."""
        return Sender(self.servers.kafka.bootstrap, self.topics)

    def probe(self) -> Probe:
        """A connection to the database, as root: only root may begin the peak of connections anew."""
        return Probe(self.servers.mariadb.url(self.database), user="root")


@contextmanager
def staged(servers: Servers, entities: Sequence[str], *, with_schema: bool) -> Iterator[Stage]:
    """Make a stage; `with_schema`: with upsertd's tables."""
    name = secrets.token_hex(4)
    topics = {entity: f"{entity}-{name}" for entity in entities}
    database = f"upsertd_{name}"
    for topic in topics.values():
        servers.kafka.create_topic(topic, PARTITIONS)
    servers.mariadb.create_database(database)
    if with_schema:
        servers.mariadb.restore(database, servers.schema)
    servers.redis.flush()
    try:
        yield Stage(servers, database, topics, f"group-{name}")
    finally:
        servers.mariadb.drop_database(database)
        for topic in topics.values():
            servers.kafka.delete_topic(topic)

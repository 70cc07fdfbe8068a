"""Apache Kafka: one broker that is its own controller (KRaft), with transactions.

Called by fixtures, by tests that kill brokers or need listeners of their own, and by `make servers`. The
jars come from `kafka_jars.py`, topics are made by `kafka_topics.py`.
"""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers import kafka_topics
from tests.servers.errors import ServerFailed
from tests.servers.kafka_jars import Java, find_java
from tests.servers.ports import free_port
from tests.servers.processes import Image
from tests.servers.server import Command, Server

_ONE_BROKER = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # A broker that was killed is let in again when its session has expired: after 9 s by default.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # The default of 128 MB is a quarter of the heap, for compacting logs that are tiny here.
    "log.cleaner.dedupe.buffer.size": "8388608",
}
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
# The first compiler only: a broker that lives for minutes never earns back what the second one costs.
_JAVA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Kafka(Server):
    """One broker.

    `properties` are added to its `server.properties`, or replace them. `protocols` names further listeners
    beside the plain one, `("SASL_PLAINTEXT",)`, each on a port of its own (`address`); what they need is in
    `properties`: `plain_logins` makes some of it, and certificates can be given as PEM text. `scram_users`
    (name: password) exist with SCRAM-SHA-256 and -512 from the beginning.
    """

    name = "Kafka"
    address_variable = "KAFKA_BOOTSTRAP_SERVERS"

    def __init__(
        self,
        *,
        port: int | None = None,
        properties: Mapping[str, str] | None = None,
        protocols: Sequence[str] = (),
        scram_users: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(port=port, configured=bool(properties or protocols or scram_users))
        self._properties = dict(properties or {})
        self._ports = {"PLAINTEXT": self.port, **{protocol: free_port() for protocol in protocols}}
        self._controller_port = free_port()
        self._scram_users = dict(scram_users or {})
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    @property
    def bootstrap(self) -> str:
        """The address of the plain listener, or all of `KAFKA_BOOTSTRAP_SERVERS`."""
        return self.given_address or self.address("PLAINTEXT")

    def address(self, protocol: str) -> str:
        """The address of the listener that speaks `protocol`."""
        return f"127.0.0.1:{self._ports[protocol]}"

    def create_topic(self, name: str, partitions: int = 1, **config: object) -> None:
        """Create a topic and wait until it can be written.

        `config` are topic settings with underscores for dots: `cleanup_policy="compact"`.
        """
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        kafka_topics.create(self.bootstrap, name, partitions, settings)

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        kafka_topics.delete(self.bootstrap, name)

    def add_partitions(self, name: str, total: int) -> None:
        """Give a topic `total` partitions and wait until all can be written."""
        kafka_topics.add_partitions(self.bootstrap, name, total)

    def answers(self) -> bool:
        return kafka_topics.broker_answers(self.bootstrap)

    def _image(self) -> Image:
        properties = self._server_properties("0.0.0.0", "/tmp/kafka-logs")
        variables = {_as_variable(key): value for key, value in properties.items()}
        ports = list(self._ports.values())
        return Image("apache/kafka:4.1.1", ports, (), {"CLUSTER_ID": self._cluster_id, **variables})

    def _command(self, folder: Path) -> Command:
        java = find_java()
        file = folder / "server.properties"
        properties = self._server_properties("127.0.0.1", str(folder / "data"))
        file.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in properties.items()))
        self._format(java, file)
        run = java.command(*_JAVA_OPTIONS, "kafka.Kafka", str(file))
        return Command(run, java.environment)

    def _format(self, java: Java, file: Path) -> None:
        users = [
            f"--add-scram={mechanism}=[name={name},password={password}]"
            for name, password in self._scram_users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        arguments = ["format", f"--cluster-id={self._cluster_id}", "-c", str(file), *users]
        command = java.command(*_JAVA_OPTIONS, "kafka.tools.StorageTool", *arguments)
        done = subprocess.run(
            command, capture_output=True, text=True, env=java.full_environment(), check=False
        )
        if done.returncode != 0:
            raise ServerFailed(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _server_properties(self, host: str, data: str) -> dict[str, str]:
        controller = f"127.0.0.1:{self._controller_port}"
        own = [f"{protocol}://{host}:{port}" for protocol, port in self._ports.items()]
        seen = [f"{protocol}://{self.address(protocol)}" for protocol in self._ports]
        security = ["CONTROLLER:PLAINTEXT", *(f"{protocol}:{protocol}" for protocol in _PROTOCOLS)]
        return {
            **_ONE_BROKER,
            "controller.quorum.voters": f"1@{controller}",
            "listeners": ",".join([*own, f"CONTROLLER://{controller}"]),
            "advertised.listeners": ",".join(seen),
            "listener.security.protocol.map": ",".join(security),
            "log.dirs": data,
            **self._properties,
        }


def plain_logins(protocol: str, users: Mapping[str, str]) -> dict[str, str]:
    """The properties that let `users` (name: password) log in with SASL PLAIN at the listener `protocol`."""
    prefix = f"listener.name.{protocol.lower()}"
    logins = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        f"{prefix}.sasl.enabled.mechanisms": "PLAIN",
        f"{prefix}.plain.sasl.jaas.config": f"{module} required {logins};",
    }


def _as_variable(key: str) -> str:
    """The variable that the official image turns into the property `key`."""
    return "KAFKA_" + key.replace("_", "__").replace("-", "___").replace(".", "_").upper()


def _escaped(value: str) -> str:
    """`value` as Java's property files have it: PEM text has line ends."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")

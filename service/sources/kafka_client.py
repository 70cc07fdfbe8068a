"""aiokafka's client, as it has to be where a network may swallow what is sent without saying so.

aiokafka has one time limit for everything, and it has to be long: the answer to a JoinGroup waits until every
member has drained. On a connection that the network has forgotten everything else would wait as long, fetches
and heartbeats, for a minute after the network is back. Here connecting has a short limit of its own, and
`close_silent` closes connections on which an answer is overdue; aiokafka then makes new ones. `KafkaSource`
calls it every second; `KafkaAdmin`, whose questions have deadlines, needs the connecting alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.group import JoinGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import BrokerMetadata
from aiokafka.util import create_task

from service.sources.kafka_options import REQUEST_TIMEOUT_MS

CONNECT_SECONDS = 5.0
# Looks, a second apart, at which a connection owes an answer and has not sent a byte. Not a clock: a process
# that was stopped finds its answers in the socket when it wakes up.
SILENT_LOOKS = 5

# The coordinator answers these when the other members have come.
_WAITS_FOR_MEMBERS = {JoinGroupRequest.API_KEY, SyncGroupRequest.API_KEY}


class _Silence(NamedTuple):
    """The oldest request without an answer, the bytes of it that are there, and at how many looks."""

    request: int
    received_bytes: int
    looks: int


class KafkaClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka is untyped
    """Built from `connection_settings`; their time limit is that of requests, not of connecting."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        super().__init__(**{**settings, "request_timeout_ms": round(CONNECT_SECONDS * 1000)})
        self._answer_seconds = REQUEST_TIMEOUT_MS / 1000
        self._silences: dict[object, _Silence] = {}
        self._closed = False

    async def close(self) -> None:
        """Close every connection. Whoever is still asking hears that no broker is ready."""
        self._closed = True
        await super().close()

    def close_silent(self) -> None:
        """Close the connections that have owed an answer for `SILENT_LOOKS` calls of this."""
        silences: dict[object, _Silence] = {}
        for name, connection in tuple(self._conns.items()):
            silence = _silence(connection, self._silences.get(name))
            if silence is None:
                continue
            if silence.looks > SILENT_LOOKS:
                connection.close(reason=CloseReason.CONNECTION_TIMEOUT)
            else:
                silences[name] = silence
        self._silences = silences

    async def bootstrap(self) -> None:
        """Learn who the brokers are; raises `KafkaConnectionError` when none of the known addresses answers.

        aiokafka's own, cancelled, leaves a connection open that nobody knows. This one is among the others.
        """
        known = [BrokerMetadata(f"{host}:{port}", host, port, None) for host, port, _family in self.hosts]
        self.cluster._bootstrap_brokers = {broker.nodeId: broker for broker in known}
        for broker in known:
            if await self._learns_from(broker.nodeId):
                break
        else:
            raise KafkaConnectionError(f"Unable to bootstrap from {self.hosts}")
        if self._sync_task is None:
            self._sync_task: object = create_task(self._md_synchronizer())

    async def _learns_from(self, node: str) -> bool:
        try:
            connection = await self._get_conn(node)
            if connection is None:
                return False
            self.cluster.update_metadata(await connection.send(MetadataRequest([])))
        except (KafkaError, TimeoutError):
            return False
        finally:
            # Brokers have connections of their own, by their numbers.
            if (connection := self._conns.pop((node, ConnectionGroup.DEFAULT), None)) is not None:
                connection.close()
        return True

    async def _get_conn(self, *node: object, **options: object) -> AIOKafkaConnection | None:
        # Questions share a client, and one that fails drops it: another would open what nobody closes.
        if self._closed:
            return None
        connection = await super()._get_conn(*node, **options)
        if connection is None:
            return None
        if self._closed:
            connection.close()
            return None
        connection._request_timeout = self._answer_seconds
        return connection


def _silence(connection: AIOKafkaConnection, before: _Silence | None) -> _Silence | None:
    """How long `connection` has owed an answer; None when it owes none, or one that may take its time."""
    if not connection._requests or connection._reader is None:
        return None
    number, request, _future = connection._requests[0]
    if request is None or request.API_KEY in _WAITS_FOR_MEMBERS:
        return None
    received_bytes = len(connection._reader._buffer)
    if before is None or (before.request, before.received_bytes) != (number, received_bytes):
        return _Silence(number, received_bytes, 1)
    return _Silence(number, received_bytes, before.looks + 1)

"""What the failpoints found: a question that outlives its Kafka client must not connect by it again."""

from __future__ import annotations

import pytest
from aiokafka.errors import NodeNotReadyError
from aiokafka.protocol.metadata import MetadataRequest

from service.sources.kafka_client import KafkaClient
from service.sources.kafka_options import KafkaOptions, connection_settings
from tests.servers import Kafka


async def test_a_closed_client_connects_no_more(kafka: Kafka) -> None:
    """One lane's question fails and drops the client, another's goes on: nobody would close what it opens."""
    client = KafkaClient(connection_settings(KafkaOptions(kafka.bootstrap, "failpoints", ())))
    await client.bootstrap()
    node = client.get_random_node()
    await client.send(node, MetadataRequest([]))
    await client.close()
    with pytest.raises(NodeNotReadyError):
        await client.send(node, MetadataRequest([]))
    assert [name for name, connection in client._conns.items() if connection.connected()] == []

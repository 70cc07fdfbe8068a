"""Which connections to Kafka are given up: those that owe an answer, not those that may take their time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from service.sources.kafka_client import SILENT_LOOKS, KafkaClient
from service.sources.kafka_options import KafkaOptions, connection_settings

_MEMBER = "node 1"


class Connection:
    """As much of aiokafka's as the client looks at."""

    def __init__(self) -> None:
        self._reader = asyncio.StreamReader()
        self._requests: deque[tuple[int, object, None]] = deque()
        self.closed = False

    def owe(self, number: int, request: type[object]) -> None:
        self._requests.append((number, request, None))

    def receive(self, data: bytes) -> None:
        self._reader.feed_data(data)

    def answer(self) -> None:
        self._requests.popleft()

    def close(self, reason: object = None) -> None:
        self.closed = True


@pytest_asyncio.fixture
async def client() -> AsyncIterator[KafkaClient]:
    """A client that is connected to nothing else."""
    client = KafkaClient(connection_settings(KafkaOptions("127.0.0.1:1", "group", ())))
    yield client


@pytest.fixture
def connection(client: KafkaClient) -> Connection:
    """Its only connection."""
    connection = Connection()
    client._conns[_MEMBER] = connection
    return connection


def look(client: KafkaClient, times: int) -> None:
    for _ in range(times):
        client.close_silent()


async def test_a_connection_that_owes_an_answer_is_given_up(
    client: KafkaClient, connection: Connection
) -> None:
    """After a few seconds of silence, not before."""
    connection.owe(1, HeartbeatRequest)
    look(client, SILENT_LOOKS)
    assert not connection.closed
    look(client, 1)
    assert connection.closed


async def test_a_slow_answer_is_no_silence(client: KafkaClient, connection: Connection) -> None:
    """As long as some of it comes every few seconds."""
    connection.owe(1, HeartbeatRequest)
    for _ in range(10):
        look(client, SILENT_LOOKS - 1)
        connection.receive(b"a little more")
    assert not connection.closed


async def test_one_answer_after_the_other_is_no_silence(client: KafkaClient, connection: Connection) -> None:
    """There is always one that is owed, never the same for long."""
    for number in range(10):
        connection.owe(number, HeartbeatRequest)
        look(client, SILENT_LOOKS - 1)
        connection.owe(number + 1, HeartbeatRequest)
        connection.answer()
        connection.answer()
    assert not connection.closed


async def test_a_join_waits_for_the_other_members(client: KafkaClient, connection: Connection) -> None:
    """A minute, if they take it; so does everything that was asked behind it."""
    connection.owe(1, JoinGroupRequest)
    connection.owe(2, HeartbeatRequest)
    look(client, 60)
    assert not connection.closed


async def test_an_idle_connection_owes_nothing(client: KafkaClient, connection: Connection) -> None:
    """Silence is a state of questions."""
    look(client, 60)
    assert not connection.closed

"""Asking a broker for topics, synchronously, from anywhere: also from inside a running event loop.

Called by `kafka.py`. Each call has a client and, in a thread of its own, an event loop of its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, for_code

REQUEST_MS = 10_000
READY_SECONDS = 30.0
_POLL_SECONDS = 0.02

T = TypeVar("T")


def create(bootstrap: str, name: str, partitions: int, settings: Mapping[str, str]) -> None:
    """Create a topic and wait until each partition has a leader. Raises `KafkaError` or `TimeoutError`."""
    topic = NewTopic(name, partitions, 1, topic_configs=dict(settings))

    async def ask(admin: AIOKafkaAdminClient) -> None:
        response = await admin.create_topics([topic])
        _raise_error((code, message) for _, code, message in response.topic_errors)
        await _until(lambda: _has_leaders(admin, name, partitions))

    _run(bootstrap, ask)


def delete(bootstrap: str, name: str) -> None:
    """Delete a topic and wait until it is gone. Raises `KafkaError` or `TimeoutError`."""

    async def ask(admin: AIOKafkaAdminClient) -> None:
        response = await admin.delete_topics([name])
        _raise_error((code, name) for _, code in response.topic_error_codes)
        await _until(lambda: _is_gone(admin, name))

    _run(bootstrap, ask)


def add_partitions(bootstrap: str, name: str, total: int) -> None:
    """Raise the number of partitions to `total`, wait for leaders. Raises `KafkaError` or `TimeoutError`."""

    async def ask(admin: AIOKafkaAdminClient) -> None:
        response = await admin.create_partitions({name: NewPartitions(total)})
        _raise_error((code, message) for _, code, message in response.topic_errors)
        await _until(lambda: _has_leaders(admin, name, total))

    _run(bootstrap, ask)


def broker_answers(bootstrap: str) -> bool:
    """Whether a broker tells of itself as a member of its cluster."""

    async def ask(admin: AIOKafkaAdminClient) -> bool:
        return bool((await admin.describe_cluster())["brokers"])

    # aiokafka logs warnings about every refused connection: knock first.
    if not any(_is_open(address) for address in bootstrap.split(",")):
        return False
    try:
        return _run(bootstrap, ask, request_ms=2_000)
    except (KafkaError, OSError, TimeoutError):
        return False


def _run(
    bootstrap: str, ask: Callable[[AIOKafkaAdminClient], Awaitable[T]], request_ms: int = REQUEST_MS
) -> T:
    async def with_admin() -> T:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=request_ms)
        try:
            await admin.start()
            return await ask(admin)
        finally:
            await admin.close()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, with_admin()).result()


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while not await holds():  # noqa: ASYNC110 -- a broker tells nobody when it is done
            await asyncio.sleep(_POLL_SECONDS)


async def _has_leaders(admin: AIOKafkaAdminClient, name: str, partitions: int) -> bool:
    (topic,) = await admin.describe_topics([name])
    led = [partition for partition in topic["partitions"] if partition["leader"] >= 0]
    return topic["error_code"] == 0 and len(led) == partitions


async def _is_gone(admin: AIOKafkaAdminClient, name: str) -> bool:
    return name not in await admin.list_topics()


def _raise_error(answers: Iterable[tuple[int, str | None]]) -> None:
    for code, message in answers:
        if code:
            raise for_code(code)(message)


def _is_open(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with closing(socket.create_connection((host, int(port)), timeout=2)):
            return True
    except (OSError, ValueError):
        return False

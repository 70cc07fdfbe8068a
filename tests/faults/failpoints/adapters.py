"""Failpoints in the real adapters: a step before and after what each of them asks its server.

`install` wraps methods of the service's adapters and of their clients while the process starts. The wrapped
code is the service's. Called by `launcher`; who is coming is in `whereabouts`, what a fault does in `strike`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer

from service import app
from service.core.types import Batch, Event, Partition, Record
from service.database import Transaction
from service.dialects.dialect import Answer, Statement
from service.dialects.mysql_text import RowsStatement
from service.sources import kafka
from service.sources.kafka import KafkaSource
from service.sources.kafka_admin import KafkaAdmin
from service.stores import redis_client
from service.stores.redis_client import Command
from tests.faults.failpoints.armed import OPERATION, RECORDS, Armed
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.nerves import KafkaNerve, Nerve, RedisNerve, SqlNerve
from tests.faults.failpoints.plan import STUBBORN
from tests.faults.failpoints.replaced import replaced
from tests.faults.failpoints.statements import name_of
from tests.faults.failpoints.strike import strike, strike_at_once

Result = TypeVar("Result")


def install(armed: Armed) -> None:
    """Let every lane of this process come to the steps of `armed`."""
    _in_transaction(armed)
    _in_source(armed)
    _in_admin(armed)
    _in_cache(armed)
    _in_decoder(armed)


async def _meet(armed: Armed, action: str, nerve: Nerve, request: Callable[[], Awaitable[Result]]) -> Result:
    """Make a request with a step right before and one right after it."""
    if (failpoint := armed.come_to(f"before {action}")) is not None:
        await strike(failpoint.kind, nerve)
        return await request()
    if (failpoint := armed.come_to(f"after {action}")) is None:
        return await request()
    if failpoint.kind.instead:
        await strike(failpoint.kind, nerve)
        return await request()
    result = await request()
    await strike(failpoint.kind, nerve)
    return result


def _in_transaction(armed: Armed) -> None:
    async def meet(self: Transaction, what: str, request: Callable[[], Awaitable[Result]]) -> Result:
        return await _meet(armed, f"{OPERATION.get()}: {what}", SqlNerve(self), request)

    async def execute_one(self: Transaction, statement: Any, parameters: Any = None) -> Any:
        return await meet(self, name_of(statement), lambda: execute(self, statement, parameters))

    async def run_one_by_one(self: Transaction, *statements: Statement) -> list[Answer]:
        """Come to the steps between statements that the service sends together."""
        answers: list[Answer] = []
        for statement in statements:
            answers += await run_one(self, statement)
        return answers

    async def run_one(self: Transaction, statement: Statement) -> list[Answer]:
        name = name_of(statement.sql)
        if OPERATION.get() == "batch" and name == "insert customers" and _is_stubborn(statement):
            await SqlNerve(self).refuse(Kind.LOCK_TIMEOUT)
        return await meet(self, name, lambda: run(self, statement))

    async def commit_all(self: Transaction) -> None:
        await meet(self, "commit", lambda: commit(self))

    execute = replaced(Transaction, "execute", execute_one)
    run = replaced(Transaction, "run", run_one_by_one)
    commit = replaced(Transaction, "commit", commit_all)


def _is_stubborn(statement: Statement) -> bool:
    return isinstance(statement, RowsStatement) and any(STUBBORN in str(row) for row in statement.rows)


def _in_source(armed: Armed) -> None:
    nerve = KafkaNerve()

    async def take_batch(*what: Any) -> Batch:
        if (failpoint := armed.come_to("before fetch")) is not None:
            await strike(failpoint.kind, nerve)
        batch: Batch = await take(*what)
        if batch.records:
            RECORDS.set(len(batch.records))
            if (failpoint := armed.come_to("after fetch")) is not None:
                await strike(failpoint.kind, nerve)
        return batch

    def seek_to(self: KafkaSource, partition: Partition, offset: int) -> None:
        seek(self, partition, offset)
        if (failpoint := armed.come_to("after seek")) is not None:
            strike_at_once(failpoint.kind)

    async def commit_offset(self: AIOKafkaConsumer, *what: Any) -> None:
        await _meet(armed, "offset: commit", nerve, lambda: commit(self, *what))

    take = replaced(kafka, "take", take_batch)
    seek = replaced(KafkaSource, "seek", seek_to)
    commit = replaced(AIOKafkaConsumer, "commit", commit_offset)


def _in_admin(armed: Armed) -> None:
    async def ask_once(self: KafkaAdmin, what: str, question: Callable[[Any], Awaitable[Result]]) -> Any:
        return await ask(
            self, what, lambda client: _meet(armed, what, KafkaNerve(), lambda: question(client))
        )

    ask = replaced(KafkaAdmin, "_ask", ask_once)


def _in_cache(armed: Armed) -> None:
    async def exchange_one(pool: Any, commands: Sequence[Command], *how: Any) -> list[object]:
        *_, deadline_seconds = how
        async with asyncio.timeout(deadline_seconds):
            return await _meet(
                armed, _cache_action(commands), RedisNerve(), lambda: exchange(pool, commands, *how)
            )

    exchange = replaced(redis_client, "_exchange", exchange_one)


def _cache_action(commands: Sequence[Command]) -> str:
    if commands[0][0] == b"MGET":
        return "cache: seen"
    return "cache: remember" if any(b"EX" in command for command in commands) else ""


def _in_decoder(armed: Armed) -> None:
    def decoder_of(*what: Any) -> Callable[[Record], Event]:
        decode: Callable[[Record], Event] = decoder(*what)

        def decode_one(record: Record) -> Event:
            if (failpoint := armed.come_to("before decode")) is not None:
                strike_at_once(failpoint.kind)
            return decode(record)

        return decode_one

    decoder = replaced(app, "decoder", decoder_of)

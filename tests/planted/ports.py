"""The real sink, database and in-memory source with steps at which a scenario can interfere.

They add nothing but the steps: the code under test is the service's. The steps of `StagedSink` are `before
claim` (of a partition), `before apply`, `after apply` and `after failed apply` (of work); those of
`StagedDatabase` `after <verb> <table>`, inside a transaction, and `after transaction` (of the names of its
statements), when it is committed.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import CursorResult, Select, text
from sqlalchemy.sql import Executable

from service.core.ports import Sink
from service.core.types import Lease, Partition, StoredPosition, Work, Written
from service.database import Database, Transaction
from service.dialects.dialect import Answer, Statement
from service.testing.source import InMemoryKafka, InMemorySource
from tests.planted.steps import Steps


class StagedSink:
    """A member's view of the sink that all members share."""

    def __init__(self, sink: Sink, steps: Steps) -> None:
        self._sink = sink
        self._steps = steps

    async def position(self, partition: Partition) -> StoredPosition | None:
        return await self._sink.position(partition)

    async def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        await self._steps.reach("before claim", partition)
        return await self._sink.claim(partition, seen, claimed)

    async def apply(self, work: Work, lease: Lease) -> Written:
        await self._steps.reach("before apply", work)
        try:
            written = await self._sink.apply(work, lease)
        except Exception:
            await self._steps.reach("after failed apply", work)
            raise
        await self._steps.reach("after apply", work)
        return written

    async def ping(self) -> None:
        await self._sink.ping()

    async def check_writable(self, entity: str) -> None:
        await self._sink.check_writable(entity)


class StagedDatabase(Database):
    """A database whose transactions have steps. `refuse_to_wait`: a locked row is 1205 at once."""

    def __init__(self, url: str, pool_size: int) -> None:
        super().__init__(url, pool_size)
        self.steps = Steps()
        self.refuse_to_wait = False

    @asynccontextmanager
    async def transaction(self, seconds: float | None = None) -> AsyncIterator[Transaction]:
        async with super().transaction(seconds) as transaction:
            if self.refuse_to_wait:
                await transaction.execute(text("SET SESSION innodb_lock_wait_timeout = 0"))
            staged = _StagedTransaction(transaction, self.steps)
            yield staged
        await self.steps.reach("after transaction", staged.names)


class _StagedTransaction(Transaction):
    def __init__(self, transaction: Transaction, steps: Steps) -> None:
        self.names: list[str] = []
        self._transaction = transaction
        self._answers = transaction._answers
        self._steps = steps

    async def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        result = await self._transaction.execute(statement, parameters)
        await self._reach(_name(statement))
        return result

    async def run(self, *statements: Statement) -> list[Answer]:
        """One by one, so that something may happen between two that are sent together."""
        answers: list[Answer] = []
        for statement in statements:
            answers += await self._transaction.run(statement)
            await self._reach(_name(statement.sql))
        return answers

    async def _reach(self, name: str) -> None:
        self.names.append(name)
        await self._steps.reach(f"after {name}")


# The verb of a text, and the table that comes first in it.
_VERB_AND_TABLE = re.compile(r"(\w+)(?: .*?(?:INTO|FROM) `(\w+)`)?")


def _name(statement: Executable | str) -> str:
    """Verb and table, such as `select customers`."""
    if isinstance(statement, str):
        found = _VERB_AND_TABLE.match(statement)
        return " ".join(word.lower() for word in found.groups() if word) if found else statement
    if isinstance(statement, Select):
        return f"select {statement.get_final_froms()[0]}"
    return f"{statement.__visit_name__} {getattr(statement, 'table', '')}".rstrip()


class WatchedSource(InMemorySource):
    """A member of the group whose commits are shown to `on_commit` once they are accepted."""

    def __init__(self, kafka: InMemoryKafka, on_commit: Callable[[Partition, int], None]) -> None:
        super().__init__(kafka)
        self._on_commit = on_commit

    async def commit(self, partition: Partition, offset: int) -> None:
        await super().commit(partition, offset)
        self._on_commit(partition, offset)

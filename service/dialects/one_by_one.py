"""Statements run one after the other through SQLAlchemy: where sending them together gains nothing.

`postgresql` and `sqlite` inherit from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from sqlalchemy import CursorResult
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.core.errors import ConnectionLost, UpsertdError
from service.dialects.dialect import Answer, Pulse, Statement


class OneByOne(ABC):
    """`Dialect.run` for whoever can `translate`."""

    @abstractmethod
    def translate(self, error: DBAPIError) -> UpsertdError:
        """See `Dialect`."""

    async def run(
        self, connection: AsyncConnection, statements: Sequence[Statement], pulse: Pulse
    ) -> list[Answer]:
        """See `Dialect`; what comes after a failure is not sent, and has its answer."""
        answers: list[Answer] = []
        for statement in statements:
            answer = answers[-1] if answers and answers[-1].error else None
            answers.append(answer or await self._answer(connection, statement, pulse))
        return answers

    async def _answer(self, connection: AsyncConnection, statement: Statement, pulse: Pulse) -> Answer:
        pulse.sent()
        try:
            result = await _execute(connection, statement)
        except DBAPIError as error:
            meaning = self.translate(error)
            if isinstance(meaning, ConnectionLost):
                raise
            error.statement = error.params = None
            meaning.__cause__ = error
            return Answer(error=meaning)
        pulse.heard()
        rows = result.all() if result.returns_rows else ()
        return Answer(rows, result.rowcount)


async def _execute(connection: AsyncConnection, statement: Statement) -> CursorResult[object]:
    if isinstance(statement.sql, str):
        return await connection.exec_driver_sql(statement.sql)
    return await connection.execute(statement.sql, statement.parameters)

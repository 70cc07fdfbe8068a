"""What a fault looks like to each client: the database's, Kafka's and Redis's.

Errors come in the form in which the driver brings them, so that the adapter's translation is part of what is
tested; a connection to the database that is to be cut is cut. Called by `strike`.
"""

from __future__ import annotations

from typing import Protocol

from aiokafka.errors import KafkaConnectionError
from pymysql.err import OperationalError as DriverError
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

from service.database import Transaction
from tests.faults.failpoints.kinds import Kind

_CODES = {Kind.DEADLOCK: 1213, Kind.LOCK_TIMEOUT: 1205}
_LOST = 2013


class Nerve(Protocol):
    """What a fault needs of the client that it strikes."""

    async def refuse(self, kind: Kind) -> None:
        """Let a request fail that was not made yet: raise what the client would, or cut what it will use."""

    async def lose_answer(self) -> None:
        """Raise what the client raises when the connection is gone that the answer was to come by."""


class SqlNerve:
    """An open transaction."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def refuse(self, kind: Kind) -> None:
        if kind is Kind.REFUSED:
            await self._cut()  # the request will notice, in the driver's own way
            return
        if kind is Kind.DEADLOCK:
            await self._transaction._connection.exec_driver_sql("ROLLBACK")
        self._fail(_CODES[kind])

    async def lose_answer(self) -> None:
        await self._cut()
        self._fail(_LOST)

    async def _cut(self) -> None:
        connection = await self._transaction._connection.get_raw_connection()
        driver = connection.driver_connection
        assert driver is not None
        driver._writer.transport.abort()

    def _fail(self, code: int) -> None:
        with self._transaction._translated():
            raise OperationalError("", None, DriverError(code, "a failpoint"))


class KafkaNerve:
    """A conversation with a broker."""

    async def refuse(self, kind: Kind) -> None:
        raise KafkaConnectionError

    async def lose_answer(self) -> None:
        raise KafkaConnectionError


class RedisNerve:
    """A round trip to Redis."""

    async def refuse(self, kind: Kind) -> None:
        raise RedisConnectionError

    async def lose_answer(self) -> None:
        raise RedisConnectionError

"""aiomysql's connection, which besides sends several commands at once and MariaDB's rows in bulk.

Opened by `mysql` for SQLAlchemy's pool; `mysql_run` sends through it. MariaDB takes COM_STMT_BULK_EXECUTE
(https://mariadb.com/kb/en/com_stmt_bulk_execute/) from a client that has asked for it in the handshake: both
sides say so in bytes that MySQL leaves empty, and a server that has something there leaves CLIENT_MYSQL away.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import aiomysql
from pymysql.constants import COMMAND
from pymysql.err import MySQLError
from pymysql.protocol import MysqlPacket

from service.dialects.mysql_result import QuickResult

# Both of the client's and of the server's capabilities.
_CLIENT_MYSQL = 1
# The third of the bits that MariaDB added.
_BULK_OPERATIONS = 1 << 2

_BULK_EXECUTE = 0xFA
# The statement that was prepared last: nobody waits for its number.
_LAST_PREPARED = struct.pack("<I", 0xFFFFFFFF)
_SEND_TYPES = struct.pack("<H", 128)

# Of the greeting, behind the version and its NUL: thread id, salt, filler, capabilities, language, status,
# more capabilities, length of the salt, six reserved bytes.
_BEFORE_ADDED_BITS = 4 + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 6


class Query(NamedTuple):
    """A statement that is complete."""

    text: bytes


class Bulk(NamedTuple):
    """A statement with a `?` for each value of a row, the type of each, and the rows as they are sent."""

    text: bytes
    types: bytes
    rows: bytes


class Heard(NamedTuple):
    """The answer to a statement: the rows that were read, or the number of those that were found."""

    rows: Sequence[Sequence[Any]]
    found: int


class MySqlConnection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql is untyped
    """A connection as SQLAlchemy expects it. Once it is connected, `takes_bulk` says what the server does."""

    takes_bulk = False
    _logging_in = False

    async def exchange(
        self, commands: Sequence[Query | Bulk], heard: Callable[[], None]
    ) -> list[Heard | MySQLError]:
        """Send all commands, then read all answers, calling `heard` after each.

        The server works on one while the next is on its way, and goes on after one that has failed. Raises
        `MySQLError` or `OSError` when the connection breaks.
        """
        numbers = [await self._send(command) for command in commands]
        answers = []
        for command, number in zip(commands, numbers, strict=True):
            answers.append(await self._hear(command, number))
            heard()
        return answers

    async def _send(self, command: Query | Bulk) -> int:
        """Send without waiting; returns the number of the answer's first packet."""
        if isinstance(command, Query):
            await self._execute_command(COMMAND.COM_QUERY, command.text)
            return int(self._next_seq_id)
        await self._execute_command(COMMAND.COM_STMT_PREPARE, command.text)
        await self._execute_command(
            _BULK_EXECUTE, b"".join((_LAST_PREPARED, _SEND_TYPES, command.types, command.rows))
        )
        number = int(self._next_seq_id)
        await self._execute_command(COMMAND.COM_STMT_CLOSE, _LAST_PREPARED)  # has no answer
        return number

    async def _hear(self, command: Query | Bulk, number: int) -> Heard | MySQLError:
        """The answer to a statement, or what went wrong with it."""
        refusal = await self._hear_prepared() if isinstance(command, Bulk) else None
        self._next_seq_id = number
        result = QuickResult(self)
        try:
            await result.read()
        except MySQLError as error:
            if self.closed:
                raise
            return refusal or error
        return Heard(result.rows or (), result.affected_rows)

    async def _hear_prepared(self) -> MySQLError | None:
        """Read past what the server says of a prepared statement; returns its refusal."""
        self._next_seq_id = 1
        try:
            packet = await self._read_packet()
        except MySQLError as error:
            if self.closed:
                raise
            return error
        _ok, _number, columns, parameters = struct.unpack_from("<BIHH", packet.get_all_data())
        for definitions in (parameters, columns):
            for _ in range(definitions + 1 if definitions else 0):  # and a packet that ends them
                await self._read_packet()
        return None

    # ---------------------------------------------------------------- the handshake

    async def _get_server_information(self) -> None:
        greeting = b""

        async def read() -> MysqlPacket:
            nonlocal greeting
            packet = await super(MySqlConnection, self)._read_packet()
            greeting = packet.get_all_data()
            return packet

        self._read_packet = read
        try:
            await super()._get_server_information()
        finally:
            del self._read_packet
        self.takes_bulk = _offers_bulk(greeting, self.server_capabilities)

    async def _request_authentication(self) -> None:
        self._logging_in = True
        try:
            await super()._request_authentication()
        finally:
            self._logging_in = False

    def write_packet(self, payload: bytes) -> None:
        """See aiomysql; asks for bulk operations where the client says what it can."""
        if self._logging_in and self.takes_bulk and payload.startswith(struct.pack("<i", self.client_flag)):
            payload = _asking_for_bulk(payload, self.client_flag)
        super().write_packet(payload)


def _offers_bulk(greeting: bytes, capabilities: int) -> bool:
    at = greeting.find(b"\0", 1) + 1 + _BEFORE_ADDED_BITS
    if capabilities & _CLIENT_MYSQL or len(greeting) < at + 4:
        return False
    (added,) = struct.unpack_from("<I", greeting, at)
    return bool(added & _BULK_OPERATIONS)


def _asking_for_bulk(payload: bytes, capabilities: int) -> bytes:
    """The client's part of the handshake: its capabilities, nine and nineteen other bytes, MariaDB's bits."""
    head = struct.pack("<i", capabilities & ~_CLIENT_MYSQL) + payload[4:28]
    return head + struct.pack("<I", _BULK_OPERATIONS) + payload[32:]

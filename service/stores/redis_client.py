"""The one place that opens Redis connections, and one deadline around a whole round trip.

`processed_cache` makes its round trips here; whoever needs a redis-py client builds it on such a pool
(`Redis.from_pool(connection_pool(url, …))`). What a failure means is left to the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import hiredis
from redis.asyncio import BlockingConnectionPool, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.core.errors import Unavailable, UpsertdError
from service.stores.fair_timeout import fair_timeout

Command = tuple[bytes, ...]

_PACK: Callable[[Command], bytes] = hiredis.pack_command  # type: ignore[assignment]  # its stub says a tuple of one

_SILENCE, _SPEAK = (b"CLIENT", b"REPLY", b"OFF"), (b"CLIENT", b"REPLY", b"ON")
# No other command is answered so: were one answer too many, another one would stand in its place.
_LAST_WORD = b"that was all"


class CommandRefused(UpsertdError):
    """Redis answered the command with an error: full, read-only, not permitted."""


def connection_pool(
    url: str, *, max_connections: int, timeout_seconds: float | None = None
) -> BlockingConnectionPool:
    """Build a pool that connects when it is first used and makes callers wait for a free connection.

    `url` is `redis://`, `rediss://` (TLS) or `unix://`, with user, password, database number and, in its
    query, any option of redis-py's connections, which then wins over what is set here. `timeout_seconds`
    bounds each wait for a connection, connect, write and read alone; None leaves all of it to the caller's
    own deadline, which is also what a client of blocking commands needs. Raises ValueError for a URL that
    cannot be used.
    """
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            # A retry costs more than the miss that it would save (redis-py's default: 10 of them, 3 s).
            retry=Retry(NoBackoff(), 0),
            # RESP 2 and no CLIENT SETINFO: a new connection is ready without another round trip.
            protocol=2,
            driver_info=None,
        )
        # Options in the URL are looked at only when a connection is made: make one, unconnected.
        pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
    except (TypeError, ValueError, RedisError):
        # The text of the cause may hold a piece of the password.
        raise ValueError("not a Redis URL, or one with an option that is unknown or wrong") from None
    return pool


async def round_trip(pool: BlockingConnectionPool, command: Command, deadline_seconds: float) -> object:
    """Send one command and return its reply, all within `deadline_seconds`, see `fair_timeout`.

    The deadline covers the wait for a connection, connecting, authenticating, sending and reading, which
    would add up otherwise. Raises `CommandRefused` when Redis answers with an error, `Unavailable` when
    there is no answer to be had.
    """
    (reply,) = await _replies(pool, [command], 1, deadline_seconds)
    return reply


async def send_all(
    pool: BlockingConnectionPool, commands: Sequence[Command], deadline_seconds: float
) -> None:
    """Send commands in one round trip, of which only the last is answered; raises as `round_trip` does.

    For many that Redis takes or refuses alike, such as entries: so they cost the server half of what they
    cost in a script, and a quarter less than with an answer to each.
    """
    *silent, last = commands
    series = [_SILENCE, *silent, _SPEAK, last, (b"ECHO", _LAST_WORD)]
    await _replies(pool, series, 3, deadline_seconds)


async def close_pool(pool: BlockingConnectionPool, deadline_seconds: float) -> None:
    """Close every connection, waiting at most `deadline_seconds` for the other side; never raises."""
    with contextlib.suppress(RedisError, OSError):
        async with asyncio.timeout(deadline_seconds):
            await pool.aclose()


async def _replies(
    pool: BlockingConnectionPool, commands: Sequence[Command], expected: int, deadline_seconds: float
) -> list[object]:
    try:
        replies = await _exchange(pool, commands, expected, deadline_seconds)
    except ResponseError as error:
        raise CommandRefused(_reason(error)) from error
    except Exception as error:
        # Besides its own errors redis-py lets through what its parser raises on a peer that is no Redis
        # (TypeError was seen), and a cache must not stop a lane.
        raise Unavailable(_reason(error), part="redis") from error
    for reply in replies:
        if isinstance(reply, ResponseError):
            raise CommandRefused(_reason(reply)) from reply
    return replies


async def _exchange(
    pool: BlockingConnectionPool, commands: Sequence[Command], expected: int, deadline_seconds: float
) -> list[object]:
    """Send commands and return so many replies, errors among them; the connection is clean or closed then."""
    connection: Connection | None = None
    try:
        async with fair_timeout(deadline_seconds):
            connection = await _checkout(pool)
            # hiredis packs in C: redis-py's own packer was a quarter of the client's time.
            await connection.send_packed_command(b"".join(map(_PACK, commands)))
            replies = [await _reply(connection) for _ in range(expected)]
        if len(commands) > 1:
            _require_last_word(replies)
    except BaseException:
        # The answer may still arrive; on a reused connection it would be taken for that of the next command
        # and lose an event. redis-py closes it as well, but too much hangs on it to rely on that.
        if connection is not None:
            await connection.disconnect(nowait=True)
        raise
    else:
        return replies
    finally:
        # Outside the deadline, which would lose the connection's place in the pool.
        if connection is not None:
            await pool.release(connection)


async def _reply(connection: Connection) -> object:
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error  # a whole answer: the connection is clean


def _require_last_word(replies: Sequence[object]) -> None:
    """Raise unless the series has ended where it should: a peer that will not be silent says more."""
    if replies[-1] != _LAST_WORD:
        refusals = (reply for reply in replies if isinstance(reply, ResponseError))
        raise next(refusals, RedisError("more answers than were asked for"))


async def _checkout(pool: BlockingConnectionPool) -> Connection:
    try:
        connection: Connection = await pool.get_connection()  # type: ignore[no-untyped-call]  # ditto
    except ResponseError as error:  # to AUTH or SELECT: no connection, not a refused command
        raise RedisError(*error.args, status_code=error.status_code) from error
    return connection


def _reason(error: Exception) -> str:
    """Name the error without its text, which may quote what was sent."""
    code = getattr(error, "status_code", None)
    return f"redis: {type(error).__name__}" + (f" ({code})" if code else "")

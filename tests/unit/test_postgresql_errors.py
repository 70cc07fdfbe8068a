"""What PostgreSQL's codes become, and what is told of them: never a value."""

from __future__ import annotations

import asyncpg
import pytest
from asyncpg.exceptions import InvalidCachedStatementError
from sqlalchemy.exc import DBAPIError

from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable
from service.dialects.postgresql_errors import describe, translate
from service.sql_errors import DuplicateKey, NoSuchTable

SECRET = "s3cret"


def server_error(code: str, **fields: str) -> DBAPIError:
    """What SQLAlchemy raises for an answer of the server with a message full of values."""
    codes = {"C": code, "M": SECRET, "D": SECRET, **fields}
    return wrapped(asyncpg.PostgresError.new(codes, query=SECRET))


def wrapped(answer: Exception) -> DBAPIError:
    """As SQLAlchemy wraps it: the driver's exception is the cause of one of its own."""
    emulated = Exception(SECRET)
    emulated.__cause__ = answer
    return DBAPIError("INSERT", None, emulated)


@pytest.mark.parametrize(
    "code",
    ["22000", "22001", "22003", "22007", "22008", "22021", "22P02", "23502", "23503", "23514"],
)
def test_the_closed_list_is_permanent(code: str) -> None:
    """Nothing else ever makes a dead letter."""
    error = translate(server_error(code))
    assert isinstance(error, PermanentError)
    assert error.error_class


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03"])
def test_a_few_are_temporary(code: str) -> None:
    """The same transaction again."""
    assert type(translate(server_error(code))) is TemporaryError


@pytest.mark.parametrize(
    "code",
    ["08000", "08003", "08006", "08007", "08P01", "25P03", "25P04", "40003", "57P01", "57P02", "57P05"],
)
def test_lost_connections_leave_the_outcome_open(code: str) -> None:
    """Before or after COMMIT, nobody knows."""
    assert type(translate(server_error(code))) is ConnectionLost


@pytest.mark.parametrize("code", ["23505", "23P01"])
def test_a_key_that_is_there_is_a_rival(code: str) -> None:
    """The batch is run again and sees it."""
    assert type(translate(server_error(code))) is DuplicateKey


@pytest.mark.parametrize(
    "code",
    # Feature, read-only, aborted, login, name of the database, right, column, table, disk, connections,
    # a class of its own, canceled by a time limit, internal, unheard of.
    [
        *("0A000", "25006", "25P02", "28P01", "3D000", "42501", "42703", "42P01", "53100", "53300"),
        *("54000", "57014", "XX000", "ZZ999", "22P05", "22P03"),
    ],
)
def test_everything_else_is_waited_for(code: str) -> None:
    """However often it comes; the code is told."""
    error = translate(server_error(code))
    assert type(error) in (Unavailable, NoSuchTable)
    assert isinstance(error, Unavailable)
    assert error.code == code


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(asyncpg.InterfaceError(SECRET), id="interface"),
        pytest.param(asyncpg.InternalClientError(SECRET), id="client"),
        pytest.param(asyncpg.ConnectionDoesNotExistError(SECRET), id="closed-in-the-middle"),
    ],
)
def test_what_the_driver_says_itself_is_a_lost_connection(answer: Exception) -> None:
    """Whatever it was in the middle of; the next run tells."""
    error = translate(wrapped(answer))
    assert type(error) is ConnectionLost
    assert SECRET not in str(error)


def test_a_stale_statement_is_waited_for() -> None:
    """SQLAlchemy forgets this one's code, and the statement: the next run prepares it anew."""
    error = translate(wrapped(InvalidCachedStatementError(SECRET)))
    assert type(error) is Unavailable
    assert error.code == "0A000"


@pytest.mark.parametrize(
    ("code", "fields", "told"),
    [
        pytest.param("23502", {"t": "customers", "c": "status"}, "SQL error 23502 (status)", id="column"),
        pytest.param("23514", {"t": "customers", "n": "ck_x"}, "SQL error 23514 (ck_x)", id="constraint"),
        pytest.param("22001", {}, "SQL error 22001", id="no-place"),
    ],
)
def test_the_place_is_named_and_values_are_not(code: str, fields: dict[str, str], told: str) -> None:
    """By the server's own fields (I9)."""
    assert describe(server_error(code, **fields)) == told

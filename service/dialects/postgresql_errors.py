"""What the codes of PostgreSQL mean, and where its answers name the place.

A code is a SQLSTATE. After any of them the transaction is aborted: nobody goes on in it.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from service.core.errors import UpsertdError
from service.sql_errors import Codes

CODES = Codes(
    # What the closed list of semantics.md is called here: nothing else ever makes a dead letter.
    permanent={
        "22000": "IncorrectValue",  # the driver's own: a value that it cannot encode as the column's type
        "22001": "DataTooLong",
        "22003": "OutOfRange",
        "22007": "IncorrectValue",
        "22008": "OutOfRange",  # a moment beyond what a timestamp holds
        "22021": "IncorrectValue",  # NUL in a text
        "22P02": "IncorrectValue",  # also no JSON, in a column that somebody made one
        "23502": "ColumnCannotBeNull",
        "23503": "NoReferencedRow",
        "23514": "CheckViolated",
    },
    # Serialization failure, deadlock, lock timeout.
    temporary={"40001": "SerializationFailure", "40P01": "Deadlock", "55P03": "LockTimeout"},
    lost=frozenset(
        {
            *("08000", "08001", "08003", "08004", "08006", "08007", "08P01"),
            "25P03",  # stood idle in a transaction for too long
            "25P04",  # its transaction took too long
            "40003",  # nobody knows whether the statement was completed
            *("57P01", "57P02", "57P03", "57P04", "57P05"),  # shut down, crashed, starting, dropped, idle
        }
    ),
    # An exclusion constraint is a unique key in other words.
    duplicate_key=frozenset({"23505", "23P01"}),
    no_such_table=frozenset({"42P01"}),
)


def translate(error: DBAPIError) -> UpsertdError:
    """What a driver's exception means, by the server's code alone."""
    return CODES.meaning(_code(error), describe(error))


def describe(error: DBAPIError) -> str:
    """The code and the place by the server's own fields, never message or detail: they quote values."""
    answer = _answer(error)
    code = _code(error)
    what = type(answer).__name__ if code is None else f"SQL error {code}"
    name = getattr(answer, "constraint_name", None) or getattr(answer, "column_name", None)
    return f"{what} ({name})" if name else what


def _answer(error: DBAPIError) -> BaseException | None:
    """The driver's exception: SQLAlchemy wraps it, and forgets the code of some."""
    return error.orig if error.orig is None else error.orig.__cause__ or error.orig


def _code(error: DBAPIError) -> str | None:
    code = getattr(_answer(error), "sqlstate", None)
    return code if isinstance(code, str) else None

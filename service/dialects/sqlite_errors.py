"""What SQLite's codes mean, and where its messages name the place.

The codes are the extended ones, by name: `SQLITE_CONSTRAINT_CHECK`, `SQLITE_IOERR_WRITE`.
"""

from __future__ import annotations

import re

from sqlalchemy.exc import DBAPIError

from service.core.errors import UpsertdError
from service.sql_errors import Codes

# Has no code of its own: SQLite answers SQLITE_ERROR, as for a missing column or a wrong statement.
NO_SUCH_TABLE = "no such table"

CODES = Codes(
    # SQLite checks neither lengths nor ranges nor types: what a column takes is checked in decoding.
    permanent={
        "SQLITE_CONSTRAINT_CHECK": "CheckViolated",
        "SQLITE_CONSTRAINT_NOTNULL": "ColumnCannotBeNull",
        # A value beyond SQLite's limit, 1 GB unless built otherwise.
        "SQLITE_TOOBIG": "RecordTooLarge",
    },
    temporary=dict.fromkeys(
        (
            "SQLITE_BUSY",
            "SQLITE_BUSY_RECOVERY",
            "SQLITE_BUSY_SNAPSHOT",
            "SQLITE_BUSY_TIMEOUT",
            "SQLITE_LOCKED",
            "SQLITE_LOCKED_SHAREDCACHE",
        ),
        "Locked",
    ),
    # Only a connection that is being closed is interrupted.
    lost=frozenset({"SQLITE_INTERRUPT"}),
    duplicate_key=frozenset(
        {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_ROWID"}
    ),
    no_such_table=frozenset({NO_SUCH_TABLE}),
)

# Names of our own schema; messages that quote values (a wrong statement's) do not fit.
_PLACE = re.compile(
    r"^(?:(?:NOT NULL|UNIQUE|CHECK) constraint failed: (?P<constraint>\w[\w., ]*)"
    r"|(?P<missing>no such (?:table|column)): (?P<name>[\w.]+)"
    r"|table (?P<table>\w+) has no column named (?P<column>\w+))$"
)


def translate(error: DBAPIError) -> UpsertdError:
    """What a driver's exception means, by SQLite's code."""
    return CODES.meaning(_code(error), describe(error))


def is_busy(error: DBAPIError) -> bool:
    """Whether somebody else holds a lock: the same again may well succeed."""
    return _name(error) in CODES.temporary


def describe(error: DBAPIError) -> str:
    """The code and the place, never the message: it may quote values."""
    name = _name(error) or type(error.orig).__name__
    # A trigger says what it likes, in the words of a constraint too.
    place = None if name == "SQLITE_CONSTRAINT_TRIGGER" else _PLACE.match(str(error.orig))
    if place is None:
        return name
    if place["missing"]:
        return f"{name} ({place['missing']}: {place['name']})"
    return f"{name} ({place['constraint'] or place['table'] + '.' + place['column']})"


def _code(error: DBAPIError) -> str | None:
    """SQLite's name of the error, None where the connection was closed under the statement."""
    place = _PLACE.match(str(error.orig))
    return NO_SUCH_TABLE if place and place["missing"] == NO_SUCH_TABLE else _name(error)


def _name(error: DBAPIError) -> str | None:
    name = getattr(error.orig, "sqlite_errorname", None)
    return name if isinstance(name, str) else None

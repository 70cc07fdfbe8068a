"""What the codes of MySQL and MariaDB mean, and where their messages name the place."""

from __future__ import annotations

import re

from sqlalchemy.exc import DBAPIError

from service.core.errors import UpsertdError
from service.sql_errors import Codes

CODES = Codes(
    # The closed list of semantics.md: nothing else ever makes a dead letter.
    permanent={
        1048: "ColumnCannotBeNull",
        1264: "OutOfRange",
        1265: "DataTruncated",
        1292: "IncorrectValue",
        1366: "IncorrectValue",
        1406: "DataTooLong",
        1452: "NoReferencedRow",
        3140: "InvalidJsonText",
        3819: "CheckViolated",
        4025: "CheckViolated",
    },
    temporary=frozenset({1205, 1213, 1020}),
    lost=frozenset({0, 1153, 2006, 2013, 2014, 2055}),
    duplicate_key=frozenset({1062}),
    no_such_table=frozenset({1146}),
)

# What a server's message says about the place; anchored, because values stand in the same message.
_PLACE = re.compile(
    r"(?:for column [`'.\w]*?(\w+)[`'] at row \d+|^Column '(\w+)' cannot be null"
    r"|^CONSTRAINT `([\w.]+)` failed for [`.\w]+|for key '([\w.]+)')$"
)


def translate(error: DBAPIError) -> UpsertdError:
    """What a driver's exception means, by the server's code alone."""
    return CODES.meaning(_code(error), describe(error))


def describe(error: DBAPIError) -> str:
    """The code and the place, never the message: it quotes values."""
    place = _PLACE.search(" ".join(map(str, _arguments(error)[1:2])))
    name = next((group for group in place.groups() if group), None) if place else None
    code = _code(error)
    what = type(error.orig).__name__ if code is None else f"SQL error {code}"
    return f"{what} ({name})" if name else what


def _arguments(error: DBAPIError) -> tuple[object, ...]:
    return tuple(getattr(error.orig, "args", ()))


def _code(error: DBAPIError) -> int | None:
    code = _arguments(error)[:1]
    return code[0] if code and isinstance(code[0], int) else None

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
    temporary={1205: "LockTimeout", 1213: "Deadlock", 1020: "RecordChanged"},
    lost=frozenset({0, 1153, 2006, 2013, 2014, 2055}),
    duplicate_key=frozenset({1062}),
    no_such_table=frozenset({1146}),
)

# What a server's message says about the place, by its code: others quote what they like, a trigger's SIGNAL
# for one. Anchored, because values stand in the same message.
_COLUMN = re.compile(r"for column [`'.\w]*?(\w+)[`'] at row \d+$")
_PLACES = {
    1048: re.compile(r"^Column '(\w+)' cannot be null$"),
    1062: re.compile(r"for key '([\w.]+)'$"),
    4025: re.compile(r"^CONSTRAINT `([\w.]+)` failed for [`.\w]+$"),
    **dict.fromkeys((1264, 1265, 1292, 1366, 1406), _COLUMN),
}


def translate(error: DBAPIError) -> UpsertdError:
    """What a driver's exception means, by the server's code alone."""
    return CODES.meaning(_code(error), describe(error))


def describe(error: DBAPIError) -> str:
    """The code and the place, never the message: it quotes values."""
    code = _code(error)
    if code is None:
        return type(error.orig).__name__
    message = " ".join(map(str, _arguments(error)[1:2]))
    place = _PLACES[code].search(message) if code in _PLACES else None
    return f"SQL error {code} ({place[1]})" if place else f"SQL error {code}"


def _arguments(error: DBAPIError) -> tuple[object, ...]:
    return tuple(getattr(error.orig, "args", ()))


def _code(error: DBAPIError) -> int | None:
    code = _arguments(error)[:1]
    return code[0] if code and isinstance(code[0], int) else None

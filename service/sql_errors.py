"""What a driver's exception means, by the server's code alone, told without any value (I9).

`service.database` translates at its border; nothing else looks at a driver's exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from service.core.errors import ConnectionLost, PermanentError, TemporaryError, Unavailable, UpsertdError

# The closed list of semantics.md: nothing else ever makes a dead letter.
PERMANENT = {
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
}
TEMPORARY = frozenset({1205, 1213, 1020})
LOST = frozenset({0, 1153, 2006, 2013, 2014, 2055})
DUPLICATE_KEY = 1062

# What a server's message says about the place; anchored, because values stand in the same message.
_PLACE = re.compile(
    r"(?:for column [`'.\w]*?(\w+)[`'] at row \d+|^Column '(\w+)' cannot be null"
    r"|^CONSTRAINT `([\w.]+)` failed for [`.\w]+|for key '([\w.]+)')$"
)


class DuplicateKey(UpsertdError):
    """A row with this key is there already: a rival got there first."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors for the driver's."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error) from error
    except OSError as error:
        raise ConnectionLost(type(error).__name__, part="database") from error


def translate(error: DBAPIError) -> UpsertdError:
    """What a driver's exception means, by the server's code alone.

    A code on the closed list is permanent; a few are temporary; everything else is waited for, however
    often it comes: with a column missing, good records would die and bad neighbours pass.
    """
    code = _code(error)
    if code in PERMANENT:
        return PermanentError(describe(error), error_class=PERMANENT[code])
    if code in TEMPORARY:
        return TemporaryError(describe(error))
    if code == DUPLICATE_KEY:
        return DuplicateKey(describe(error))
    if code is None or code in LOST:
        return ConnectionLost(describe(error), part="database")
    return Unavailable(describe(error), part="database", code=code)


def _arguments(error: DBAPIError) -> tuple[object, ...]:
    return tuple(getattr(error.orig, "args", ()))


def _code(error: DBAPIError) -> int | None:
    code = _arguments(error)[:1]
    return code[0] if code and isinstance(code[0], int) else None


def describe(error: DBAPIError) -> str:
    """The code and the place, never the message: it quotes values."""
    place = _PLACE.search(" ".join(map(str, _arguments(error)[1:2])))
    name = next((group for group in place.groups() if group), None) if place else None
    code = _code(error)
    what = type(error.orig).__name__ if code is None else f"SQL error {code}"
    return f"{what} ({name})" if name else what

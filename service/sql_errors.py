"""The kinds of failure that a database's answer can mean, for all dialects.

Each dialect knows its own codes; what follows from a kind is decided here. Nothing ever looks at a
server's message: it quotes values (I9).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from service.core.errors import (
    Code,
    ConnectionLost,
    PermanentError,
    TemporaryError,
    Unavailable,
    UpsertdError,
)


class DuplicateKey(UpsertdError):
    """A row with this key is there already: a rival got there first."""


class NoSuchTable(Unavailable):
    """A table is missing: the schema is behind, or nothing was ever migrated."""


@dataclass(frozen=True, slots=True)
class Codes:
    """What a server's codes mean; `permanent` and `temporary` name the error class of each.

    A code that is nowhere here is waited for, however often it comes: with a column missing, good records
    would die and bad neighbours pass.
    """

    permanent: Mapping[Code, str]
    temporary: Mapping[Code, str]
    lost: Set[Code]
    duplicate_key: Set[Code]
    no_such_table: Set[Code]

    def meaning(self, code: Code | None, description: str) -> UpsertdError:
        """The error of an answer with `code`, None where the connection gave no answer."""
        if code is None or code in self.lost:
            return ConnectionLost(description, part="database")
        if code in self.permanent:
            return PermanentError(description, error_class=self.permanent[code])
        if code in self.temporary:
            return TemporaryError(description, error_class=self.temporary[code])
        if code in self.duplicate_key:
            return DuplicateKey(description)
        kind = NoSuchTable if code in self.no_such_table else Unavailable
        return kind(description, part="database", code=code)

"""The three kinds of failure; adapters translate their client's exceptions into these at their border.

The message of each is safe to log: codes, tables and columns, never values (I9).
"""

from __future__ import annotations

Code = int | str
"""A server's number or name for what went wrong: MySQL counts, PostgreSQL's SQLSTATE is a text."""


class UpsertdError(Exception):
    """A failure that upsertd has a name for."""


class PermanentError(UpsertdError):
    """This record can never be applied: it becomes a dead letter, its neighbours go on.

    `error_class` is what operators filter dead letters by; `stage` is where the record failed:
    `decode`, `check` or `apply`. A decoder that could read the event's ids says them, so that people find
    its letter by them.
    """

    def __init__(self, message: str, *, error_class: str, stage: str = "apply") -> None:
        super().__init__(message)
        self.error_class = error_class
        self.stage = stage
        self.event_id: bytes | None = None
        self.entity_id: int | None = None


class TemporaryError(UpsertdError):
    """The same transaction may well succeed when it is run again: a deadlock, a lock timeout.

    A record that fails like this again and again is parked; `error_class` and `stage` are its letter's.
    """

    stage = "apply"

    def __init__(self, message: str, *, error_class: str = "Temporary") -> None:
        super().__init__(message)
        self.error_class = error_class


class Unavailable(UpsertdError):
    """A dependency does not answer as it should: wait and probe, give up nothing.

    `part` is `database`, `kafka` or `redis`; `code` is the server's, where it gave one.
    """

    def __init__(self, message: str, *, part: str, code: Code | None = None) -> None:
        super().__init__(message)
        self.part = part
        self.code = code


class ConnectionLost(Unavailable):
    """The connection broke in the middle: whether a commit took place is unknown."""


class FenceLost(UpsertdError):
    """The position is not what the lease expects: nothing was written; look at the row."""


class NotOwner(UpsertdError):
    """Kafka says that this member does not own the partition (any more)."""


class OffsetOutOfRange(UpsertdError):
    """The log no longer, or not yet, has the offset that was asked for: claim again."""

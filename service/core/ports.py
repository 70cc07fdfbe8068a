"""What the pipeline needs of the world, as small Protocols.

Each port has one contract suite in `tests/contracts/` that runs over its real adapter and over the
in-memory one of `service.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from service.core.errors import PermanentError, TemporaryError
from service.core.types import (
    Action,
    Batch,
    Event,
    GroupOffset,
    Lease,
    LogRange,
    OpenLetter,
    Outcome,
    Partition,
    Record,
    StoredPosition,
    Work,
    Written,
)


class AssignmentListener(Protocol):
    """Told by a source what this member owns. Must not raise."""

    async def on_assigned(self, partitions: Collection[Partition]) -> None:
        """These partitions are ours to claim; reading starts only after `Source.seek`."""

    async def on_revoked(self, partitions: Collection[Partition]) -> None:
        """These partitions are about to leave: finish what is in flight; commits are still accepted."""


class Source(Protocol):
    """Records of partitions that a group's members share. Every call raises `Unavailable` with a deadline."""

    async def start(self, listener: AssignmentListener) -> None:
        """Join the group. Assigned partitions stay silent until `seek`."""

    async def stop(self) -> str | None:
        """Leave the group and close every connection; never raises, but says what could not be done."""

    async def fetch(self, partition: Partition, max_records: int, wait_seconds: float) -> Batch:
        """Take the next records, at most `max_records`; without any after `wait_seconds`, an empty batch.

        The batch's `end` is where the next fetch begins. Cancelling loses nothing.
        Raises `OffsetOutOfRange`, `Unavailable`; `NotOwner` when the partition is not ours any more.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Read on from `offset`, dropping what was prefetched. No effect on a partition that has left."""

    async def commit(self, partition: Partition, offset: int) -> None:
        """Commit the group's offset with our metadata. Raises `NotOwner` or `Unavailable`."""

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        """The group's offset as Kafka has it now, None when there is none."""

    async def log_range(self, partition: Partition) -> LogRange:
        """The first offset that can be read and the end of what readers of committed records see."""

    async def cluster_id(self) -> str:
        """The id of the cluster that the records come from."""


class Sink(Protocol):
    """The database's side of the promise."""

    async def position(self, partition: Partition) -> StoredPosition | None:
        """The position's row as committed now."""

    async def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        """Write `claimed` if the row is still what was `seen` (None: no row); False when it is not."""

    async def apply(self, work: Work, lease: Lease) -> Written:
        """Run one transaction: fence, check, decide, upsert, mark, dead letters, commit.

        Work without events and letters moves the position alone. When this raises, nothing is known to be
        written: `FenceLost` (nothing was), `PermanentError` and `TemporaryError` (rolled back),
        `ConnectionLost` (unknown: only another run through the fence tells), `Unavailable` (rolled back).
        """

    async def ping(self) -> None:
        """Raise `Unavailable` unless the database answers."""

    async def check_writable(self, entity: str) -> None:
        """Raise `Unavailable` when a table of `entity` is locked as a whole: no record's fault."""


class Letters(Protocol):
    """Dead letters that are tried again. Every call raises `Unavailable`."""

    async def due(self, topics: Collection[str], limit: int) -> Sequence[OpenLetter]:
        """At most `limit` parked letters of `topics` that are due, the longest waiting first."""

    async def retry(self, letter: OpenLetter, event: Event, action: Action | None = None) -> Outcome:
        """Run the transaction of `event` again, as a batch of its own, and close its letter in it.

        Applied, the letter is `replayed`; stale, or known by a copy, it is `superseded`; with an id that
        stands for another record it is dead. Nothing is fenced by a position: marks and versions make a
        late event harmless, and the letter itself is held. Raises `FenceLost` when it is not open any more,
        or in somebody else's hands (nothing was written then), and otherwise what `Sink.apply` raises.
        """

    async def failed(
        self,
        letter: OpenLetter,
        error: PermanentError | TemporaryError,
        retry_in_seconds: float | None,
        action: Action | None = None,
    ) -> None:
        """Count one more failure: parked again, or dead. No effect on a letter that has changed."""


class ProcessedCache(Protocol):
    """A hint of which events SQL has marked. Never raises: a cache that is away knows nothing."""

    async def seen(self, events: Sequence[Event], lease: Lease) -> frozenset[bytes]:
        """The ids of `events` that count as a hit under `lease`.

        A hit has the lease's namespace, an offset that the lease says was handled under it, and the event's
        entity id; everything else is a miss.
        """

    async def remember(self, events: Sequence[Event], lease: Lease) -> None:
        """Store `events`, which SQL has marked; only after the commit was confirmed."""


Decode = Callable[[Record], Event]
"""Turn a record into an event, or raise `PermanentError`. Any other exception is a permanent failure too."""

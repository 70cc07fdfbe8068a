"""The ports `Sink` and `Letters` in a history: every call goes over the wire to the one database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from service.core.errors import PermanentError, TemporaryError, Unavailable
from service.core.types import (
    Action,
    Event,
    Lease,
    OpenLetter,
    Outcome,
    Partition,
    StoredPosition,
    Work,
    Written,
)
from tests.faults.simulation.database import Database
from tests.faults.simulation.loop import SimulatedLoop
from tests.faults.simulation.wire import Weather, Wire

Result = TypeVar("Result")


def deadlock() -> TemporaryError:
    """What the weather of a database sends now and then."""
    return TemporaryError("1213", error_class="Deadlock")


class SimulatedSink:
    """One member's way to the database."""

    def __init__(self, database: Database, wire: Wire, weather: Weather, loop: SimulatedLoop) -> None:
        self._database = database
        self._wire = wire
        self._weather = weather
        self._loop = loop

    async def position(self, partition: Partition) -> StoredPosition | None:
        return await self._read("position", lambda: self._database.tables.positions.get(partition), partition)

    async def claim(self, partition: Partition, seen: StoredPosition | None, claimed: StoredPosition) -> bool:
        return await self._read(
            "claim", lambda: self._database.claim(partition, seen, claimed), partition, claimed.next_offset
        )

    async def apply(self, work: Work, lease: Lease) -> Written:
        apply = self._call(
            "apply",
            lambda: self._database.apply(work, lease, self._loop.time()),
            lease.partition,
            f"{lease.expected} to {work.end}",
        )
        if work.events or work.letters:
            return await apply
        try:
            return await apply
        except TemporaryError as error:
            # Nothing but the fence: a position's row that is locked says nothing about records.
            raise Unavailable(str(error), part="database") from error

    async def ping(self) -> None:
        await self._read("ping", lambda: None)

    async def check_writable(self, entity: str) -> None:
        await self._read("check writable", lambda: None)

    async def due(self, topics: Collection[str], limit: int) -> Sequence[OpenLetter]:
        return await self._read("due", lambda: self._database.due(limit, self._loop.time()))

    async def retry(self, letter: OpenLetter, event: Event, action: Action | None = None) -> Outcome:
        return await self._call("retry", lambda: self._database.retry(letter, event), letter.id)

    async def failed(
        self,
        letter: OpenLetter,
        error: PermanentError | TemporaryError,
        retry_in_seconds: float | None,
        action: Action | None = None,
    ) -> None:
        await self._read(
            "failed",
            lambda: self._database.failed(letter, retry_in_seconds, self._loop.time()),
            letter.id,
        )

    async def _read(self, name: str, effect: Callable[[], Result], *words: object) -> Result:
        """A call that no record can be the culprit of: a deadlock means waiting."""
        try:
            return await self._call(name, effect, *words)
        except TemporaryError as error:
            raise Unavailable(str(error), part="database") from error

    async def _call(self, name: str, effect: Callable[[], Result], *words: object) -> Result:
        return await self._wire.call(name, self._weather, effect, *words)

"""Redis in a history: the service's own `RedisProcessedCache` talks to this server instead of a real one.

`quiet` puts `round_trip` and `send_all` in the place of the client's. It knows the commands that the cache
sends. Entries are kept as what they say, so that the judge can hold each of them against SQL; foreign values
as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from service.core.errors import UpsertdError
from service.stores.processed_cache import KEY_PREFIX
from service.stores.redis_client import Command, CommandRefused
from tests.faults.simulation.judge import Judge
from tests.faults.simulation.loop import SimulatedLoop
from tests.faults.simulation.wire import Weather, Wire


class Entry(NamedTuple):
    """What a value of the service's says."""

    namespace: str
    offset: int
    entity_id: int


class Redis:
    """The one server, and each member's connection to it."""

    def __init__(self, judge: Judge, wire: Wire, weather: Weather, loop: SimulatedLoop) -> None:
        self.entries: dict[bytes, Entry | bytes] = {}
        self._wire = wire
        self._weather = weather
        self._loop = loop
        weather.refusal = full
        judge.cache = self.entries

    async def round_trip(self, command: Command) -> object:
        """Answer as Redis does; a member that gives up waiting hears `Unavailable`."""
        name, *arguments = command
        if name == b"MGET":
            return await self._wire.call("seen", self._weather, lambda: [self._get(key) for key in arguments])
        if name == b"EXISTS":
            return await self._wire.call(
                "seen", self._weather, lambda: int(self._get(arguments[0]) is not None)
            )
        raise AssertionError(f"no command of the cache's: {name!r}")

    async def send_all(self, commands: Sequence[Command]) -> None:
        """Take entries; a member that gives up waiting hears `Unavailable`."""
        await self._wire.call("remember", self._weather, lambda: self._set_all(commands))

    def plant(self, event_id: bytes, value: bytes) -> None:
        """Somebody else writes a key of ours."""
        self.entries[event_id] = value

    def _get(self, key: bytes) -> bytes | None:
        entry = self.entries.get(key.removeprefix(KEY_PREFIX))
        if isinstance(entry, Entry):
            return f"{entry.namespace}:{entry.offset}:{entry.entity_id}".encode()
        return entry

    def _set_all(self, commands: Sequence[Command]) -> None:
        for name, key, value, *_ttl in commands:
            assert name == b"SET"
            namespace, offset, entity_id = value.decode().rsplit(":", 2)
            self.entries[key.removeprefix(KEY_PREFIX)] = Entry(namespace, int(offset), int(entity_id))


def full() -> UpsertdError:
    """What the weather of a Redis sends now and then."""
    return CommandRefused("OOM command not allowed")

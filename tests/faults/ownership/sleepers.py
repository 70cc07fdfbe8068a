"""A member that is stopped in the middle of a statement: what it has sent arrives when we say so.

Its way to the database leads through a proxy that holds one statement back; then the process is stopped. What
a cloud does to a machine that it moves, done at the worst moment.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.service_process import ServiceFailed, ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.world import Log, connect, select
from tests.faults.outages.database_outages import connect_to
from tests.faults.proxied import at_port
from tests.faults.proxy import Fate, Proxy, pass_all
from tests.servers import MariaDb

_POLL_SECONDS = 0.1


def is_commit(packet: bytes) -> bool:
    """MySQL's COMMIT."""
    return packet.endswith(b"\x03COMMIT")


def is_claim(packet: bytes) -> bool:
    """The statement that takes a position over."""
    return b"UPDATE consumer_positions SET" in packet and b"epoch=" in packet


@dataclass(slots=True)
class Sleeper:
    """A member behind a proxy of its own."""

    stage: Stage
    proxy: Proxy
    member: ServiceProcess
    _caught: threading.Event = field(default_factory=threading.Event)

    async def stop_at(self, is_it: Callable[[bytes], bool], timeout_seconds: float = 30) -> None:
        """Stop the process when its next such statement is on the way, which stays there."""

        def on_request(packet: bytes) -> Fate:
            if self._caught.is_set() or not is_it(packet):
                return Fate.PASS
            self._caught.set()
            return Fate.HOLD

        self.proxy.on_request = on_request
        if not await asyncio.to_thread(self._caught.wait, timeout_seconds):
            raise self.member.failed(f"no such statement within {timeout_seconds:g} s")
        self.member.stop()
        self.proxy.on_request = pass_all

    def deliver(self) -> None:
        """Let the statement arrive at last."""
        self.proxy.release()


@contextmanager
def sleeper(stage: Stage, server_port: int) -> Iterator[Sleeper]:
    """One more member of `stage`, whose database is behind a proxy."""
    with Proxy(server_port) as proxy:
        url = at_port(stage.world.database_url, proxy.port)
        yield Sleeper(stage, proxy, stage.start(DATABASE_URL=url))


async def moved_everywhere(stage: Stage, timeout_seconds: float = 90) -> float:
    """Wait until every partition has moved on from where it is; returns the seconds that this took."""
    began, before = time.monotonic(), stage.positions()
    while not _all_beyond(before, await asyncio.to_thread(stage.positions)):
        if time.monotonic() - began > timeout_seconds:
            raise ServiceFailed(f"not every partition moved within {timeout_seconds:g} s")
        await asyncio.sleep(_POLL_SECONDS)
    return time.monotonic() - began


def _all_beyond(before: dict[Log, int], now: dict[Log, int]) -> bool:
    return all(now[log] > position for log, position in before.items())


@contextmanager
def held_positions(stage: Stage, mariadb: MariaDb) -> Iterator[None]:
    """Another session holds the rows of all positions: no transaction of the service gets on."""
    session = connect_to(mariadb.url(stage.database), user="root")
    try:
        with session.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM consumer_positions FOR UPDATE")
        yield
    finally:
        session.close()


def epochs(stage: Stage) -> dict[Log, int]:
    """How often each partition was claimed."""
    with connect(stage.world) as connection:
        rows = select(connection, "SELECT topic, partition_id, epoch FROM consumer_positions")
    return {Log(str(row["topic"]), int(str(row["partition_id"]))): int(str(row["epoch"])) for row in rows}

"""Runs cases on real servers: three chains side by side, one for each batch size, and sums up.

`run` is for reports and the command line: the whole matrix, or what time allows, on servers of its own. The
tests call `run_cases` with a part of it, on the servers of the test run.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.e2e.service_process import ServiceFailed
from tests.faults.failpoints.cases import BATCH_SIZES, Case, all_pairs, lives
from tests.faults.failpoints.chain import Chain, Injected
from tests.faults.failpoints.plan import Failpoint
from tests.faults.failpoints.process import CHECKOUT, FailpointStage
from tests.faults.failpoints.summary import Counts, Summary, count
from tests.faults.failpoints.visit import Life
from tests.servers import Kafka, MariaDb, Redis, database_of

Tell = Callable[[Failpoint], None]


def quiet(_failpoint: Failpoint) -> None:
    """Tell nobody of a fault."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where chains run; `schema` is a backup of a migrated, empty database."""

    kafka: Kafka
    mariadb: MariaDb
    redis: Redis
    schema: bytes

    def stage(self) -> FailpointStage:
        """A stage of its own for one chain."""
        return FailpointStage(self.kafka, self.mariadb, self.redis, self.schema)


@contextmanager
def own_servers() -> Iterator[Servers]:
    """One of each kind, until the block ends."""
    with Kafka() as kafka, MariaDb() as mariadb, Redis() as redis:
        url = mariadb.create_database()
        migrate = [sys.executable, "-m", "service", "migrate"]
        subprocess.run(migrate, cwd=CHECKOUT, env={**os.environ, "DATABASE_URL": url}, check=True)
        schema = mariadb.dump(database_of(url))
        mariadb.drop_database(database_of(url))
        yield Servers(kafka, mariadb, redis, schema)


def run(
    *,
    seed: int,
    seconds: float | None = None,
    cases: Sequence[Case] | None = None,
    tell: Tell = quiet,
    bug: str | None = None,
) -> Summary:
    """Run the whole matrix, or `cases` alone, on servers started for it; see `run_cases`."""
    with own_servers() as servers:
        chosen = all_pairs(seed) if cases is None else cases
        return asyncio.run(run_cases(servers, chosen, seed, seconds=seconds, tell=tell, bug=bug))


async def run_cases(
    servers: Servers,
    cases: Sequence[Case],
    seed: int,
    *,
    seconds: float | None = None,
    tell: Tell = quiet,
    bug: str | None = None,
) -> Summary:
    """Run into every case, then judge; what has not begun within `seconds` is left out.

    `tell` hears of each fault, `bug` is the name of a planted one. Never raises for what the service does:
    the summary has it.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        runs: list[_Run] = []
        for number, batch_records in enumerate(BATCH_SIZES):
            if planned := lives(cases, batch_records, seed):
                # All of them before the first one starts: making a stage empties Redis.
                stage = servers.stage()
                stack.callback(stage.close)
                runs.append(_Run(stage, Chain(stage, seed + number, tell, bug), planned))
        until = None if seconds is None else began + seconds
        await asyncio.gather(*(each.finish(until) for each in runs))
    return Summary(
        seed,
        time.monotonic() - began,
        sum(each.planned for each in runs),
        tuple(injected for each in runs for injected in each.injected),
        sum((each.counts for each in runs), Counts()),
        tuple(violation for each in runs for violation in each.violations),
    )


class _Run:
    """One chain on its stage; afterwards `planned` is how many failpoints it was to meet."""

    def __init__(self, stage: FailpointStage, chain: Chain, planned: Sequence[Life]) -> None:
        self.planned = 0
        self.counts = Counts()
        self._stage = stage
        self._chain = chain
        self._lives = planned

    @property
    def injected(self) -> Sequence[Injected]:
        return self._chain.injected

    @property
    def violations(self) -> Sequence[str]:
        return self._chain.violations

    async def finish(self, until: float | None) -> None:
        """Live all lives, or those that begin in time, and judge."""
        try:
            await self._live(until)
        except ServiceFailed as failure:
            await self._chain.give_up(failure)
        try:
            await self._chain.judge()
        except ServiceFailed as failure:
            self._chain.violations.append(str(failure))
        self.counts = await asyncio.to_thread(count, self._stage)

    async def _live(self, until: float | None) -> None:
        for life in self._lives:
            if until is not None and time.monotonic() > until:
                return
            self.planned += len(life.failpoints)
            await self._chain.live(life)

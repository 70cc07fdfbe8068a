"""`python -m tests.faults.hostile --minutes 5 --seed 7`: look for input that upsertd handles wrongly.

Two thirds of the time go to the decoder, one third to histories through the sink, into SQLite unless other
databases are named (they are started for it). What is found is printed with all it takes to see it again,
and the exit code is 1. With `--keep`, inputs that show something new are added to the corpus.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from random import Random

from tests.contracts.sink_worlds import SqlWorld, create_tables
from tests.faults.hostile import corpus
from tests.faults.hostile.exploring import Explorer
from tests.faults.hostile.histories import Player, batches
from tests.servers import MariaDb, PostgreSql, database_of

_SERVERS: Mapping[str, type[MariaDb | PostgreSql]] = {"mariadb": MariaDb, "postgresql": PostgreSql}


def main() -> int:
    """Run for the given time; 0 when nothing was found."""
    arguments = _arguments()
    print(f"seed {arguments.seed}")
    try:
        explore(arguments.seed, arguments.minutes * 40, keep=arguments.keep)
        for name in arguments.databases:
            with database(name) as url:
                seconds = arguments.minutes * 20 / len(arguments.databases)
                asyncio.run(play(name, url, arguments.seed, seconds))
    except AssertionError as error:
        print(f"FOUND, seed {arguments.seed}: {error}", file=sys.stderr)
        return 1
    return 0


def explore(seed: int, seconds: float, *, keep: bool) -> None:
    """Judge inputs of the decoder; raises `Complaint`."""
    explorer = Explorer(Random(f"explore {seed}"))
    for kept in corpus.load():
        explorer.learn(kept.case)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for found in explorer.step():
            print(f"new: {found.shows}")
            if keep:
                corpus.keep(found.shows, found.case, str(found.ending))
    print(f"decoder: {explorer.endings.total()} inputs, {dict(explorer.endings)}")


async def play(name: str, url: str, seed: int, seconds: float) -> None:
    """Play histories, each with a seed of its own, into one database; raises AssertionError."""
    world = SqlWorld(url)
    end, number, records = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        await world.clear()
        player = Player(world)
        for batch in batches(Random(f"history {seed}.{number}"), 12, 60):
            await player.play(batch)
        differences = await player.differences(url)
        assert not differences, f"history {seed}.{number} in {name}: {differences}"
        number, records = number + 1, records + player.model.outcomes.total()
    await world.database.close()
    print(f"{name}: {number} histories, {records} records")


@contextmanager
def database(name: str) -> Iterator[str]:
    """A database with tables, in a server that is started for it."""
    if name == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/shop.db"
            create_tables(url)
            yield url
        return
    with _SERVERS[name]() as server:
        url = server.create_database()
        create_tables(url)
        yield url
        server.drop_database(database_of(url))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.hostile", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one each time")
    parser.add_argument("--keep", action="store_true", help="add what shows something new to the corpus")
    choices = ["sqlite", *_SERVERS]
    parser.add_argument("--databases", nargs="*", choices=choices, default=["sqlite"])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

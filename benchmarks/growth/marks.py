"""What an event costs when its table holds marks by the million already.

Called by `__main__`. Every combination of ids and number of marks has a database of its own, filled in bulk
before anything is measured; then rounds go through all of them by turns. In each, one upsertd is warmed up
until the pages of the buffer pool are those that such a table has there, and drains two backlogs: a part of
the first are copies with an empty Redis, which only the marks can tell; all of the second is new.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial

from benchmarks.contenders import Upsertd, counted_at_end
from benchmarks.growth import filling
from benchmarks.growth.backlog import TOPIC, drain_backlog, running, staged_on, warm_up
from benchmarks.growth.event_ids import KINDS, IdKind
from benchmarks.growth.meter import PAGES_READ, write_back
from benchmarks.growth.results import Drained, Marks, MarksRun
from benchmarks.load import PARTITIONS, Generator, Load, Message
from benchmarks.probe import Probe
from benchmarks.servers import DATABASE_OPTIONS, Servers
from benchmarks.stage import Stage
from benchmarks.verify import WrongResult, differences

COPIED_SHARE = 0.3
# As many pages as a pool of 128 MB has: afterwards each page that is changed costs one to be written.
WARM_UP_EVENTS = 9_000
MARKS = "processed_events"
_AT_ONCE = 2
_MARKED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Point:
    """A table of so many marks with such ids, in a database of its own."""

    kind: IdKind
    marks: int

    @property
    def database(self) -> str:
        return f"upsertd_{self.kind.name}_{self.marks}"

    @property
    def filling(self) -> filling.Filling:
        return filling.of_marks(self.kind, max(1, self.marks))

    @property
    def name(self) -> str:
        return f"{self.kind.name} {self.marks:,}"


def pool_options(pool_mb: int) -> tuple[str, ...]:
    """The options of a durable server with another buffer pool."""
    others = (option for option in DATABASE_OPTIONS if "buffer-pool" not in option)
    return (*others, f"--innodb-buffer-pool-size={pool_mb}M")


def points(marks: Sequence[int], curves: Sequence[str], others: Sequence[str]) -> list[Point]:
    """Every number of marks for the kinds of `curves`; for `others` the two smallest numbers."""
    numbers = sorted(set(marks))
    return [
        *(Point(KINDS[name], number) for number in numbers for name in curves),
        *(Point(KINDS[name], number) for number in numbers[:2] for name in others),
    ]


def fill(servers: Servers, wanted: Sequence[Point], marks: Marks) -> Iterator[str]:
    """Make a filled database for each point, two at a time; yields a line about each."""
    # The largest first: two threads are through at about the same time.
    largest_first = sorted(wanted, key=lambda point: -point.marks)
    filling.fill_pages(servers.mariadb, ordered=False)
    yield from _all_done(partial(_fill_rows, servers), largest_first, "rows of")
    # The index is by time: rows are appended to it whatever their ids are.
    filling.fill_pages(servers.mariadb, ordered=True)
    yield from _all_done(partial(_build_index, servers, marks), largest_first, "index of")


def run(servers: Servers, wanted: Sequence[Point], marks: Marks, seed: int) -> Iterator[str]:
    """Run all rounds on filled databases and add each run to `marks`; yields a line about each."""
    for number in range(1, marks.rounds + 1):
        for point in wanted if number % 2 else reversed(wanted):
            measured = _measure(servers, point, marks.events, number, seed)
            marks.runs.append(measured)
            yield _line(measured, marks.rounds)


def _all_done(do: Callable[[Point], None], group: Sequence[Point], what: str) -> Iterator[str]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        tasks = {threads.submit(do, point): point for point in group}
        for task in as_completed(tasks):
            task.result()
            yield f"filled: {what} {tasks[task].name}"


def _fill_rows(servers: Servers, point: Point) -> None:
    servers.mariadb.restore(point.database, servers.schema)
    servers.mariadb.execute(f"ALTER TABLE {MARKS} DROP INDEX {filling.MARKS_INDEX}", point.database)
    if point.marks:
        filling.fill(servers.mariadb, point.database, point.filling, point.marks)


def _build_index(servers: Servers, marks: Marks, point: Point) -> None:
    filling.index(servers.mariadb, point.database, point.filling)
    size = filling.table_bytes(servers.mariadb, point.database, MARKS)
    marks.table_bytes.setdefault(point.kind.name, {})[point.marks] = size


def _measure(servers: Servers, point: Point, events: int, number: int, seed: int) -> MarksRun:
    cold, new = _loads(point.kind, events, number, seed)
    servers.mariadb.execute(f"TRUNCATE TABLE {TOPIC}", point.database)
    with staged_on(servers, point.database, PARTITIONS) as stage, stage.probe() as probe:
        write_back(probe)
        with running(stage, 1) as [consumer]:
            warm_up(stage, probe, [consumer], cold.prepared)
            cold_drained = drain_backlog(
                stage, probe, [consumer], cold.measured, copies=cold.copies, cold=True
            )
            new_drained = drain_backlog(stage, probe, [consumer], new)
            _verify(stage, probe, consumer, cold, new)
    return MarksRun(point.kind.name, point.marks, number, new_drained, cold_drained)


def _loads(kind: IdKind, events: int, number: int, seed: int) -> tuple[Load, Sequence[Message]]:
    """What is prepared and drained cold, and then the new events; the ids of later rounds are later ones."""

    def new_id(draw: random.Random, at: int) -> str:
        return kind.make(draw, at + number * 10_000_000)

    generator = Generator(TOPIC, seed + number, new_id)
    cold = generator.load(events, COPIED_SHARE, others=WARM_UP_EVENTS)
    return cold, generator.load(events, 0, others=events + WARM_UP_EVENTS).measured


def _verify(stage: Stage, probe: Probe, consumer: Upsertd, cold: Load, new: Sequence[Message]) -> None:
    """Raise `WrongResult` unless each event has its mark, its row and its outcome."""
    originals = [*cold.originals, *new]
    found = list(differences(probe, TOPIC, "id", [int(message.key) for message in originals]))
    ids = [message.event_id for message in originals]
    pages = (ids[at : at + _MARKED_AT_ONCE] for at in range(0, len(ids), _MARKED_AT_ONCE))
    if missing := len(ids) - sum(len(probe.marked(page)) for page in pages):
        found.append(f"{missing} events have no mark")
    said = counted_at_end(consumer, len(originals) + cold.copies)
    # No hit: Redis was emptied, so each copy was looked up among the marks.
    wanted = (len(originals), cold.copies, 0, 0)
    if said is None or (said.applied, said.duplicates, said.dead, said.cache_hits) != wanted:
        found.append(f"counted {said}, not {wanted} applied, duplicates, dead, hits")
    if found:
        raise WrongResult("; ".join(found))


def _line(measured: MarksRun, rounds: int) -> str:
    return (
        f"{measured.round}/{rounds} {measured.ids:8} {measured.marks:11,} marks:"
        f" new {_told(measured.unique)}; a part copies, cold {_told(measured.cold)}"
    )


def _told(drained: Drained) -> str:
    return (
        f"{drained.cpu_us_sum:5.1f} CPU us/event {drained.events_per_second:7,.0f} events/s"
        f" {drained.per_event(PAGES_READ):5.2f} pages read/event"
    )

"""Tries each layout of marks on a table of millions: batches that look up and insert, then a purge.

Called by `__main__`. No service takes part: what is counted is what the statements cost the database. All
tables are filled first, then rounds go through them by turns.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pymysql

from benchmarks.growth import filling
from benchmarks.growth.event_ids import KINDS
from benchmarks.growth.layouts import LAYOUTS, TABLE, Layout
from benchmarks.growth.meter import PAGES_READ, Meter, write_back
from benchmarks.growth.results import Drained, LayoutRun, Layouts
from benchmarks.probe import Probe
from benchmarks.servers import Servers

# As many pages as a pool of 64 MB has, as for `marks`.
WARM_UP_EVENTS = 5_000
BATCH = 1_000
# As the service purges: see `core.retention`.
PURGED_AT_ONCE = 128


def fill(servers: Servers, layouts: Layouts, wanted: Sequence[Layout] = LAYOUTS) -> Iterator[str]:
    """Make a filled table for each layout; yields a line about each."""
    for layout in wanted:
        begun = time.monotonic()
        database = database_of(layout)
        servers.mariadb.create_database(database)
        servers.mariadb.execute(layout.create, database)
        filled = layout.filling(layouts.marks)
        filling.fill_pages(servers.mariadb, ordered=False)
        filling.fill(servers.mariadb, database, filled, layouts.marks)
        # An index by time is appended to, one by ids is not.
        filling.fill_pages(servers.mariadb, ordered=filled.index is not None and "time" in filled.index[0])
        filling.index(servers.mariadb, database, filled)
        layouts.table_bytes[layout.name] = filling.table_bytes(servers.mariadb, database, TABLE)
        yield (
            f"filled {layout.name:18} {layouts.table_bytes[layout.name] / 1e6:7,.0f} MB"
            f" in {time.monotonic() - begun:.1f} s"
        )


def run(servers: Servers, layouts: Layouts, seed: int, wanted: Sequence[Layout] = LAYOUTS) -> Iterator[str]:
    """Run all rounds on filled tables and add each run to `layouts`; yields a line about each."""
    for number in range(1, layouts.rounds + 1):
        for layout in wanted if number % 2 else reversed(wanted):
            measured = _measure(servers, layout, layouts.events, number, seed)
            layouts.runs.append(measured)
            yield _line(measured, layouts.rounds)


def _measure(servers: Servers, layout: Layout, events: int, number: int, seed: int) -> LayoutRun:
    kind, draw = KINDS[layout.ids], random.Random(seed + number)
    ids = [kind.make(draw, number * 10_000_000 + at) for at in range(WARM_UP_EVENTS + events)]
    url = servers.mariadb.url(database_of(layout))
    pids = {part: [pid] for part, pid in servers.pids.items() if part == "database"}
    with Probe(url, user="root") as probe, closing(_connect(servers, layout)) as connection:
        write_back(probe)
        meter = Meter(probe, pids)
        _mark(connection, layout, ids[:WARM_UP_EVENTS])
        marked = _metered(meter, events, lambda: _mark(connection, layout, ids[WARM_UP_EVENTS:]))
        if layout.oldest is None:
            return LayoutRun(layout.name, layout.ids, number, marked, None)
        write_back(probe)
        _purge(connection, layout, WARM_UP_EVENTS)
        purged = _metered(meter, events, lambda: _purge(connection, layout, events))
    return LayoutRun(layout.name, layout.ids, number, marked, purged)


def _metered(meter: Meter, events: int, do: Callable[[], None]) -> Drained:
    meter.begin()
    do()
    return Drained(events, 0, meter.end())


def _mark(connection: pymysql.Connection, layout: Layout, event_ids: Sequence[str]) -> None:
    """Mark events that are new, a transaction for each batch."""
    for at in range(0, len(event_ids), BATCH):
        batch = event_ids[at : at + BATCH]
        with connection.cursor() as cursor:
            if layout.looked_up and cursor.execute(layout.look_up(batch)):
                raise RuntimeError(f"{layout.name}: new events have marks")
            cursor.execute(layout.insert(batch))
        connection.commit()


def _purge(connection: pymysql.Connection, layout: Layout, rows: int) -> None:
    """Delete the oldest marks, a transaction for each batch."""
    for at in range(0, rows, PURGED_AT_ONCE):
        with connection.cursor() as cursor:
            cursor.execute(layout.find_oldest(min(PURGED_AT_ONCE, rows - at)))
            cursor.execute(layout.delete([found for (found,) in cursor.fetchall()]))
        connection.commit()


def _connect(servers: Servers, layout: Layout) -> pymysql.Connection:
    connection = pymysql.connect(
        host="127.0.0.1", port=servers.mariadb.port, user="root", database=database_of(layout)
    )
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    return connection


def database_of(layout: Layout) -> str:
    """The name of the database that a layout has for itself."""
    return f"upsertd_{layout.name.replace(',', '').replace('-', '_').replace(' ', '_')}"


def _line(measured: LayoutRun, rounds: int) -> str:
    purged = "" if measured.purged is None else f"; purge {_told(measured.purged)}"
    return f"{measured.round}/{rounds} {measured.layout:18} {_told(measured.marked)}{purged}"


def _told(drained: Drained) -> str:
    return (
        f"{drained.cpu_us_sum:5.1f} CPU us/mark {drained.events_per_second:7,.0f} marks/s"
        f" {drained.per_event(PAGES_READ):5.2f} pages read/mark"
    )

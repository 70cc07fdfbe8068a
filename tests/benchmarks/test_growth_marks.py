"""Tables of marks, filled in bulk: as the service would have left them, and what is measured on them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pymysql
import pytest

from benchmarks.growth import filling, layout_runs, marks
from benchmarks.growth.event_ids import KINDS
from benchmarks.growth.layouts import LAYOUTS, TABLE, Layout
from benchmarks.growth.results import Layouts, Marks
from benchmarks.machine import machine
from benchmarks.servers import Servers
from tests.servers import MariaDb, ServerMissing, database_of

_ROWS = 2_000


@pytest.fixture
def empty(mariadb: MariaDb, migrated_url: str) -> str:
    """The name of a database whose table of marks has no second index yet."""
    if mariadb.given_address is not None:
        raise ServerMissing("MariaDB is given by DATABASE_URL, and only root may fill tables in bulk")
    database = database_of(migrated_url)
    mariadb.execute(f"ALTER TABLE processed_events DROP INDEX {filling.MARKS_INDEX}", database)
    return database


@pytest.mark.parametrize("name", KINDS)
def test_filled_ids_are_like_those_of_the_load(mariadb: MariaDb, empty: str, name: str) -> None:
    """As long, none twice, made in the order of the key; the load's come after them if they have an order."""
    kind, draw = KINDS[name], random.Random(1)
    filling.fill(mariadb, empty, filling.of_marks(kind, _ROWS), _ROWS)
    ids = [_text(value) for (value,) in mariadb.execute("SELECT event_id FROM processed_events", empty)]
    by_number = mariadb.execute("SELECT event_id FROM processed_events ORDER BY entity_id", empty)
    assert ids == sorted(set(ids))
    assert ids == [_text(value) for (value,) in by_number]
    made = kind.make(draw, 0)
    assert len(ids[0]) == len(made)
    assert (ids[-1] < made) is kind.ordered


def test_a_filled_table_is_whole_and_nothing_in_it_is_old(mariadb: MariaDb, empty: str) -> None:
    """Every row, the index of the schema, and no mark that a running service would purge."""
    fill = filling.of_marks(KINDS["uuid4"], _ROWS)
    filling.fill(mariadb, empty, fill, _ROWS)
    filling.index(mariadb, empty, fill)
    [(rows, oldest, newest)] = mariadb.execute(
        "SELECT COUNT(*), TIMESTAMPDIFF(DAY, MIN(processed_at), UTC_TIMESTAMP()),"
        " TIMESTAMPDIFF(DAY, MAX(processed_at), UTC_TIMESTAMP()) FROM processed_events",
        empty,
    )
    assert rows == _ROWS
    assert (oldest, newest) == (9, 0)
    indexes = mariadb.execute("SHOW INDEX FROM processed_events", empty)
    assert {index[2] for index in indexes} == {"PRIMARY", filling.MARKS_INDEX}
    assert filling.table_bytes(mariadb, empty, "processed_events") > 100 * _ROWS


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_a_layout_knows_what_it_has_marked(mariadb: MariaDb, empty: str, layout: Layout) -> None:
    """New ids are not there; marked ones are; the oldest go, and not those that were just made."""
    mariadb.execute(layout.create, empty)
    filled = layout.filling(_ROWS)
    filling.fill(mariadb, empty, filled, _ROWS)
    filling.index(mariadb, empty, filled)
    draw = random.Random(1)
    ids = [KINDS[layout.ids].make(draw, number) for number in range(10)]
    assert not mariadb.execute(layout.look_up(ids), empty)
    mariadb.execute(layout.insert(ids), empty)
    assert len(mariadb.execute(layout.look_up(ids), empty)) == 10
    with pytest.raises(pymysql.IntegrityError):
        mariadb.execute(layout.insert(ids[:1]), empty)
    if layout.oldest is not None:
        oldest = [found for (found,) in mariadb.execute(layout.find_oldest(50), empty)]
        mariadb.execute(layout.delete(oldest), empty)
        assert mariadb.execute(f"SELECT COUNT(*) FROM {TABLE}", empty) == [(_ROWS + 10 - 50,)]
        assert len(mariadb.execute(layout.look_up(ids), empty)) == 10


@pytest.fixture
def measured_marks(bench_servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Marks]:
    """Results of 600 events a drain, with a short warm-up; the filled databases are gone at the end."""
    monkeypatch.setattr(marks, "WARM_UP_EVENTS", 300)
    yield Marks(machine(bench_servers.versions()), 64, 1, 600)
    for (name,) in bench_servers.mariadb.execute("SHOW DATABASES LIKE 'upsertd\\_uuid4\\_%'"):
        bench_servers.mariadb.drop_database(str(name))


def test_drains_on_a_filled_table_are_counted(bench_servers: Servers, measured_marks: Marks) -> None:
    """upsertd drains a part of copies without its cache, then new events; both left their counters."""
    wanted = [marks.Point(KINDS["uuid4"], _ROWS)]
    assert len(list(marks.fill(bench_servers, wanted, measured_marks))) == 2
    list(marks.run(bench_servers, wanted, measured_marks, seed=1))
    [run] = measured_marks.runs
    assert (run.cold.events, run.cold.copies, run.unique.copies) == (600, 180, 0)
    assert run.unique.used.statements > 0
    assert run.unique.used.innodb["Innodb_os_log_written"] > 600 * 100
    assert run.unique.used.cpu_seconds["client"] > 0


def test_layouts_are_measured_by_turns(bench_servers: Servers) -> None:
    """Each has its table, its marks and its purge."""
    layouts = Layouts(machine(bench_servers.versions()), 64, 1, _ROWS * 5, 500)
    wanted = LAYOUTS[-2:]
    try:
        list(layout_runs.fill(bench_servers, layouts, wanted))
        list(layout_runs.run(bench_servers, layouts, 1, wanted))
    finally:
        for layout in wanted:
            bench_servers.mariadb.drop_database(layout_runs.database_of(layout))
    assert [run.layout for run in layouts.runs] == [layout.name for layout in wanted]
    assert [run.purged is None for run in layouts.runs] == [False, True]
    assert layouts.runs[0].marked.used.innodb["Innodb_os_log_written"] > 0


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode()

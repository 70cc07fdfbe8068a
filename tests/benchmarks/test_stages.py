"""Stages, from a run on real servers to the section of the docs."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from benchmarks import sections
from benchmarks.contenders import UPSERTD
from benchmarks.drain import Scenario, drain
from benchmarks.load import Generator
from benchmarks.machine import Machine
from benchmarks.servers import Servers
from benchmarks.stage import Stage
from benchmarks.stages import picture, report
from benchmarks.stages.__main__ import main
from benchmarks.stages.names import DRAWN, LOOP, MEANINGS, OBSERVE, REST, STAGES, WAITS
from benchmarks.stages.results import FILE_VARIABLE, Kind, Results, Run, Staged, Taken, read, write
from benchmarks.stages.runs import PROGRAM
from benchmarks.stages.server import Timed, Timing, timing_servers
from benchmarks.stages.statements import (
    COMMITTED,
    ELSE,
    FENCE,
    INSERT_LINES,
    INSERT_MARKS,
    INSERT_ROWS,
    LOCK_ROWS,
    SELECT_MARKS,
    TAKE_IN,
    by_kind,
    kind_of,
)
from benchmarks.stages.summary import summaries
from tests.benchmarks.measured import drain as drained
from tests.servers import Kafka, MariaDb, Redis, ServerMissing


class _SeenServers(Servers):
    """Servers of which only the database need be a process of this machine."""

    @property
    def pids(self) -> dict[str, int]:
        return {"database": self.mariadb.pid or 0}


@pytest.fixture
def servers(kafka: Kafka, mariadb: MariaDb, redis_server: Redis, schema: bytes) -> Servers:
    if mariadb.given_address is not None:
        raise ServerMissing("MariaDB is given by DATABASE_URL, and only root may time statements")
    return _SeenServers(kafka, mariadb, redis_server, schema)


def test_a_run_tells_its_stages_and_statements(servers: Servers, tmp_path: Path) -> None:
    """Every stage is found in the service as it is; the server knows the kind of each statement."""
    file = tmp_path / "stages.json"
    load = Generator("mix", seed=7).load(900, 1 / 3, others=60)
    with timing_servers(servers) as timed, Timing(timed) as timing:

        def new(stage: Stage) -> Timed:
            return Timed(stage, timing, {FILE_VARIABLE: str(file)}, PROGRAM)

        run = drain(timed, UPSERTD, Scenario("mix", 33), load, 1, new=new)

    staged = msgspec.json.decode(file.read_bytes(), type=Staged)
    assert {name for name in (*WAITS, "decode", "decide", OBSERVE) if not staged.stages[name].calls} == set()
    # By the process's own account, whose ticks are coarse.
    assert abs(staged.stages[REST].cpu_seconds) < 0.2 * staged.cpu_seconds
    originals = run.events - run.copies
    kinds = timing.kinds
    assert kinds[INSERT_MARKS].rows_affected == kinds[INSERT_ROWS].rows_affected == originals
    assert kinds[INSERT_LINES].rows_affected == 4 * originals / 3
    # One fence and one commit in a transaction.
    assert run.batches
    assert min(kinds[kind].statements for kind in (FENCE, LOCK_ROWS, COMMITTED)) >= run.batches
    assert kinds[TAKE_IN].seconds > 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        pytest.param("UPDATE `consumer_positions` SET `next_offset` = ? ", FENCE, id="fence"),
        pytest.param("SELECT `event_id` FROM `processed_events` WHERE", SELECT_MARKS, id="marks"),
        pytest.param("SELECT `id`\nFROM `orders` WHERE `id` IN (...) FOR UPDATE ", LOCK_ROWS, id="lock"),
        pytest.param("insert into processed_events (event_id) values (?)", TAKE_IN, id="insert"),
        pytest.param("INSERT INTO `dead_letters` ( `id` )", ELSE, id="letters"),
        pytest.param("COMMIT ", COMMITTED, id="commit"),
        pytest.param("None", ELSE, id="nothing"),
    ],
)
def test_the_kind_of_a_statement(text: str, kind: str) -> None:
    """By how it begins, as the server normalises it."""
    assert kind_of(text) == kind


def test_inserts_are_told_apart_by_their_tables() -> None:
    """Few rows as text, many in bulk: the engine's time by table, and the rest of all of them."""
    kinds = by_kind(
        [("INSERT INTO `orders` ( `id` )", Kind(1, 2, 0, 5)), ("COMMIT ", Kind(3, 4, 0, 0))],
        [("statement/com/Bulk_execute", Kind(2, 30, 0, 15)), ("statement/sql/select", Kind(9, 9, 9, 9))],
        [
            ("orders", Kind(0, 6, 0, 10)),
            ("processed_events", Kind(0, 7, 0, 10)),
            ("consumer_positions", Kind(0, 1, 0, 1)),
        ],
    )
    assert kinds == {
        TAKE_IN: Kind(3, 19, 0, 0),
        INSERT_ROWS: Kind(0, 6, 0, 10),
        INSERT_MARKS: Kind(0, 7, 0, 10),
        COMMITTED: Kind(3, 4, 0, 0),
    }


def _run(number: int, stage_seconds: float) -> Run:
    """Each stage takes the same CPU time, and waits twice as long, in a run of 1,000 events."""
    stages = {name: Taken(stage_seconds, 2 * stage_seconds, 3) for name in STAGES}
    staged = Staged(0.6, stage_seconds * len(STAGES), 500, stages)
    plain, followed = (drained(UPSERTD, number, cpu_us) for cpu_us in (100, 110))
    kinds = {FENCE: Kind(3, 0.002, 3, 3), INSERT_MARKS: Kind(0, 0.005, 0, 700)}
    return Run("customers-0", number, plain, followed, staged, plain, kinds, 0.004)


@pytest.fixture
def measured() -> Results:
    machine = Machine(
        "2026-11-21T10:15:30+00:00", 2, 8, "Linux x86_64", "abc", {"python": "3.11"}, ["--durable"]
    )
    return Results(machine, 2, 1_000, 1, [_run(1, 0.001), _run(2, 0.003)])


def test_stages_are_told_per_event(measured: Results) -> None:
    """Two rounds of 1 µs and 3 µs an event: the mean, so that the stages add up."""
    [each] = summaries(measured)
    assert each.cpu_us([LOOP]) == pytest.approx(2)
    assert each.cpu_us() == pytest.approx(2 * len(STAGES))
    assert each.waited_us(WAITS[:2]) == pytest.approx(8)
    # Three partitions, six tenths of a second.
    assert each.lanes_us == pytest.approx(1_800)
    assert each.looks_per_1000 == pytest.approx(500)
    assert each.cost_of_following.median == pytest.approx(1.1)
    assert each.server_us(INSERT_MARKS) == pytest.approx(5)
    assert each.statements_per_1000(FENCE) == pytest.approx(3)
    assert each.rows_affected == pytest.approx(0.703)


def test_the_picture_leaves_no_stage_out() -> None:
    """What is drawn as one comes from every stage, once."""
    assert sorted(stage for stages in DRAWN.values() for stage in stages) == sorted(MEANINGS)


def test_pictures_are_the_same_for_the_same_results(measured: Results) -> None:
    """An SVG that can be read, and no change in the docs where nothing has changed."""
    for draw in (picture.draw_cpu, picture.draw_waits):
        drawn = draw(summaries(measured))
        ElementTree.fromstring(drawn)
        assert drawn == draw(summaries(measured))


def test_the_report_replaces_its_section_alone(
    measured: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is in the page's mark, words around it stay, both pictures are written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sections, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(sections, "IMAGES", tmp_path / "images")
    write(measured, Path("build/stages.json"))
    command = "python -m benchmarks.stages report build/stages.json"
    marks = sections.begin_mark("stages", command), sections.end_mark("stages")
    sections.PAGE.write_text("\n".join(["before", *marks, "after"]), encoding="utf-8")

    done = CliRunner().invoke(main, ["report", "build/stages.json"])
    assert done.exit_code == 0, done.output
    page = sections.PAGE.read_text(encoding="utf-8")
    assert page.startswith(f"before\n{marks[0]}\n")
    assert page.endswith(f"\n{marks[1]}\nafter")
    assert f"| client, all stages | {2 * len(STAGES):.1f} |" in page
    assert "| fence | 2.00 (3.0) |" in page
    for name in (report.CPU_PICTURE, report.WAITS_PICTURE):
        assert f"images/{name}" in page
        assert (tmp_path / "images" / name).exists()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """With a word of what is wrong with it."""
    file = tmp_path / "stages.json"
    file.write_text("{}", encoding="utf-8")
    done = CliRunner().invoke(main, ["report", str(file)])
    assert done.exit_code == 2
    assert "is not what this has written" in done.output
    with pytest.raises(msgspec.MsgspecError):
        read(file)

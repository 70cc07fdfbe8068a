"""Growth without servers: numbers, what was seen of a takeover, tables, verdicts, sections and pictures."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks import sections
from benchmarks.growth import __main__ as command_line
from benchmarks.growth.event_ids import KINDS
from benchmarks.growth.layouts import LAYOUTS
from benchmarks.growth.marks import points, pool_options
from benchmarks.growth.meter import LOG_BYTES, PAGES_READ, PAGES_WRITTEN
from benchmarks.growth.numbers import Numbers
from benchmarks.growth.picture import draw_lanes, draw_marks
from benchmarks.growth.report import COMMAND, write
from benchmarks.growth.results import (
    Drained,
    Growth,
    Lanes,
    LanesRun,
    LayoutRun,
    Layouts,
    Marks,
    MarksRun,
    Replicas,
    ReplicasRun,
    TakeoverRun,
    Takeovers,
    Used,
    read,
)
from benchmarks.growth.results import write as write_json
from benchmarks.growth.tables import growth_ratio, marks_table, marks_verdicts, text
from benchmarks.growth.takeover import KILL, STOP, Leaving, Seen, leavings, result
from benchmarks.machine import Machine
from benchmarks.results import PARTS

_MACHINE = Machine(
    began_at="2026-11-22T10:15:30+00:00",
    cores=2,
    memory_gb=8,
    system="Linux x86_64",
    commit="0123456789",
    versions={"python": "3.11.2"},
    database_options=["--durable"],
)


def _drained(cpu_us: float, events: int = 1_000, pages_read: int = 0) -> Drained:
    """A drain of a second; each part takes a quarter of `cpu_us`."""
    cpu_seconds = dict.fromkeys(PARTS, cpu_us / 4 * events / 1e6)
    innodb = {PAGES_READ: pages_read, PAGES_WRITTEN: 0, LOG_BYTES: 500 * events}
    return Drained(events, 0, Used(1.0, cpu_seconds, 20, innodb))


def _marks_run(ids: str, marks: int, number: int, cpu_us: float) -> MarksRun:
    return MarksRun(ids, marks, number, _drained(cpu_us, pages_read=800), _drained(cpu_us / 2))


def _marks(*runs: MarksRun) -> Marks:
    sizes = {run.ids: {each.marks: 1_000_000 for each in runs} for run in runs}
    return Marks(_MACHINE, 64, 2, 1_000, sizes, runs=list(runs))


@pytest.fixture
def growth() -> Growth:
    """Every part, with plain figures."""
    used = Used(2.0, dict.fromkeys(PARTS, 0.02), 10, {})
    lanes = [LanesRun(number, 1, 2, 3, used, 10**8, _drained(40), 10**8, 3) for number in (200, 3)]
    replicas = [ReplicasRun(number, 1, _drained(40), 5, 10**8) for number in (1, 2)]
    layouts = [LayoutRun("as it is", "uuid4", 1, _drained(40), _drained(80))]
    layouts += [LayoutRun("day first", "uuid4", 1, _drained(40), None)]
    return Growth(
        _marks(_marks_run("uuid7", 0, 1, 40), _marks_run("uuid7", 20_000_000, 1, 42)),
        Layouts(_MACHINE, 64, 1, 1_000, 1_000, {"as it is": 250_000, "day first": 1}, layouts),
        Lanes(_MACHINE, 1, 1_000, lanes),
        Replicas(_MACHINE, 1, 1_000, 12, replicas),
        Takeovers(_MACHINE, 3, 12, 60, [TakeoverRun(KILL, 30, [30.5, 31.0], 0.4)]),
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page with a place for both sections."""
    places = "\n".join(
        f"{sections.begin_mark(name, COMMAND)}\n{sections.end_mark(name)}" for name in ("growth", "lanes")
    )
    (tmp_path / "performance.md").write_text(f"before\n{places}\nafter")
    return tmp_path / "performance.md"


class TestNumbers:
    """What the command line takes."""

    @pytest.mark.parametrize("given", ["", "1,", "-1", "2G", "1.5M", "5 M"])
    def test_what_is_no_number_is_wrong_usage(self, given: str) -> None:
        """Before any server is started."""
        refused = CliRunner().invoke(command_line.main, ["marks", "--marks", given])
        assert refused.exit_code == 2
        assert "--marks" in refused.output

    def test_thousands_and_millions(self) -> None:
        """As people write them."""
        assert Numbers(least=0).convert("0, 50k,20M", None, None) == (0, 50_000, 20_000_000)

    def test_every_command_has_help(self) -> None:
        """With defaults that could be read."""
        for name in command_line.main.commands:
            assert CliRunner().invoke(command_line.main, [name, "--help"]).exit_code == 0


class TestPlans:
    """What is measured."""

    def test_other_ids_are_measured_at_two_numbers_only(self) -> None:
        """Their tables take as long to fill, and say nothing new about the curve."""
        found = [(each.kind.name, each.marks) for each in points((9, 0, 3), ("uuid7",), ("derived",))]
        assert found == [("uuid7", 0), ("uuid7", 3), ("uuid7", 9), ("derived", 0), ("derived", 3)]

    def test_the_pool_is_the_only_other_option(self) -> None:
        """The server stays durable."""
        options = pool_options(64)
        assert "--innodb-flush-log-at-trx-commit=1" in options
        assert [each for each in options if "buffer-pool" in each] == ["--innodb-buffer-pool-size=64M"]

    def test_a_stop_and_a_kill_for_each_timeout(self) -> None:
        """No timeout matters for whoever says goodbye."""
        assert leavings((6, 30)) == [Leaving(STOP, 30), Leaving(KILL, 6), Leaving(KILL, 30)]

    @pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.ordered])
    def test_ids_in_order_are_in_order_from_round_to_round(self, name: str) -> None:
        """Rounds begin ten million numbers apart."""
        draw = random.Random(1)
        ids = [KINDS[name].make(draw, number) for number in (0, 1, 999, 10_000_000, 90_000_000)]
        assert ids == sorted(ids)

    def test_layouts_have_names_of_their_own(self) -> None:
        """Results go by them."""
        assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


class TestTakeover:
    """What was seen becomes what is told."""

    def test_back_is_the_first_that_was_sent_afterwards(self) -> None:
        """Partition 1 went at 100; what was due before, or was seen later, is not it."""
        seen = [Seen(1, 99, 100.1), Seen(1, 101, 130), Seen(1, 102, 131), Seen(2, 103, 129)]
        assert result(Leaving(KILL, 30), seen, 100, {1, 2}).back_seconds == [29, 30]

    def test_others_wait_from_sending_to_seeing(self) -> None:
        """An event that was on its way counts; one that was seen before does not."""
        seen = [Seen(1, 101, 130), Seen(3, 90, 95), Seen(3, 99.5, 101), Seen(3, 110, 110.5)]
        assert result(Leaving(KILL, 30), seen, 100, {1}).others_longest_seconds == 1.5


class TestVerdicts:
    """How much more an event costs."""

    def test_the_ratio_is_taken_round_by_round(self) -> None:
        """A slow minute slows both: 2 and 1.5 times."""
        runs = [_marks_run("uuid4", marks, number, cpu) for marks, number, cpu in (
            (0, 1, 40), (5, 1, 80), (0, 2, 80), (5, 2, 120), (0, 3, 1),
        )]  # fmt: skip
        ratio = growth_ratio(runs, 0, 5)
        assert ratio is not None
        assert (ratio.least, ratio.median, ratio.greatest) == pytest.approx((1.5, 1.75, 2))

    @pytest.mark.parametrize(("cpu_us", "flat"), [(50, True), (51, False)])
    def test_flat_is_a_quarter_more_at_most(self, cpu_us: float, flat: bool) -> None:
        """As the goal says."""
        [verdict] = marks_verdicts(_marks(_marks_run("uuid7", 0, 1, 40), _marks_run("uuid7", 9, 1, cpu_us)))
        assert ("flat" in verdict) is flat

    def test_without_both_ends_there_is_none(self) -> None:
        """An interrupted run."""
        assert not list(marks_verdicts(_marks(_marks_run("uuid7", 0, 1, 40))))


class TestReport:
    """From figures to sections."""

    def test_cpu_is_of_all_parts_and_pages_are_per_event(self) -> None:
        """40 µs, 0.8 pages an event."""
        head, [row] = marks_table(_marks(_marks_run("uuid4", 0, 1, 40)))
        assert row[head.index("new: CPU µs/event")].startswith("40 ")
        assert row[head.index("client")] == "10"
        assert row[head.index("pages read/event")] == "0.80"

    def test_numbers_come_in_order(self, growth: Growth) -> None:
        """Whatever the order of the turns was."""
        lines = text(growth).splitlines()
        few, many = (
            next(at for at, line in enumerate(lines) if line.startswith(name)) for name in ("3 ", "200 ")
        )
        assert few < many

    def test_results_survive_json(self, growth: Growth, tmp_path: Path) -> None:
        """The report can be made anew at any time."""
        write_json(growth, tmp_path / "sub" / "growth.json")
        assert read(tmp_path / "sub" / "growth.json") == growth

    def test_both_sections_are_replaced_and_nothing_else(self, growth: Growth, page: Path) -> None:
        """With pictures that are there."""
        assert {file.name for file in write(growth, page)} == {"growth.svg", "lanes.svg", "performance.md"}
        written = page.read_text()
        assert written.startswith("before")
        assert written.endswith("after")
        assert "2 cores, 8 GB" in written
        assert (page.parent / "images" / "growth.svg").exists()

    def test_a_part_that_was_not_run_leaves_its_section_alone(self, growth: Growth, page: Path) -> None:
        """Parts are measured one by one."""
        files = [file.name for file in write(Growth(marks=growth.marks), page)]
        assert files == ["growth.svg", "performance.md"]

    def test_pictures_are_small_and_always_the_same(self, growth: Growth) -> None:
        """A new picture in a commit means new figures."""
        assert growth.marks
        for once, again in (
            (draw_marks(growth.marks), draw_marks(growth.marks)),
            (draw_lanes(growth), draw_lanes(growth)),
        ):
            assert once == again
            assert len(once) < 60_000
            assert ElementTree.fromstring(once).tag.endswith("svg")

    def test_a_report_of_something_else_is_refused(self, tmp_path: Path) -> None:
        """A line that says so, no traceback."""
        (tmp_path / "other.json").write_text('{"marks": 1}')
        assert CliRunner().invoke(command_line.main, ["report", str(tmp_path / "other.json")]).exit_code == 2

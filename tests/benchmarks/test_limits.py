"""What bounds the service: the arithmetic of needs, tables and section, and the counting on real servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import json_file, sections
from benchmarks.drain import load_for
from benchmarks.limits import __main__ as command_line
from benchmarks.limits import backlogs, commits, counters, demand, report
from benchmarks.limits.results import Commits, Limits, Worked
from benchmarks.limits.tables import events_table, needs_table, text
from benchmarks.load import Generator
from benchmarks.servers import Servers
from tests.benchmarks.measured import MACHINE

MOVED = {
    counters.FROM_KAFKA: 400,
    counters.TO_DATABASE: 500,
    counters.FROM_DATABASE: 10,
    counters.TO_REDIS: 150,
    counters.FROM_REDIS: 5,
    counters.LOG: 1_000,
    counters.FILES: 2_000,
}


def worked(scenario: str, number: int, client_us: float = 12) -> Worked:
    """10,000 events a second; a thousand of them in a transaction; figures that are easy to multiply."""
    cpu = {"client": client_us, "database": 20, "redis": 5, "broker": 1}
    moved = {name: each * 10_000 for name, each in MOVED.items()}
    return Worked(
        scenario,
        number,
        events=10_000,
        copies=0,
        seconds=1,
        cpu_seconds={part: each * 10_000 / 1e6 for part, each in cpu.items()},
        moved={**moved, counters.COMMITS: 10, counters.OFFSET_COMMITS: 10},
        row_bytes={backlogs.MARKS: 200, "customers": 300},
        entry_bytes=160,
    )


@pytest.fixture
def limits() -> Limits:
    """Two rounds; the client takes 12 and 14 µs."""
    runs = [worked(name, number, 10 + 2 * number) for number in (1, 2) for name in ("unique", "copies")]
    return Limits(MACHINE, 2, 1, 400, runs, [Commits(1, 2, 1_000), Commits(16, 2, 6_000)])


@pytest.fixture
def needs(limits: Limits) -> dict[str, demand.Need]:
    """By what is needed, for a million events a second."""
    return {need.what: need for need in demand.needs(limits)}


class TestNeeds:
    def test_a_process_and_a_redis_have_one_core(self, needs: dict[str, demand.Need]) -> None:
        """13 cores' worth of work at 60 % are 22 processes, 5 of Redis are 9; a primary has 16 cores."""
        parts = ("upsertd", "Redis", "the database", "Kafka")
        assert [needs[f"CPU of {part}"].machines for part in parts] == [22, 9, 3, 1]

    def test_bytes_are_of_all_events(self, needs: dict[str, demand.Need]) -> None:
        """1,000 bytes of log a million times a second, 200 MB/s each."""
        assert needs["redo log"].total == pytest.approx(1_000)
        assert needs["redo log"].machines == 5
        assert needs["data files"].machines == 4

    def test_marks_are_kept_for_a_day(self, needs: dict[str, demand.Need]) -> None:
        """200 bytes, 86,400 seconds: 17.28 TB on disks of four."""
        assert needs["marks of a day"].total == pytest.approx(17.28)
        assert needs["marks of a day"].machines == 5

    def test_commits_are_held_against_the_best_that_was_measured(self, needs: dict[str, demand.Need]) -> None:
        """A thousand a second of three thousand."""
        assert (needs["commits"].total, needs["commits"].one) == (1_000, 3_000)

    def test_redis_keeps_what_its_time_to_live_says(self, needs: dict[str, demand.Need]) -> None:
        """160 bytes for 300 s: 48 GB."""
        assert needs["memory for 300 s"].total == pytest.approx(48)
        assert needs["memory for 300 s"].machines == 3

    def test_the_scarcest_part_of_a_group_decides(self, needs: dict[str, demand.Need]) -> None:
        """Here the core of Redis; processes and brokers belong to no group."""
        assert demand.groups(list(needs.values())) == 9


class TestReport:
    def test_medians_and_figures_per_event(self, limits: Limits) -> None:
        """13 µs, 500 bytes, 1 commit in a thousand events, offsets by the second."""
        head, rows = events_table(limits)
        assert head == ("", "unique", "copies")
        cells = {row[0]: row[1] for row in rows}
        assert cells["CPU µs of upsertd"] == "13.0"
        assert cells["bytes to the database"] == "500"
        assert cells["commits in 1,000 events"] == "1.00"
        assert cells["offset commits in a second"] == "10.0"
        assert cells["bytes on the disk of a row in `processed_events`"] == "200"

    def test_needs_name_their_machines(self, limits: Limits) -> None:
        """In words."""
        [row] = [row for row in needs_table(limits)[1] if row[0] == "redo log"]
        assert row == ["redo log", "1,000 B", "1,000 MB/s", "200 MB/s", "5 × primary"]  # noqa: RUF001 -- times

    def test_the_section_is_written_from_json(self, limits: Limits, tmp_path: Path) -> None:
        """All three tables, what was assumed, and the machine."""
        page, file = tmp_path / "scaling.md", tmp_path / "limits.json"
        begin, end = sections.begin_mark("limits", report.COMMAND), sections.end_mark("limits")
        page.write_text(f"before\n{begin}\n{end}\nafter\n")
        json_file.write(limits, file)
        done = CliRunner().invoke(command_line.main, ["report", str(file), "--page", str(page)])
        assert done.exit_code == 0, done.output
        written = page.read_text()
        assert written.startswith("before\n")
        assert written.endswith("after\n")
        assert written.count("\n| --- |") == 3
        assert "1,000,000 events/s" in written
        assert "this is 9 groups" in " ".join(written.split())
        assert "2 cores, 8 GB" in written

    def test_the_docs_have_a_place(self) -> None:
        """The page of the section, with this command."""
        assert sections.begin_mark("limits", report.COMMAND) in report.PAGE.read_text()

    def test_a_run_that_was_broken_off_is_shown_and_not_reported(
        self, limits: Limits, tmp_path: Path
    ) -> None:
        """A section without its commits would say that there are none."""
        begun = Limits(MACHINE, 2, 1, 400, limits.worked)
        assert "redo log" in text(begun)
        json_file.write(begun, tmp_path / "limits.json")
        refused = CliRunner().invoke(command_line.main, ["report", str(tmp_path / "limits.json")])
        assert refused.exit_code == 2


class TestOnServers:
    def test_what_a_backlog_moves(self, bench_servers: Servers) -> None:
        """Each record goes to the database and, by its id, to Redis; nothing is counted twice or left out."""
        scenario = backlogs.SCENARIOS[0]
        load = load_for("upsertd", Generator(backlogs.KIND, 7), scenario, 600)
        done = backlogs.work_off(bench_servers, scenario.name, load, 1)
        record = done.per_event(counters.FROM_KAFKA)
        assert 300 < record < 600
        # Columns without their names, and a mark beside them; ids of 36 characters, asked for and stored.
        assert record / 2 < done.per_event(counters.TO_DATABASE) < record * 4
        assert 2 * 36 < done.per_event(counters.TO_REDIS) < record
        assert done.per_event(counters.LOG) > 0
        assert 3 <= done.moved[counters.COMMITS] <= 60
        assert done.moved[counters.OFFSET_COMMITS] >= 1
        assert done.row_bytes.keys() == {backlogs.MARKS, "customers"}
        assert 36 < done.entry_bytes < 1_000

    def test_connections_commit_until_their_time_is_over(self, bench_servers: Servers) -> None:
        """Each of them, in its own row."""
        limits = Limits(MACHINE, 1, 1, 400)
        list(commits.run(bench_servers, limits, (3,), 0.2))
        [done] = limits.commits
        assert done.connections == 3
        assert done.seconds >= 0.2
        assert done.commits > 0

"""The peers without their servers: halves, rows, settings, ratios, table and picture."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import httpx
import msgspec
import pytest
from click.testing import CliRunner

from benchmarks.load import Generator, Load, Message, change
from benchmarks.machine import Machine
from benchmarks.peers import __main__ as command_line
from benchmarks.peers import picture, report, results
from benchmarks.peers.connect_jars import pom_versions
from benchmarks.peers.debezium import connector_settings, told_settings, trace_of, worker_settings
from benchmarks.peers.measuring import halves
from benchmarks.peers.results import Results, Run, Setup, Stretch
from benchmarks.peers.rows import PAYLOAD, columns, placed, rows_of
from benchmarks.peers.runs import NAMES
from benchmarks.peers.summary import Line, lines
from benchmarks.results import PARTS


@pytest.fixture(scope="module")
def copied() -> Load:
    """85 % copies."""
    return Generator("mix", seed=7).load(2_000, 0.85, others=900)


def _is_new(load: Load, message: Message) -> bool:
    return message.event_id not in {each.event_id for each in load.prepared}


def _run(contender: str, number: int, *cpu_us: float, scenario: str = "customers-0") -> Run:
    """Stretches of 1,000 events, a quarter of the CPU time for each part."""
    stretches = [Stretch(1_000, 0.5, dict.fromkeys(PARTS, each / 4 * 1_000 / 1e6)) for each in cpu_us]
    return Run(scenario, contender, number, 0, stretches)


def _results(*runs: Run) -> Results:
    machine = Machine(
        "2026-11-22T10:15:30+00:00", 2, 25.3, "Linux x86_64", "abc", {"kafka": "4.1.1"}, ["--durable"]
    )
    sizes = {"customers": 427}
    return Results(Setup(machine, 3, 60_000, 50_000, 600, 1, sizes, told_settings({})), list(runs))


@pytest.fixture
def measured() -> Results:
    """Three rounds; upsertd's third was slow, and so was Debezium's."""
    return _results(
        *(_run("upsertd", number, *each) for number, each in enumerate(((40, 20), (30, 30), (60, 60)), 1)),
        *(_run("debezium", number, *each) for number, each in enumerate(((100, 80), (70, 50), (180, 60)), 1)),
        *(_run("load-data", number, each) for number, each in enumerate((15, 18, 24), 1)),
        _run("naive", 1, 5_000),
    )


def _line(measured: Results, contender: str, *, is_warm: bool = False) -> Line:
    [line] = [each for each in lines(measured) if (each.contender, each.is_warm) == (contender, is_warm)]
    return line


class TestHalves:
    """A backlog in two stretches."""

    def test_each_half_ends_with_something_to_be_seen(self, copied: Load) -> None:
        """The last message of every partition is an original, in both."""
        for half in halves(copied.measured, lambda message: _is_new(copied, message)):
            ends = {message.log: message for message in half}
            assert len(ends) == 9
            assert all(_is_new(copied, message) for message in ends.values())

    def test_nothing_is_lost_and_partitions_keep_their_order(self, copied: Load) -> None:
        """Halved or not, a partition has the same records at the same offsets."""
        first, second = halves(copied.measured, lambda message: _is_new(copied, message))
        assert list(_by_log((*first, *second))) == list(_by_log(copied.measured))
        assert abs(len(first) - len(second)) < 300

    def test_unique_events_are_halved_in_the_middle(self) -> None:
        """There every message ends a half."""
        load = Generator("customers", seed=7).load(100, 0)
        assert [len(half) for half in halves(load.measured, lambda _: True)] == [50, 50]


class TestRows:
    """What an event gives, as text."""

    def test_values_are_told_as_the_database_tells_them(self) -> None:
        """Amounts with four digits, times with six and without a zone, JSON as it stands in the event."""
        data = {
            "customer_id": 7,
            "order_number": "O-1",
            "status": "open",
            "currency": "USD",
            "total": msgspec.Raw(b"12.5"),
            "placed_at": "1996-01-02T00:00:00Z",
            "lines": [{"line_no": 1, "product_id": 9, "quantity": 2, "unit_price": msgspec.Raw(b"0.1250")}],
        }
        event = rows_of(change("orders", 5, data, "an-id"))
        told = dict(zip(columns("orders"), event.row, strict=True))
        assert (told["id"], told["total"], told["placed_at"]) == (
            "5",
            "12.5000",
            "1996-01-02 00:00:00.000000",
        )
        assert told["occurred_at"] == "2026-11-21 10:15:30.123000"
        assert event.lines == [("5", "1", "9", "2", "0.1250")]

    def test_json_is_kept_byte_for_byte(self) -> None:
        """Digits that a float would lose among it."""
        text = b'{"b":12345678901234.5678,"a":"\\u00e9"}'
        data = {"status": "x", **dict.fromkeys(("email", "name", "phone"), ""), "address": msgspec.Raw(text)}
        event = rows_of(change("customers", 1, {**data, "attributes": {}}, "an-id"))
        assert dict(zip(columns("customers"), event.row, strict=True))["address"] == text.decode()

    def test_offsets_count_in_each_partition(self, copied: Load) -> None:
        """As the broker gives them to the whole load."""
        whole = (*copied.prepared, *copied.measured)
        for _, log in groupby(
            sorted(placed(whole), key=lambda each: each.message.log), lambda e: e.message.log
        ):
            offsets = [each.offset for each in log]
            assert offsets == list(range(len(offsets)))


class TestSettings:
    """What Debezium is told."""

    def test_the_driver_sends_batches_in_one_packet(self) -> None:
        """Both options, and not the one that breaks them."""
        told = connector_settings("customers", "a-topic", "mysql://upsertd:s%40e@127.0.0.1:3307/a_base", {})
        url, _, options = told["connection.url"].partition("?")
        assert url == "jdbc:mariadb://127.0.0.1:3307/a_base"
        assert set(options.split("&")) == {"useBulkStmts=true", "useServerPrepStmts=true"}
        assert told["connection.password"] == "s@e"

    def test_a_changed_setting_goes_where_it_belongs(self) -> None:
        """The worker's to the worker, all else to the connectors."""
        changed = {"consumer.max.poll.records": "7", "batch.size": "9"}
        connector = connector_settings("orders", "a-topic", "mysql://u:p@127.0.0.1:1/b", changed)
        worker = worker_settings("127.0.0.1:2", 3, Path("offsets"), changed)
        assert (worker["consumer.max.poll.records"], connector["batch.size"]) == ("7", "9")
        assert "batch.size" not in worker
        assert "consumer.max.poll.records" not in connector

    def test_the_converter_knows_every_column_but_the_lines(self) -> None:
        """With its kind."""
        told = connector_settings("orders", "a-topic", "mysql://u:p@127.0.0.1:1/b", {})
        assert told["value.converter.columns"] == (
            "customer_id:integer,order_number:text,status:text,currency:text,total:amount,placed_at:moment"
        )

    @pytest.mark.parametrize(
        ("status", "trace"),
        [
            # Jetty answers before Connect does, and not in JSON.
            pytest.param(httpx.Response(404, text="<html>"), None, id="coming-up"),
            pytest.param(httpx.Response(200, json={"tasks": []}), None, id="no-task-yet"),
            pytest.param(httpx.Response(200, json={"tasks": [{"state": "RUNNING"}]}), None, id="at-work"),
            pytest.param(
                httpx.Response(
                    200, json={"tasks": [{"state": "RUNNING"}, {"state": "FAILED", "trace": "why"}]}
                ),
                "why",
                id="given-up",
            ),
        ],
    )
    def test_a_task_that_has_given_up_is_heard(self, status: httpx.Response, trace: str | None) -> None:
        """And a Connect that is not up yet is waited for."""
        assert trace_of(status) == trace

    def test_results_name_no_address(self) -> None:
        """Settings are published with the figures."""
        assert not [name for name in told_settings({}) if "password" in name or "bootstrap" in name]

    def test_the_versions_are_those_of_the_pom(self) -> None:
        """Each a release of its own."""
        assert set(pom_versions()) == {"connect-runtime", "debezium-connector-jdbc", "mariadb-java-client"}
        assert all(version[0].isdigit() for version in pom_versions().values())


class TestSummary:
    """Ratios round by round."""

    def test_a_ratio_compares_the_same_round(self, measured: Results) -> None:
        """Two, three and two times: not the median of one by the median of the other."""
        ratio = _line(measured, "debezium").cpu_ratio
        assert ratio is not None
        assert (ratio.median, ratio.least, ratio.greatest) == pytest.approx((2, 2, 3))

    def test_the_second_half_is_compared_with_the_second_half(self, measured: Results) -> None:
        """80 by 20, 50 by 30, 60 by 60."""
        ratio = _line(measured, "debezium", is_warm=True).cpu_ratio
        assert ratio is not None
        assert (ratio.least, ratio.greatest) == pytest.approx((1, 4))

    def test_load_data_is_a_share_of_ours(self, measured: Results) -> None:
        """Below 1: the limit takes less."""
        ratio = _line(measured, "load-data").cpu_ratio
        assert ratio is not None
        assert ratio.median == pytest.approx(0.5)

    def test_a_round_that_upsertd_has_not_run_is_left_out(self, measured: Results) -> None:
        """An interrupted run is reported as far as both have come."""
        interrupted = _results(*measured.runs, _run("load-data", 4, 1_000))
        assert lines(interrupted) == lines(measured)

    def test_without_upsertd_there_is_no_ratio(self) -> None:
        """Somebody tunes Debezium alone."""
        assert _line(_results(_run("debezium", 1, 80, 60)), "debezium").cpu_ratio is None


class TestReport:
    """Table, section, picture."""

    def test_a_missed_goal_is_called_missed(self, measured: Results) -> None:
        """And a reached one is not."""
        goals = [row[report.HEAD.index("goal")] for row in report.rows(measured)]
        assert goals == ["≥ 0.6, missed", "", "≥ 2", "≥ 2, missed", ""]

    def test_the_section_says_what_each_does_not_do_and_how_it_was_set(self, measured: Results) -> None:
        """No placeholder is left, and the settings are those of the run."""
        text = "\n".join(report.section(measured))
        assert "$" not in text
        assert "an older version leaves a newer row alone | yes | **no**" in text
        assert "`batch.size=" in text
        assert "60,000" in text

    def test_the_picture_is_always_the_same(self, measured: Results) -> None:
        """A new picture in a commit means new figures; the naive consumer is told in words."""
        svg = picture.draw(measured)
        assert svg == picture.draw(measured)
        ElementTree.fromstring(svg)
        assert "naive: 5,000" in svg

    def test_results_survive_json(self, measured: Results, tmp_path: Path) -> None:
        """The report can be made anew at any time."""
        results.write(measured, tmp_path / "sub" / "peers.json")
        assert results.read(tmp_path / "sub" / "peers.json") == measured

    @pytest.mark.parametrize("name", NAMES)
    def test_everybody_has_a_name_in_the_table(self, name: str) -> None:
        """And a column among the promises."""
        assert name in report.LABELS

    def test_a_foreign_file_is_refused(self, tmp_path: Path) -> None:
        """By its name, not by a traceback."""
        file = tmp_path / "other.json"
        file.write_text("{}")
        done = CliRunner().invoke(command_line.main, ["report", str(file)])
        assert (done.exit_code, "is not what the peers have written" in done.output) == (2, True)


def test_the_rows_know_the_tables_columns() -> None:
    """Every payload column of the service's tables, in their order."""
    from service.entities.registry import ENTITIES

    assert {entity.name: tuple(field.name for field in entity.fields) for entity in ENTITIES.values()} == {
        name: tuple(kinds) for name, kinds in PAYLOAD.items()
    }


def _by_log(messages: tuple[Message, ...]) -> list[Message]:
    return sorted(messages, key=lambda message: message.log)

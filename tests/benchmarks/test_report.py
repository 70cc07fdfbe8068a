"""From measured runs to medians, tables, sections of the docs and the picture."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command_line
from benchmarks import json_file, report, sections
from benchmarks.drain import Scenario
from benchmarks.picture import draw
from benchmarks.results import Results
from benchmarks.runs import Plan
from benchmarks.summary import compare, spread
from benchmarks.table import drain_rows, table
from tests.benchmarks.measured import drain, results

_ROUNDS = [
    *(drain("upsertd", number, cpu_us) for number, cpu_us in ((1, 50), (2, 100), (3, 60))),
    *(drain("naive", number, cpu_us) for number, cpu_us in ((1, 5_000), (2, 5_000), (3, 9_000))),
]


@pytest.fixture
def measured() -> Results:
    return results(*_ROUNDS)


def test_a_spread_is_median_least_and_greatest() -> None:
    """One outlier moves the spread, not the median."""
    assert spread([3, 1, 200]).text() == "3 (1–200)"  # noqa: RUF001 -- a range


def test_the_ratio_is_taken_round_by_round(measured: Results) -> None:
    """Rounds that a slow minute hit are compared with each other: 100, 50 and 150 times."""
    [comparison] = compare(measured)
    ratio = comparison.ratio
    assert ratio is not None
    assert (ratio.median, ratio.least, ratio.greatest) == pytest.approx((100, 50, 150))


def test_rounds_without_the_naive_consumer_do_not_count_for_the_ratio(measured: Results) -> None:
    """It takes part in some; upsertd's own figures are of all of them."""
    alone = [drain("upsertd", 4, 1), drain("upsertd", 4, 1, "customers-85-warm")]
    first, second = compare(results(*measured.drains, *alone))
    assert first.ratio is not None
    assert first.ratio.greatest == pytest.approx(150)
    assert first.upsertd.cpu_us.least == pytest.approx(1)
    assert second.ratio is None


def test_a_scenario_of_upsertd_alone_has_one_row() -> None:
    """And no ratio."""
    rows = list(drain_rows(results(*_ROUNDS, drain("upsertd", 1, 40, "mix-85-cold"))))
    assert [row[:2] for row in rows] == [
        ["customers-0", "upsertd"],
        ["", "naive"],
        ["mix-85-cold", "upsertd"],
    ]
    assert rows[-1][8] == ""


def test_cpu_is_the_sum_of_all_parts(measured: Results) -> None:
    """Microseconds an event: client, database, Redis and broker."""
    [comparison] = compare(measured)
    assert comparison.upsertd.cpu_us.median == pytest.approx(60)
    assert comparison.upsertd.cpu_us_by_part["broker"] == pytest.approx(15)


def test_the_table_has_the_published_figures_beside_ours(measured: Results) -> None:
    """Before, first optimisation, naive, latency, economy."""
    lines = table(measured).splitlines()
    plays = [line.split() for line in lines[-5:]]
    assert plays[0][-4:] == ["300", "9", "50", "ms"]
    assert plays[-1][-9:] == ["600", "ms", "40", "3", "4.2", "ms", "9.9", "ms", "200"]


def test_results_survive_json(measured: Results, tmp_path: Path) -> None:
    """The report can be made anew at any time."""
    json_file.write(measured, tmp_path / "sub" / "benchmark.json")
    assert json_file.read(tmp_path / "sub" / "benchmark.json", Results) == measured


def test_a_section_says_on_what_and_how_much(measured: Results) -> None:
    """Commit, versions, options, sizes."""
    section = " ".join(report.throughput(measured))
    for said in (
        "2 cores, 8 GB",
        "commit 0123456789",
        "3 rounds of 60,000 events",
        "python 3.11.2",
        "--durable",
    ):
        assert said in section


def test_the_readme_shows_four_scenarios() -> None:
    """Those that have a name there, with the naive consumer where it ran."""
    cold = drain("upsertd", 1, 50, "customers-85-cold")
    [*_, first, second] = report.costs(results(*_ROUNDS, cold, drain("upsertd", 1, 40, "mix-30-warm")))
    assert first == "| unique customers | 60 µs (50–100) | 2,000 | 100 (50–150) times as much |"  # noqa: RUF001
    assert second == "| 85 % duplicates, Redis was emptied | 50 µs (50–50) | 2,000 |  |"  # noqa: RUF001


def test_the_picture_is_small_and_always_the_same(measured: Results) -> None:
    """A new picture in a commit means new figures."""
    picture = draw(measured)
    assert draw(measured) == picture
    assert len(picture) < 60_000
    assert ElementTree.fromstring(picture).tag.endswith("svg")


def test_the_picture_shows_warm_caches_only() -> None:
    """Cold ones are in the table."""
    cold = [drain(name, 1, 50, "customers-85-cold") for name in ("upsertd", "naive")]
    assert "85 %" not in draw(results(*_ROUNDS, *cold))


def test_results_without_drains_leave_the_rest_of_the_page(docs: Path) -> None:
    """`--only reference` can be reported too."""
    assert list(report.write(results())) == [docs / "performance.md"]
    assert "600 ms" in (docs / "performance.md").read_text()
    assert not (docs / "images").exists()


def test_a_report_goes_to_page_picture_and_readme(docs: Path, measured: Results) -> None:
    """Between its marks; what is written by hand stays."""
    written = {file.relative_to(docs).as_posix() for file in report.write(measured)}
    assert written == {"images/throughput.svg", "performance.md", "README.md"}
    page = (docs / "performance.md").read_text()
    assert page.startswith("by hand\n\n<!-- throughput")
    assert "60 (50–100)" in page  # noqa: RUF001 -- a range


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a page and a README that have the sections' marks and nothing between them."""
    for name, held in (("performance.md", ("throughput", "reference")), ("README.md", ("costs",))):
        marks = [(sections.begin_mark(each, report.COMMAND), sections.end_mark(each)) for each in held]
        (tmp_path / name).write_text("\n\n".join(["by hand", *("\n".join(each) for each in marks)]))
    monkeypatch.setattr(sections, "PAGE", tmp_path / "performance.md")
    monkeypatch.setattr(sections, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    return tmp_path


@pytest.mark.parametrize("module", command_line.BENCHMARKS)
def test_help_lists_benchmarks_that_are_there(module: str) -> None:
    """Each can be run as a module."""
    assert find_spec(f"{module}.__main__") is not None
    assert module in CliRunner().invoke(command_line.main, ["--help"]).output


def test_help_has_examples() -> None:
    """As every command of ours."""
    shown = CliRunner().invoke(command_line.main, ["--help"])
    assert shown.exit_code == 0
    assert "python -m benchmarks --quick" in shown.output


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    """A line that says so, no traceback."""
    (tmp_path / "other.json").write_text('{"setup": 1}')
    refused = CliRunner().invoke(command_line.main, ["report", str(tmp_path / "other.json")])
    assert refused.exit_code == 2


def test_the_naive_consumer_takes_part_in_some_rounds_with_warm_caches() -> None:
    """By turns; upsertd runs always."""
    plan = Plan(
        rounds=3, naive_rounds=2, events=1, naive_events=1, paced_seconds=1, economy_linger_ms=1, seed=1
    )
    warm, cold = Scenario("mix", 85), Scenario("mix", 85, cold=True)
    turns = [plan.turns(warm, number) for number in (1, 2, 3)]
    assert turns == [["upsertd", "naive"], ["naive", "upsertd"], ["upsertd"]]
    assert plan.turns(cold, 1) == ["upsertd"]


def test_only_must_leave_something() -> None:
    """A misspelt scenario is wrong usage, before any server is started."""
    refused = CliRunner().invoke(command_line.main, ["--only", "costumers"])
    assert refused.exit_code == 2

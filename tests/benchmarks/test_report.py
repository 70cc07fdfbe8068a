"""From measured runs to medians, tables, the page and the picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command_line
from benchmarks.page import text, write
from benchmarks.picture import draw
from benchmarks.results import Results, read
from benchmarks.results import write as write_json
from benchmarks.summary import compare, spread
from benchmarks.table import table
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
    assert (ratio.median, ratio.least, ratio.greatest) == pytest.approx((100, 50, 150))


def test_an_interrupted_round_does_not_count_for_the_ratio(measured: Results) -> None:
    """What one of the two has not run yet is left out: a report of what is there."""
    started = [drain("upsertd", 4, 1), drain("upsertd", 4, 1, "customers-85-warm")]
    [comparison] = compare(results(*measured.drains, *started))
    assert comparison.scenario == "customers-0"
    assert comparison.ratio.greatest == pytest.approx(150)


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
    write_json(measured, tmp_path / "sub" / "benchmark.json")
    assert read(tmp_path / "sub" / "benchmark.json") == measured


def test_the_page_says_on_what_and_how_much(measured: Results) -> None:
    """Versions, options, sizes; no placeholder is left."""
    page = text(measured)
    assert "2 cores, 8 GB" in page
    assert "60,000 events" in page
    assert "python 3.11.2" in page
    assert "$" not in page


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


def test_results_without_drains_have_a_page_and_no_picture(tmp_path: Path) -> None:
    """`--only reference` can be reported too."""
    assert [file.name for file in write(results(), tmp_path)] == ["benchmark.md"]


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


def test_only_must_leave_something() -> None:
    """A misspelt scenario is wrong usage, before any server is started."""
    refused = CliRunner().invoke(command_line.main, ["--only", "costumers"])
    assert refused.exit_code == 2

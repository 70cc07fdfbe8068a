"""Flat or not: what a leak looks like, and what does not look like one."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner

from benchmarks.soak.__main__ import main
from benchmarks.soak.picture import draw
from benchmarks.soak.report import HEAD, lines, rows
from benchmarks.soak.results import Sample, Soak, read, write
from benchmarks.soak.verdict import Point, findings, slope
from tests.benchmarks.measured import MACHINE

_CALM = Sample(0, 80, 4, 20, 3, 5, 300, 20)


def _samples(number: int = 120, **values: Callable[[int], float]) -> list[Sample]:
    """Samples every five seconds, calm but for the values that are given by number."""
    return [
        msgspec.structs.replace(
            _CALM, at_seconds=5.0 * at, **{name: value(at) for name, value in values.items()}
        )
        for at in range(number)
    ]


def _grows(samples: list[Sample]) -> set[str]:
    return {finding.series.name for finding in findings(samples) if finding.grows}


def _noise(size: float) -> Callable[[int], float]:
    draw = random.Random(3)
    return lambda _at: draw.gauss(0, size)


def test_a_calm_service_is_flat() -> None:
    """Every series has its word."""
    assert {finding.verdict for finding in findings(_samples())} == {"flat"}


def test_a_slow_leak_under_noise_is_found() -> None:
    """Half a megabyte a minute, in noise that is four times what a sample grows by."""
    noise = _noise(0.2)
    assert _grows(_samples(memory_mb=lambda at: 80 + at / 24 + noise(at))) == {"memory"}


def test_noise_alone_does_not_grow() -> None:
    """What goes up and down by chance has an interval on both sides of zero."""
    noise = _noise(2)
    assert not _grows(_samples(memory_mb=lambda at: 80 + noise(at), delay_p99_ms=lambda at: 40 + noise(at)))


def test_what_may_as_well_fall_is_flat() -> None:
    """Memory in a saw's teeth that happens to end high: its slope is up, and its interval goes below zero."""
    samples = _samples(memory_mb=lambda at: 80 + (at + 5) % 42)
    memory = findings(samples)[0]
    assert memory.slope is not None
    assert memory.slope.middle * memory.seconds > 2
    assert memory.slope.low < 0
    assert not memory.grows


def test_what_grows_by_next_to_nothing_is_flat() -> None:
    """A steady 0.2 MB in ten minutes is no leak that anybody would look for; its slope is told."""
    samples = _samples(memory_mb=lambda at: 80 + at / 600)
    assert not _grows(samples)
    memory = findings(samples)[0].slope
    assert memory is not None
    assert memory.middle == pytest.approx(1 / 3000)


def test_a_warm_up_is_no_leak() -> None:
    """What fills up in the first quarter and stays is left out."""
    assert not _grows(_samples(memory_mb=lambda at: min(80 + at, 108)))


def test_connections_that_pile_up_grow_and_one_more_for_a_while_does_not() -> None:
    """A pool of five may use four or five."""
    assert _grows(_samples(connections=lambda at: 4 + at // 20)) == {"connections"}
    assert not _grows(_samples(connections=lambda at: 5 if 60 < at < 80 else 4))


def test_lag_that_falls_behind_grows() -> None:
    """One event in five is not worked off."""
    assert _grows(_samples(lag=lambda at: at * 5)) == {"lag"}


def test_one_outlier_moves_no_slope() -> None:
    """Medians of pairs: a single wild value counts once."""
    calm = slope([Point(at, at * 2.0) for at in range(20)])
    wild = slope([Point(at, 1e6 if at == 10 else at * 2.0) for at in range(20)])
    assert calm is not None
    assert wild is not None
    assert calm.middle == wild.middle == 2


def test_too_few_samples_say_nothing() -> None:
    """Instead of a verdict."""
    assert {finding.verdict for finding in findings(_samples(9))} == {"too short to say"}
    assert findings([])


@pytest.fixture
def soak() -> Soak:
    sent = {"original": 69_000, "copy": 30_000, "hostile": 1_000}
    return Soak(MACHINE, 10, 500, 0.3, 0.002, 5, 1, _samples(memory_mb=lambda at: 80 + at / 10), sent)


def test_the_table_and_the_section_have_every_series(soak: Soak) -> None:
    """With growth per hour and the interval beside it."""
    table = rows(findings(soak.samples))
    assert {len(row) for row in table} == {len(HEAD)}
    assert table[0] == ["memory", "87.5 MB", "+72.0 MB", "+72.0 and +72.0", "GROWS"]
    section = " ".join(lines(soak))
    assert "69,000 original" in section
    assert all(row[0] in section for row in table)


def test_results_survive_json(soak: Soak, tmp_path: Path) -> None:
    """The report can be made anew at any time."""
    write(soak, tmp_path / "sub" / "soak.json")
    assert read(tmp_path / "sub" / "soak.json") == soak


def test_the_picture_is_always_the_same(soak: Soak) -> None:
    """A new picture in a commit means new figures; a soak that has hardly begun has one, too."""
    assert draw(soak) == draw(soak)
    soak.samples[:] = soak.samples[:2]
    assert ElementTree.fromstring(draw(soak)).tag.endswith("svg")


def test_help_has_examples() -> None:
    """As with every command of ours."""
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    assert "--minutes 720" in shown.output


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    """A line that says so, no traceback."""
    (tmp_path / "other.json").write_text("[]")
    assert CliRunner().invoke(main, ["report", str(tmp_path / "other.json")]).exit_code == 2

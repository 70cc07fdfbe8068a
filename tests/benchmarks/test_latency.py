"""From what was seen to steps, bursts, tables, pictures and the section."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks.latency.__main__ import main
from benchmarks.latency.bursts import Plan, found
from benchmarks.latency.picture import draw_bursts, draw_rising
from benchmarks.latency.report import lines
from benchmarks.latency.results import Bursts, Delays, Latency, Rising, Step, read, write
from benchmarks.latency.rising import grew
from benchmarks.latency.table import BURSTS_HEAD, RISING_HEAD, bursts_rows, kept_up, rising_rows
from benchmarks.live.playing import Played
from benchmarks.live.sight import Seen
from tests.benchmarks.measured import MACHINE


def _step(number: int, per_second: float, p99_ms: float = 20, *, stopped: bool = False) -> Step:
    return Step(
        round=number,
        per_second=per_second,
        seconds=8,
        events=round(8 * per_second),
        delays=Delays(100, 5, 10, p99_ms, 2 * p99_ms),
        catch_up_seconds=0.1,
        late_ms=1,
        stopped=stopped,
        grew=False,
        cpu_us={"client": 30, "database": 20},
        statements=1_000,
        batches=100,
        looks=100,
    )


@pytest.fixture
def rising() -> Rising:
    """Two rounds: 3,000 is too much in one of them."""
    steps = [
        _step(1, 100),
        _step(1, 3_000),
        _step(1, 9_000, 4_000),
        _step(2, 100, 30),
        _step(2, 3_000, 1_500),
    ]
    return Rising(MACHINE, 2, 1, 0.3, steps)


@pytest.fixture
def bursts() -> Bursts:
    """A quiet event every tenth of a second takes 10 ms, those beside a burst of four wait for it."""
    plan = Plan([4], 1, 10)
    delays = dict.fromkeys(plan.due(), 0.01) | {0.95: 0.06, 1.05: 0.45}
    seen = [Seen(500 + due, delay) for due, delay in delays.items() if due != 1]
    seen += [Seen(501, delay) for delay in (0.1, 0.2, 0.3, 0.5)]
    each = found(plan, Played(500, 24, 0.02), seen)
    return Bursts(MACHINE, 1, 0.3, 10, each.late_ms, each.bursts, each.moments)


class TestSteps:
    """When a rate is too much."""

    def test_delays_are_percentiles_in_milliseconds(self) -> None:
        """Of 64ths of a second up to a hundred."""
        delays = Delays.of(number / 64 for number in range(101))
        assert delays == Delays(101, 50_000 / 64, 90_000 / 64, 99_000 / 64, 100_000 / 64)

    def test_one_event_has_no_percentiles(self) -> None:
        """It says so instead of making some up."""
        assert Delays.of([1.0]) is None

    def test_delays_that_rise_in_step_with_time_grow(self) -> None:
        """A backlog: each event waits longer than the one before."""
        assert grew([Seen(due / 10, due / 20) for due in range(100)])

    def test_delays_that_waver_do_not_grow(self) -> None:
        """A slow moment in the middle, and small ones that double, are none."""
        assert not grew([Seen(due / 10, 2.0 if 40 < due < 60 else 0.01) for due in range(100)])
        assert not grew([Seen(due / 10, 0.002 * due / 10) for due in range(100)])

    @pytest.mark.parametrize(
        ("step", "is_saturated"),
        [
            pytest.param(_step(1, 100), False, id="fast"),
            pytest.param(_step(1, 100, 1_001), True, id="one-in-a-hundred-takes-a-second"),
            pytest.param(_step(1, 100, stopped=True), True, id="given-up"),
        ],
    )
    def test_a_step_is_saturated(self, step: Step, *, is_saturated: bool) -> None:
        """By what was seen, not by the rate."""
        assert step.is_saturated == is_saturated

    def test_a_rate_is_kept_up_with_when_it_is_in_every_round(self, rising: Rising) -> None:
        """3,000 was too much once; a rate that one round has not reached counts as little."""
        assert kept_up(rising) == 100
        rising.steps[:] = [_step(1, 100), _step(2, 100), _step(1, 200)]
        assert kept_up(rising) == 100


class TestBursts:
    """What lies inside, before, beside and after."""

    def test_a_burst_is_due_in_the_middle_of_its_quiet_time(self) -> None:
        """Nothing else is due at that very moment."""
        due = list(Plan([4, 6], 1, 10).due())
        assert len(due) == 2 * 20 + 4 + 6
        assert due == sorted(due)
        assert (due.count(1), due.count(3)) == (4, 6)

    def test_events_are_sorted_by_when_they_were_on_their_way(self, bursts: Bursts) -> None:
        """Beside: due before and not visible yet, or due while the burst is worked off."""
        [burst] = bursts.bursts
        assert burst.catch_up_seconds == pytest.approx(0.5)
        assert burst.originals_per_second == pytest.approx(8)
        around = (burst.before, burst.beside, burst.after)
        assert [each and each.number for each in (burst.inside, *around)] == [4, 9, 6, 5]
        assert [each and round(each.max_ms) for each in (burst.inside, *around)] == [500, 10, 450, 10]

    def test_moments_have_the_worst_of_what_was_due_in_them(self, bursts: Bursts) -> None:
        """A fifth of a second each."""
        worst = {moment.at_seconds: moment.worst_ms for moment in bursts.moments}
        assert worst[0.8] == pytest.approx(60)
        assert worst[1.0] == pytest.approx(500)


class TestPages:
    """Tables, pictures, the section, the command line."""

    def test_rows_fit_their_heads(self, rising: Rising, bursts: Bursts) -> None:
        """One row a rate, with the spread of its rounds, and one a burst."""
        rows = list(rising_rows(rising))
        assert {len(row) for row in rows} == {len(RISING_HEAD)}
        assert [row[0] for row in rows] == ["100", "3,000", "9,000"]
        assert rows[0][3] == "25.0 (20.0–30.0) ms"  # noqa: RUF001 -- a range
        assert [row[-1] for row in rows] == ["", "saturated", "saturated"]
        assert [len(row) for row in bursts_rows(bursts)] == [len(BURSTS_HEAD)]

    def test_results_survive_json(self, rising: Rising, bursts: Bursts, tmp_path: Path) -> None:
        """The report can be made anew at any time."""
        latency = Latency(rising, bursts)
        write(latency, tmp_path / "sub" / "latency.json")
        assert read(tmp_path / "sub" / "latency.json") == latency

    def test_the_section_has_what_was_measured(self, rising: Rising, bursts: Bursts) -> None:
        """One of the two is enough; each names its machine."""
        assert sum("on 2 cores" in line for line in lines(Latency(rising, bursts))) == 2
        assert not any("urst" in line for line in lines(Latency(rising)))

    def test_pictures_are_always_the_same(self, rising: Rising, bursts: Bursts) -> None:
        """A new picture in a commit means new figures."""
        for picture in (draw_rising(rising), draw_bursts(bursts)):
            assert ElementTree.fromstring(picture).tag.endswith("svg")
        assert draw_rising(rising) == draw_rising(rising)
        assert draw_bursts(bursts) == draw_bursts(bursts)

    @pytest.mark.parametrize("command", [[], ["rising"], ["bursts"], ["report"]], ids=" ".join)
    def test_help_is_there(self, command: list[str]) -> None:
        """As with every command of ours."""
        assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0

    def test_a_report_of_something_else_is_refused(self, tmp_path: Path) -> None:
        """A line that says so, no traceback."""
        (tmp_path / "other.json").write_text('{"rising": 1}')
        assert CliRunner().invoke(main, ["report", str(tmp_path / "other.json")]).exit_code == 2

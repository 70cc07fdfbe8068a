"""Two trees by turns: what is taken, what is run, and what the rounds say."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from benchmarks import json_file
from benchmarks.compare import __main__ as command_line
from benchmarks.compare import report, trees
from benchmarks.compare.python import NoPython, Python, python
from benchmarks.compare.ratios import SUM, Pair, pairs, verdict
from benchmarks.compare.results import A, B, Compared, Side
from benchmarks.compare.runs import Runner, run
from benchmarks.compare.trees import NoSuchCommit, Tree, taken, unlike_installed
from benchmarks.drain import Scenario
from benchmarks.results import Drain
from benchmarks.servers import Servers
from tests.benchmarks.measured import MACHINE, drain


def compared(of_a: Sequence[float], of_b: Sequence[float]) -> Compared:
    """A comparison whose rounds took so many microseconds an event."""
    drains: list[Drain] = []
    for number, both in enumerate(zip(of_a, of_b, strict=True), 1):
        drains += [drain(side, number, cpu_us) for side, cpu_us in zip((A, B), both, strict=True)]
    a, b = (
        Side("aaa", "first", {}, []),
        Side("bbb+", "second", {"BATCH_MAX_RECORDS": "9"}, ["redis 1, installed is 8"], "3.99"),
    )
    return Compared(MACHINE, a, b, len(of_a), 1_000, 1, drains)


def whole(given: Compared) -> Pair:
    """All parts together."""
    return next(pair for pair in pairs(given) if pair.measure == SUM)


class TestRatios:
    def test_a_ratio_is_taken_round_by_round(self) -> None:
        """A slow round hits both sides: 0.8, 0.9 and 0.8 whatever the rounds took."""
        pair = whole(compared([100, 1000, 50], [80, 900, 40]))
        assert pair.ratios == pytest.approx([0.8, 0.9, 0.8])
        assert pair.ratio.median == pytest.approx(0.8)

    @pytest.mark.parametrize(
        ("of_b", "word", "said"),
        [
            pytest.param([80, 90], "less", "does not include 1: less in each of 2 rounds", id="less"),
            pytest.param([120, 190], "more", "does not include 1: more in each of 2 rounds", id="more"),
            pytest.param([80, 101], "?", "includes 1: no difference is shown", id="both"),
            pytest.param([99.9, 99.7], "?", "includes 1: no difference is shown", id="hardly"),
        ],
    )
    def test_a_verdict_says_whether_the_spread_includes_1(
        self, of_b: Sequence[float], word: str, said: str
    ) -> None:
        """In words."""
        pair = whole(compared([100, 100], of_b))
        assert pair.word == word
        assert said in verdict(pair)

    def test_one_round_says_nothing(self) -> None:
        """However large the difference is."""
        assert "says nothing" in verdict(whole(compared([100], [50])))

    def test_a_round_that_one_side_has_not_run_is_left_out(self) -> None:
        """An interrupted comparison can be looked at."""
        given = compared([100, 100], [50, 50])
        given.drains.append(drain(A, 3, 1_000))
        assert whole(given).a.greatest == pytest.approx(100)

    def test_a_part_that_took_no_tick_has_no_ratio(self) -> None:
        """Redis in a very short run."""
        given = compared([100], [50])
        given.drains[0] = replace(given.drains[0], cpu_seconds={**given.drains[0].cpu_seconds, "redis": 0.0})
        assert [pair.measure for pair in pairs(given)] == [SUM, "client", "database", "broker"]


class TestReport:
    def test_the_text_has_both_sides_figures_and_verdict(self) -> None:
        """What differs from what is installed is told."""
        text = report.text(compared([100, 100], [80, 90]))
        for said in (
            "A: aaa (first)",
            "BATCH_MAX_RECORDS=9",
            "redis 1, installed is 8",
            "Python 3.99",
            "0.85",
            "less in each",
        ):
            assert said in text

    def test_the_page_is_the_same_with_a_picture(self) -> None:
        """In one file; the same results make the same page."""
        page = report.page(compared([100, 100], [80, 90]))
        assert "<svg" in page
        assert "less in each of 2 rounds" in page
        assert page == report.page(compared([100, 100], [80, 90]))

    def test_a_comparison_that_has_just_begun_can_be_reported(self) -> None:
        """After its first run there is no pair yet."""
        given = compared([100], [80])
        del given.drains[1:]
        assert "aaa" in report.text(given)
        assert "aaa" in report.page(given)

    def test_results_survive_json(self, tmp_path: Path) -> None:
        """All of it."""
        given = compared([100], [80])
        json_file.write(given, tmp_path / "compare.json")
        assert json_file.read(tmp_path / "compare.json", Compared) == given


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, and a change in its working tree."""
    folder = tmp_path / "checkout"
    (folder / "service").mkdir(parents=True)
    (folder / "service" / "code.py").write_text("committed")
    author = ["-c", "user.name=a", "-c", "user.email=a@example.test", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "the first"]):
        subprocess.run(["git", *command], cwd=folder, check=True, timeout=30)
    (folder / "service" / "code.py").write_text("changed")
    monkeypatch.setattr(trees, "_CHECKOUT", folder)
    return folder


class TestTrees:
    def test_a_commit_is_taken_as_it_was_committed(self, checkout: Path) -> None:
        """Into a folder that is gone afterwards."""
        with taken("HEAD") as tree:
            assert (tree.folder / "service" / "code.py").read_text() == "committed"
            assert tree.title == "the first"
            assert tree.folder != checkout
        assert not tree.folder.exists()

    def test_the_working_tree_is_taken_as_it_is_now(self, checkout: Path) -> None:
        """Who edits it later changes nothing that is measured."""
        with taken(None) as tree:
            (checkout / "service" / "code.py").write_text("changed again")
            assert (tree.folder / "service" / "code.py").read_text() == "changed"
            assert tree.label.endswith("+")

    @pytest.mark.usefixtures("checkout")
    def test_a_commit_that_nobody_knows_is_refused(self) -> None:
        """As wrong usage, before any server is started."""
        with pytest.raises(NoSuchCommit), taken("0123456"):
            pass
        assert CliRunner().invoke(command_line.main, ["0123456"]).exit_code == 2

    def test_requirements_that_are_not_installed_are_told(self, tmp_path: Path) -> None:
        """Not those that are, nor those for other systems."""
        (tmp_path / "requirements").mkdir()
        installed = trees._installed("click")
        pins = [
            "msgspec==0.1 \\",
            "    --hash=sha256:1",
            f"click=={installed}",
            "colorama==9 ; sys_platform == 'win32'",
        ]
        twice = ["redis[hiredis]==1 ; python_version < '3.12'", "redis==2 ; python_version >= '3.12'"]
        (tmp_path / "requirements" / "run.txt").write_text("\n".join([*pins, *twice]))
        told = [line.partition(",")[0] for line in unlike_installed(Tree("", "", tmp_path))]
        assert told == ["msgspec 0.1", "redis 1 or 2"]


def test_a_setting_has_a_name_and_a_value() -> None:
    """Anything else is wrong usage."""
    assert CliRunner().invoke(command_line.main, ["HEAD", "--set", "BATCH_MAX_RECORDS"]).exit_code == 2


class TestPython:
    def test_the_one_that_measures_says_nothing_of_itself(self) -> None:
        """The machine's versions have it already."""
        assert python(sys.executable) == Python()

    def test_another_one_says_what_it_is(self, tmp_path: Path) -> None:
        """By its version and build."""
        other = tmp_path / "python"
        other.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        other.chmod(0o755)
        found = python(str(other))
        assert found.program == str(other)
        assert found.says.startswith(platform.python_version())

    @pytest.mark.parametrize("program", ["/bin/false", "/nowhere/python"])
    def test_what_is_none_is_wrong_usage(self, program: str) -> None:
        """Before any server is started."""
        with pytest.raises(NoPython):
            python(program)
        assert CliRunner().invoke(command_line.main, ["HEAD", "--python-b", program]).exit_code == 2


def test_each_side_runs_the_code_of_its_own_tree(bench_servers: Servers) -> None:
    """Turns change with the rounds, and each tree's service leaves a trace that it ran."""
    with taken(None) as one, taken(None) as other:
        for tree in (one, other):
            with (tree.folder / "service" / "__init__.py").open("a") as module:
                module.write("\nfrom pathlib import Path\nPath(__file__).with_name('was_run').touch()\n")
        both = [Runner(name, tree, {}, bench_servers) for name, tree in ((A, one), (B, other))]
        given = Compared(MACHINE, Side("", "", {}, []), Side("", "", {}, []), 1, 300, 1)
        lines = list(run(both, [Scenario("customers", 0)], given))
        assert [(each.round, each.contender) for each in given.drains] == [(1, A), (1, B)]
        assert all((tree.folder / "service" / "was_run").exists() for tree in (one, other))
        assert len(lines) == 2

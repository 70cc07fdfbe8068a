"""Replay storms, hot keys and large records: what the loads are, and what is said of their runs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from benchmarks import json_file, sections
from benchmarks.load import Load, last_ids
from benchmarks.servers import Servers
from benchmarks.shapes import loads, report
from benchmarks.shapes.results import Run, Shape, Shapes
from benchmarks.shapes.runs import run
from benchmarks.shapes.table import rows
from benchmarks.shapes.variants import LARGE_RECORDS, REPLAY_STORM, large_records, replay_storm
from tests.benchmarks.measured import MACHINE, drain


def ids(messages: Load) -> tuple[list[str], list[str]]:
    """Event ids of the prepared and of the measured part."""
    return [each.event_id for each in messages.prepared], [each.event_id for each in messages.measured]


class TestReplayStorm:
    def test_the_whole_topic_comes_once_more_in_its_order(self) -> None:
        """And a new event at the end of each partition, which tells that it is through."""
        load = loads.replayed(7, 500)
        prepared, measured = ids(load)
        assert measured[:500] == prepared
        assert load.copies == 500
        assert sorted(last_ids(load.measured)) == sorted(measured[500:])
        assert not set(measured[500:]) & set(prepared)

    def test_a_reset_finds_all_of_it_in_the_marks(self, bench_servers: Servers) -> None:
        """`upsertd positions reset` begins a new namespace: no hit in the cache, and every event known."""
        reset = replay_storm(7, 300)[-1]
        shape = Shape(MACHINE, 1, 7)
        list(run(bench_servers, REPLAY_STORM, [reset], shape))
        [done] = shape.runs
        assert done.drain.cache_hits == 0
        assert done.drain.copies == 300
        assert done.records == 3


class TestHotKeys:
    def test_the_hottest_comes_as_often_as_zipf_says(self) -> None:
        """Of 1,000 keys with s = 1.5, the first has 39 % and the second 14 %."""
        load = loads.hot_keys(7, 20_000, 1_000, 1.5)
        often = [count for _, count in Counter(each.key for each in load.measured).most_common(2)]
        assert often == pytest.approx([7_810, 2_760], rel=0.1)

    def test_without_an_exponent_all_come_alike(self) -> None:
        """20 times each, more or less."""
        often = Counter(each.key for each in loads.hot_keys(7, 20_000, 1_000, 0).measured)
        assert len(often) == 1_000
        assert max(often.values()) < 50

    def test_versions_of_a_record_rise_by_one(self) -> None:
        """Each event is newer than the one before it, and none is stale."""
        load = loads.hot_keys(7, 500, 20, 1)
        seen: Counter[bytes] = Counter()
        for each in (*load.prepared, *load.measured):
            seen[each.key] += 1
            assert json.loads(each.value)["version"] == seen[each.key]

    def test_the_same_seed_makes_the_same_load(self) -> None:
        """And another one another."""
        assert loads.hot_keys(7, 100, 50, 1) == loads.hot_keys(7, 100, 50, 1)
        assert loads.hot_keys(8, 100, 50, 1) != loads.hot_keys(7, 100, 50, 1)


class TestLargeRecords:
    def test_an_event_is_as_long_as_it_should_be(self) -> None:
        """To the byte, warm-up included; the notes differ."""
        load = loads.large(7, 20, 10_000)
        assert {len(each.value) for each in (*load.prepared, *load.measured)} == {10_000}
        assert loads.records(load) == 20
        notes = {json.loads(each.value)["data"]["attributes"]["notes"] for each in load.measured}
        assert len(notes) == 20

    def test_megabytes_bound_the_number_of_events(self) -> None:
        """Few large ones, and never more than asked for."""
        variants = large_records(7, 1_000, 1, [1_000, 10_000])
        assert [len(each.load.measured) for each in variants] == [1_000, 1_000, 100]


def ran(variant: str, number: int, cpu_us: float) -> Run:
    """A run of 2,000-byte events."""
    return Run(variant, 2_000, 10, replace(drain("upsertd", number, cpu_us), copies=500, cache_hits=250))


@pytest.fixture
def shapes() -> Shapes:
    runs = [ran("first", 1, 40), ran("other", 1, 80), ran("other", 2, 60), ran("first", 2, 60)]
    return Shapes({LARGE_RECORDS: Shape(MACHINE, 2, 1, runs)})


def test_variants_are_compared_with_the_first_round_by_round(shapes: Shapes) -> None:
    """2 and 1 times; 70 µs for 2,000 bytes are 35 for 1,000; half of the copies were hits."""
    first, other = rows(LARGE_RECORDS, shapes.shapes[LARGE_RECORDS])
    assert first[:4] == [LARGE_RECORDS, "first", "2,000", "50.0 (40.0–60.0)"]  # noqa: RUF001 -- a range
    assert other[:4] == ["", "other", "2,000", "70.0 (60.0–80.0)"]  # noqa: RUF001 -- a range
    assert other[8:10] == ["1.50 (1.00–2.00)", "35"]  # noqa: RUF001 -- a range
    assert other[11] == "50%"


def test_results_survive_json(shapes: Shapes, tmp_path: Path) -> None:
    """All of them."""
    json_file.write(shapes, tmp_path / "shapes.json")
    assert json_file.read(tmp_path / "shapes.json", Shapes) == shapes


def test_the_report_goes_to_page_and_picture(
    shapes: Shapes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is the same for the same results."""
    page = tmp_path / "performance.md"
    page.write_text("\n".join([sections.begin_mark("shapes", report.COMMAND), sections.end_mark("shapes")]))
    monkeypatch.setattr(sections, "PAGE", page)
    monkeypatch.setattr(sections, "IMAGES", tmp_path)
    assert list(report.write(shapes)) == [tmp_path / "shapes.svg", page]
    assert "1.50 (1.00–2.00)" in page.read_text()  # noqa: RUF001 -- a range
    picture = (tmp_path / "shapes.svg").read_text()
    list(report.write(shapes))
    assert (tmp_path / "shapes.svg").read_text() == picture

"""`LOAD DATA` on a real server: what it loads is what the events say, and a false column is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.load import Generator, Load, change
from benchmarks.peers import loading
from benchmarks.peers.checking import check_rows
from benchmarks.peers.rows import placed
from benchmarks.probe import Probe
from benchmarks.verify import WrongResult, verify

_TOPICS = {entity: f"{entity}-topic" for entity in ("customers", "products", "orders")}


@pytest.fixture
def probe(migrated_url: str) -> Iterator[Probe]:
    with Probe(migrated_url) as opened:
        yield opened


def _load(url: str, load: Load, folder: Path) -> None:
    messages = placed((*load.prepared, *load.measured))
    loading.load(url, loading.write_batches(folder, _TOPICS, messages))


def test_rows_lines_and_marks_are_loaded(
    migrated_url: str, probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly those of the events, copies among them, whatever number of transactions it takes."""
    monkeypatch.setattr(loading, "EVENTS_PER_TRANSACTION", 100)
    load = Generator("mix", seed=7).load(300, 0.5, others=60)
    _load(migrated_url, load, tmp_path)
    verify(probe, load, None)
    check_rows(probe, load, str)
    assert probe.number("SELECT COUNT(*) FROM processed_events WHERE topic = 'orders-topic'") == 120


def test_values_that_a_file_must_escape(migrated_url: str, probe: Probe, tmp_path: Path) -> None:
    r"""Tabs, line ends, backslashes, a text that reads as NULL."""
    names = ["a\tb\nc\r\\", "\\N", "", '"quoted"', "Zoë 🙂", "\x00"]
    payload = {"phone": "", "status": "x", "address": {"a": "\t\\"}, "attributes": [1]}
    messages = tuple(
        change("customers", number, {**payload, "email": name, "name": name}, f"event-{number}")
        for number, name in enumerate(names)
    )
    load = Load((), messages, 0)
    _load(migrated_url, load, tmp_path)
    check_rows(probe, load, str)
    assert [name for (name,) in probe.select("SELECT name FROM customers ORDER BY id")] == names


@pytest.mark.parametrize(
    "change_of_it",
    [
        pytest.param("phone = CONCAT(phone, ' ')", id="text"),
        pytest.param("attributes = JSON_SET(attributes, '$.balance', 0)", id="json"),
        pytest.param("address = NULL", id="null"),
        pytest.param("version = 2", id="version"),
        pytest.param("occurred_at = occurred_at + INTERVAL 1 MICROSECOND", id="time"),
    ],
)
def test_a_false_column_is_noticed(
    migrated_url: str, probe: Probe, tmp_path: Path, change_of_it: str
) -> None:
    """Of one row among many; its id and mark are right."""
    load = Generator("customers", seed=7).load(50, 0)
    _load(migrated_url, load, tmp_path)
    probe.select(f"UPDATE customers SET {change_of_it} LIMIT 1")
    with pytest.raises(WrongResult, match="customers has 50 rows, not exactly the 50"):
        check_rows(probe, load, str)

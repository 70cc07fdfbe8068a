"""`upsertd replay` without any server: usage, times, what is said on the way and in the end."""

from __future__ import annotations

import json
from datetime import datetime
from typing import cast

import pytest

from service.__main__ import main
from service.commands import replay_planning
from service.commands.ending import DONE, INTERRUPTED, Failed
from service.commands.replay import take
from service.commands.replay_planning import Standing, Wish, find_stretches, milliseconds
from service.commands.replay_telling import Teller
from service.core.errors import OffsetOutOfRange, Unavailable
from service.core.types import GroupOffset, LogRange, Outcome, Partition, StoredPosition
from service.database import Database
from service.pipeline.replay import Replayed
from service.pipeline.stretch import Stretch
from service.settings import KafkaSettings
from service.sources.kafka_admin import KafkaAdmin
from service.sources.kafka_range import KafkaRange

FIRST, SECOND = Partition("orders", 0), Partition("orders", 1)
STRETCHES = (Stretch(FIRST, 1000, 5000, "the end as of now"), Stretch(SECOND, 7, 7, "nothing: the log ends"))
AWAY = Unavailable("SQL error 1290", part="database", code=1290)
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that do not answer."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("DATABASE_URL", "mysql://u:secret@127.0.0.1:1/shop")


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param("--from-offset 0", "--topic", id="no-topic"),
        pytest.param("--topic orders", "--from-time", id="no-beginning"),
        pytest.param(
            "--topic orders --from-offset 0 --from-time 2026-11-21", "--from-offset", id="two-beginnings"
        ),
        pytest.param("--topic orders --from-offset -1", "--from-offset", id="negative"),
        pytest.param("--topic orders --from-time yesterday", "--from-time", id="no-time"),
        pytest.param("--topic orders --from-offset 5 --until soon", "--until", id="no-end"),
        pytest.param("--topic orders --from-offset 5 --until 5", "--until", id="empty-offsets"),
        pytest.param(
            "--topic orders --from-time 2026-11-21 --until 2026-11-20T23:59:59Z", "--until", id="empty-times"
        ),
        pytest.param("--topic orders --from-offset 5 --partition x", "--partition", id="no-partition"),
        pytest.param("--topic ordres --from-offset 5", "customers, products, orders", id="unknown-topic"),
    ],
)
@pytest.mark.usefixtures("settings")
def test_wrong_usage_exits_2_with_one_line(arguments: str, named: str, capsys: Captured) -> None:
    """The line names what is wrong."""
    assert main(["replay", *arguments.split()]) == 2
    assert named in only_line(capsys.readouterr().err)


def test_a_missing_setting_exits_2(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """And is named."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    assert main(["replay", "--topic", "orders", "--from-offset", "0"]) == 2
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in only_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param(datetime(1970, 1, 1, 0, 0, 1), 1000, id="whole"),
        pytest.param(datetime(1970, 1, 1, 0, 0, 0, 1), 1, id="a-microsecond-later"),
        pytest.param(datetime(1969, 12, 31, 23, 59, 59), -1000, id="before-all"),
    ],
)
def test_times_as_kafka_counts_them(moment: datetime, expected: int) -> None:
    """No record before the moment is meant."""
    assert milliseconds(moment) == expected


# ---------------------------------------------------------------- planning


class BusyKafka:
    """A log that grows with each question, and a group that keeps up with it."""

    def __init__(self) -> None:
        self.end = 100

    async def topic_partitions(self, _topic: str) -> tuple[Partition, ...]:
        return (FIRST,)

    async def group_offsets(self, _partitions: object) -> dict[Partition, GroupOffset]:
        self.end += 5
        return {FIRST: GroupOffset(self.end, ours=True)}

    async def positions(self, _database: object, _group_id: str) -> dict[Partition, StoredPosition]:
        self.end += 5
        return {FIRST: StoredPosition(self.end, self.end, "claim", 1, "owner", "namespace", "cluster")}

    async def log_ranges(self, _partitions: object) -> dict[Partition, LogRange]:
        self.end += 5
        return {FIRST: LogRange(0, self.end)}

    async def cluster_id(self) -> str:
        return "cluster"


async def test_a_group_that_goes_on_meanwhile_is_not_halted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its position is read before the log's end: the other way round it might lie beyond it."""
    busy = BusyKafka()
    monkeypatch.setattr(replay_planning, "read_positions", busy.positions)
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    standing = Standing(settings, cast("KafkaAdmin", busy), cast("Database", None))
    (stretch,) = await find_stretches(Wish("orders", None, 0, None), standing, cast("KafkaRange", None))
    assert stretch.end == busy.end


# ---------------------------------------------------------------- telling


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_going_to_be_read_is_said_first(capsys: Captured) -> None:
    """With the end as it was at the start, and why there is nothing to read."""
    Teller(STRETCHES).begins()
    assert capsys.readouterr().err.splitlines() == [
        "upsertd: orders/0: 1000 to 5000, the end as of now",
        "upsertd: orders/1: nothing: the log ends",
    ]


def test_progress_is_told_now_and_then(capsys: Captured) -> None:
    """Not for every transaction; with the place and the outcomes."""
    clock = Clock()
    teller = Teller(STRETCHES, clock=clock)
    for clock.now in (0.5, 9.9, 10.1, 11):
        handled(teller.all[0], applied=1)
        teller.moved(teller.all[0])
    assert capsys.readouterr().err == "upsertd: orders/0 at 1003 of 5000, 3 read, 3 applied\n"


def test_waiting_is_told_with_its_reason(capsys: Captured) -> None:
    """In words that an operator can act on."""
    clock = Clock()
    teller = Teller(STRETCHES, clock=clock)
    clock.now = 60
    teller.waiting(teller.all[0], AWAY)
    assert "waiting: database: the server is read-only" in capsys.readouterr().err


def test_on_a_terminal_the_line_is_written_over(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second; nothing of the line before shows behind a shorter one."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    clock = Clock()
    teller = Teller(STRETCHES, clock=clock)
    clock.now = 2
    teller.waiting(teller.all[0], AWAY)
    long = capsys.readouterr().err
    clock.now = 4
    teller.moved(teller.all[0])
    short = capsys.readouterr().err
    assert long.startswith("\rorders/0 at 1000")
    assert len(short) == len(long)
    assert "waiting" not in short
    teller.ends()
    assert capsys.readouterr().err.startswith("\n")


def test_the_summary_is_a_table(capsys: Captured) -> None:
    """A line for each partition, and one for all."""
    teller = Teller(STRETCHES)
    handled(teller.all[0], applied=3990, stale=4, duplicate=5, dead=1)
    teller.ends()
    shown = capsys.readouterr()
    assert [" ".join(line.split()) for line in shown.out.splitlines()] == [
        "TOPIC PARTITION FROM TO AT READ APPLIED STALE DUPLICATE DEAD PARKED",
        "orders 0 1000 5000 5000 4000 3990 4 5 1 0",
        "orders 1 7 7 7 0 0 0 0 0 0",
        "all 4000 3990 4 5 1 0",
    ]
    assert shown.err == ""


def test_the_summary_as_json(capsys: Captured) -> None:
    """The same, for programs; a dry run says that it was one."""
    teller = Teller(STRETCHES, dry_run=True, as_json=True)
    handled(teller.all[0], applied=10)
    teller.ends()
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    outcomes = {"read": 10, "applied": 10, "stale": 0, "duplicate": 0, "dead": 0, "parked": 0}
    assert summary["partitions"][0] == {
        "partition": 0,
        "from_offset": 1000,
        "to_offset": 5000,
        "next_offset": 1010,
        **outcomes,
    }
    assert summary["total"] == outcomes
    assert (summary["dry_run"], summary["force"], summary["finished"]) == (True, False, False)
    assert "dry run: nothing was written" in shown.err
    assert "not finished: orders/0 at 1010 of 5000" in shown.err


# ---------------------------------------------------------------- endings


class Scripted:
    """A replay that does what a test wants of it."""

    def __init__(self, error: Exception | None = None, *, stops_at: int | None = None) -> None:
        self._error = error
        self._stops_at = stops_at

    async def run(self, replayed: Replayed) -> None:
        if self._error:
            raise self._error
        replayed.position = self._stops_at or replayed.stretch.end

    def stop(self) -> None:
        """Nothing is waited for here."""


async def test_a_finished_replay_exits_0(capsys: Captured) -> None:
    """Every stretch was taken."""
    assert await take(Scripted(), Teller(STRETCHES)) == DONE
    assert "5000" in capsys.readouterr().out


async def test_an_interrupted_replay_exits_130(capsys: Captured) -> None:
    """And says how far it came."""
    assert await take(Scripted(stops_at=1200), Teller(STRETCHES)) == INTERRUPTED
    shown = capsys.readouterr()
    assert "not finished: orders/0 at 1200 of 5000" in shown.err
    assert "1200" in shown.out


async def test_a_replay_that_fails_says_how_far_it_came(capsys: Captured) -> None:
    """The summary stands on stdout whatever happened."""
    with pytest.raises(Unavailable):
        await take(Scripted(AWAY), Teller(STRETCHES))
    assert "APPLIED" in capsys.readouterr().out


async def test_records_that_vanish_are_said_in_plain_words() -> None:
    """With their partition and offset."""
    with pytest.raises(Failed, match="orders/0 has no 1000 any more"):
        await take(Scripted(OffsetOutOfRange("fetch orders/0")), Teller(STRETCHES))


def handled(replayed: Replayed, **outcomes: int) -> None:
    """Count records with these outcomes."""
    replayed.outcomes.update({Outcome(name): number for name, number in outcomes.items()})
    replayed.position += sum(outcomes.values())


def only_line(text: str) -> str:
    """The one line that was written."""
    (line,) = text.splitlines()
    return line

"""`upsertd dead-letters replay` and `discard` on a real MariaDB, as an operator runs them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from service.__main__ import main
from tests.e2e.world import World, connect
from tests.servers import MariaDb, database_of

Captured = pytest.CaptureFixture[str]

GOOD = b'{"event_id": "e-%d", "operation": "update", "entity_id": 7, "version": %d, "data": {"name": "v%d"}}'


@dataclass
class Shop:
    """A migrated database, and what is in it."""

    mariadb: MariaDb
    database: str

    def sql(self, query: str, *parameters: object) -> list[tuple[object, ...]]:
        return list(self.mariadb.execute(query, database=self.database, parameters=parameters))

    def letter(self, offset: int, value: bytes, **columns: object) -> int:
        """Insert a dead letter, of an error that has been cured since; returns its id."""
        row: dict[str, object] = {
            "entity": "customers",
            "topic": "customers",
            "partition_id": 0,
            "record_offset": offset,
            "record_timestamp": 1_700_000_000_000 + offset,
            "record_key": b"7",
            "record_value": value,
            "record_headers": "[]",
            "size": len(value),
            "digest": sha256(value).hexdigest(),
            "cluster_id": "cluster",
            "stage": "apply",
            "error_class": "DataTooLong",
            "error_message": "SQL error 1406 (name)",
            "attempts": 1,
            "status": "dead",
            "first_failed_at": "2026-11-21 10:00:00",
            "last_failed_at": "2026-11-21 10:00:00",
            **columns,
        }
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO dead_letters ({names}) VALUES ({marks})", *row.values())
        ((letter_id,),) = self.sql("SELECT MAX(id) FROM dead_letters")
        assert isinstance(letter_id, int)
        return letter_id

    def update(self, offset: int, **columns: object) -> int:
        """The letter of a good event: version and name count up with the offset."""
        return self.letter(offset, GOOD % (offset, offset, offset), **columns)

    def deadlock(self, table: str) -> None:
        """Let whoever inserts into a table be told that it was a deadlock's victim."""
        self.sql(
            f"CREATE TRIGGER deadlocked BEFORE INSERT ON {table} FOR EACH ROW"
            " SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'Deadlock found'"
        )

    def statuses(self) -> list[object]:
        return [status for (status,) in self.sql("SELECT status FROM dead_letters ORDER BY id")]

    def names(self) -> list[object]:
        return [name for (name,) in self.sql("SELECT name FROM customers")]

    def actions(self) -> list[tuple[object, ...]]:
        return self.sql(
            "SELECT letter_id, action, actor, reason, status FROM dead_letter_actions ORDER BY id"
        )


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.fixture
def shop(mariadb: MariaDb, migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A database that `DATABASE_URL` names."""
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    return Shop(mariadb, database_of(migrated_url))


def upsertd(*arguments: object) -> int:
    return main(["dead-letters", *map(str, arguments)])


def test_a_letter_whose_cause_is_cured_is_applied(shop: Shop, capsys: Captured) -> None:
    """Row, mark, status and the record of who did it and why."""
    letter_id = shop.update(3)
    assert upsertd("replay", letter_id, "--by", "ann", "--reason", "column widened") == 0
    told = capsys.readouterr()
    assert told.out.split()[:2] == [str(letter_id), "replayed"]
    assert told.err == "upsertd: 1 replayed\n"
    assert shop.names() == ["v3"]
    assert shop.statuses() == ["replayed"]
    assert shop.sql("SELECT outcome, record_offset FROM processed_events") == [("applied", 3)]
    assert shop.actions() == [(letter_id, "replay", "ann", "column widened", "replayed")]


def test_all_of_them_in_the_order_in_which_they_failed(shop: Shop, capsys: Captured) -> None:
    """Parked ones too: the newest wins because it comes last, and none is superseded."""
    for offset in range(3):
        shop.update(offset, status="retrying" if offset == 1 else "dead")
    assert upsertd("replay", "--all") == 0
    assert shop.statuses() == ["replayed"] * 3
    assert shop.names() == ["v2"]
    assert capsys.readouterr().err == "upsertd: 3 replayed\n"


def test_what_was_overtaken_is_superseded(shop: Shop) -> None:
    """The newer one was replayed before."""
    older, newer = shop.update(1), shop.update(2)
    assert upsertd("replay", newer) == 0
    assert upsertd("replay", older) == 0
    assert shop.statuses() == ["superseded", "replayed"]
    assert shop.names() == ["v2"]


def test_what_fails_again_stays_dead(shop: Shop, capsys: Captured) -> None:
    """With what is wrong now, and one failure more; a letter that was named makes the exit code 1."""
    letter_id = shop.letter(1, b"garbage")
    assert upsertd("replay", letter_id) == 1
    assert capsys.readouterr().out.split()[1] == "dead"
    rows = shop.sql("SELECT status, attempts, error_class, stage FROM dead_letters")
    assert rows == [("dead", 2, "InvalidJson", "decode")]
    assert [row[-1] for row in shop.actions()] == ["dead"]


@pytest.mark.parametrize(
    ("status", "attempts", "afterwards"),
    [
        pytest.param("retrying", 1, ("retrying", 2, "Deadlock", 300), id="parked"),
        pytest.param("retrying", 3, ("dead", 4, "Deadlock", None), id="no-attempts-left"),
        pytest.param("dead", 1, ("dead", 2, "Deadlock", None), id="dead"),
    ],
)
def test_a_letter_that_fails_for_now(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, status: str, attempts: int, afterwards: tuple[object, ...]
) -> None:
    """A parked one waits for its next attempt, as if the service had tried it; a dead one stays dead."""
    monkeypatch.setenv("RETRY_DELAYS_SECONDS", "10,300")
    shop.deadlock("customers")
    letter_id = shop.update(1, status=status, attempts=attempts)
    assert upsertd("replay", letter_id) == 1
    waits = "TIMESTAMPDIFF(SECOND, last_failed_at, next_attempt_at) DIV 50 * 50"  # without its jitter
    assert shop.sql(f"SELECT status, attempts, error_class, {waits} FROM dead_letters") == [afterwards]
    assert [row[-1] for row in shop.actions()] == [afterwards[0]]


def test_a_letter_that_the_service_is_at_is_waited_for(shop: Shop) -> None:
    """A retry may hold its letter longer than a statement waits for it."""
    letter_id = shop.update(1, status="retrying")
    world = World("", "", shop.mariadb.url(shop.database), {})
    with connect(world) as retrier, retrier.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM dead_letters FOR UPDATE")
        release = threading.Timer(6, retrier.rollback)
        release.start()
        try:
            assert upsertd("discard", letter_id) == 0
        finally:
            release.join()
    assert shop.statuses() == ["discarded"]


def test_a_letter_that_somebody_else_tries_is_not_settled(shop: Shop, capsys: Captured) -> None:
    """Nobody waits for it, but who has named it is told."""
    letter_id = shop.update(1, status="retrying")
    with connect(World("", "", shop.mariadb.url(shop.database), {})) as retrier, retrier.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM dead_letters FOR UPDATE")
        assert upsertd("replay", letter_id) == 1
    assert "being tried" in capsys.readouterr().out
    assert shop.statuses() == ["retrying"]


def test_filters_choose(shop: Shop) -> None:
    """The others stay as they were; what remains dead is no failure of the command."""
    shop.update(1)
    shop.letter(2, b"garbage", error_class="InvalidJson")
    shop.update(3, error_class="OutOfRange")
    assert upsertd("replay", "--error-class", "DataTooLong") == 0
    assert shop.statuses() == ["replayed", "dead", "dead"]
    assert upsertd("replay", "--error-class", "InvalidJson") == 0
    assert shop.statuses() == ["replayed", "dead", "dead"]


def test_a_dry_run_only_tells(shop: Shop, capsys: Captured) -> None:
    """Which letters are meant."""
    ids = [shop.update(offset) for offset in range(2)]
    assert upsertd("replay", "--all", "--dry-run") == 0
    assert [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()] == ids
    assert upsertd("discard", "--all", "--dry-run") == 0
    assert shop.statuses() == ["dead", "dead"]
    assert shop.actions() == []
    assert shop.names() == []


def test_a_corrected_value_is_applied_and_the_original_kept(
    shop: Shop, tmp_path: Path, capsys: Captured
) -> None:
    """Both stand in the letter, and `show` shows them."""
    letter_id = shop.letter(5, b"garbage")
    corrected = tmp_path / "corrected.json"
    corrected.write_bytes(GOOD % (5, 5, 5))
    assert upsertd("replay", letter_id, "--value-file", corrected, "--by", "ann") == 0
    assert shop.names() == ["v5"]
    assert shop.sql("SELECT status, record_value, corrected_value FROM dead_letters") == [
        ("replayed", b"garbage", GOOD % (5, 5, 5))
    ]
    assert [row[1] for row in shop.actions()] == ["correct", "replay"]
    capsys.readouterr()
    assert upsertd("show", letter_id) == 0
    shown = capsys.readouterr().out
    assert "corrected" in shown
    assert "by ann, then replayed" in shown


def test_a_correction_that_is_no_event_is_refused(shop: Shop, tmp_path: Path, capsys: Captured) -> None:
    """It says what is wrong, and keeps nothing."""
    letter_id = shop.letter(5, b"garbage")
    wrong = tmp_path / "wrong.json"
    wrong.write_bytes(b'{"operation": "update", "entity_id": 0}')
    assert upsertd("replay", letter_id, "--value-file", wrong) == 1
    assert "the corrected value is no event: SchemaViolation" in capsys.readouterr().err
    assert shop.sql("SELECT status, corrected_value, attempts FROM dead_letters") == [("dead", None, 1)]


def test_discarded_letters_are_closed_and_may_come_back(shop: Shop) -> None:
    """An operator may change his mind: only by the id."""
    letter_id = shop.update(1)
    assert upsertd("discard", letter_id, "--by", "ann", "--reason", "test data") == 0
    assert shop.statuses() == ["discarded"]
    assert upsertd("replay", "--all") == 0
    assert shop.statuses() == ["discarded"]
    assert upsertd("replay", letter_id) == 0
    assert shop.statuses() == ["replayed"]
    assert [(row[1], row[-1]) for row in shop.actions()] == [("discard", "discarded"), ("replay", "replayed")]


def test_a_closed_letter_is_left_alone(shop: Shop, capsys: Captured) -> None:
    """Nothing is applied twice, and nothing is taken back."""
    letter_id = shop.update(1)
    assert upsertd("replay", letter_id) == 0
    assert upsertd("replay", letter_id) == 0
    assert upsertd("discard", letter_id) == 0
    assert shop.statuses() == ["replayed"]
    assert len(shop.actions()) == 1
    assert shop.sql("SELECT COUNT(*) FROM processed_events") == [(1,)]


def test_an_id_that_is_derived_is_the_record_s_own(shop: Shop) -> None:
    """A redelivery of the record is known by its mark."""
    value = b'{"operation": "update", "entity_id": 7, "data": {"name": "A"}}'
    assert upsertd("replay", shop.letter(9, value)) == 0
    from service.core.types import Partition, Record
    from service.formats.event_ids import derived

    record = Record(Partition("customers", 0), 9, 1_700_000_000_009, b"7", value, (), "cluster")
    assert shop.sql("SELECT event_id FROM processed_events") == [(derived(record),)]


def test_json_tells_what_became_of_each(shop: Shop, capsys: Captured) -> None:
    """A list with every column, the new status and why."""
    shop.update(1)
    shop.letter(2, b"garbage")
    assert upsertd("replay", "--all", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["status"] for each in told] == ["replayed", "dead"]
    assert told[0]["why"] == "applied"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["replay"], id="nothing"),
        pytest.param(["discard"], id="discard-nothing"),
        pytest.param(["replay", "1", "--all"], id="ids-and-all"),
        pytest.param(["replay", "1", "--entity", "orders"], id="ids-and-filter"),
        pytest.param(["replay", "--all", "--value-file", __file__], id="one-value-for-many"),
        pytest.param(["replay", "0"], id="id"),
        pytest.param(["discard", "--all", "--since", "yesterday"], id="time"),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], shop: Shop, capsys: Captured) -> None:
    """With one line, and nothing is touched."""
    shop.update(1)
    assert upsertd(*arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert shop.statuses() == ["dead"]


@pytest.mark.parametrize("command", ["replay", "discard"])
def test_an_unknown_id_exits_1_before_anything_is_done(command: str, shop: Shop, capsys: Captured) -> None:
    """And says which."""
    letter_id = shop.update(1)
    assert upsertd(command, letter_id, 4711) == 1
    assert capsys.readouterr().err == "upsertd: there is no dead letter 4711\n"
    assert shop.statuses() == ["dead"]

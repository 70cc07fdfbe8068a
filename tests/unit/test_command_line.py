"""The command line without any server: usage, exit codes, one line on stderr, what is safe to print."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime

import click
import pytest
from asyncpg.exceptions import InvalidPasswordError
from sqlalchemy.exc import OperationalError

from service.__main__ import COMMANDS, main, upsertd
from service.commands.ending import exit_code
from service.commands.letters_shown import columns_of, line_of, story_of, whole_of
from service.commands.moments import Moment
from service.commands.positions import Seen, Wish, standing
from service.commands.terminal import described, printable, table
from service.commands.words import kafka_explained, plain_words
from service.core.errors import Unavailable
from service.core.types import OPERATOR, GroupOffset, LogRange, Partition, StoredPosition
from service.pipeline.claim import StartPolicy
from service.stores.dead_letters import StoredLetter, WholeLetter
from service.stores.positions import Target, position_after_reset

PATHS = [
    "",
    *COMMANDS,
    "positions reset",
    "dead-letters list",
    "dead-letters show",
]
ORDERS = Partition("orders", 0)
LOG = LogRange(2, 10)
NOON = datetime(2026, 11, 21, 12)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No setting of whoever runs the tests; and the log as it was."""
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    handlers = logging.getLogger().handlers[:]
    yield monkeypatch
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


@pytest.mark.parametrize("path", PATHS)
def test_every_command_has_help_with_examples(path: str, capsys: Captured) -> None:
    """`--help` exits 0 and shows how the command is used."""
    assert main([*path.split(), "--help"]) == 0
    assert "Examples:\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    """The summaries, written down to spare imports, are those of the commands."""
    command = upsertd.get_command(click.Context(upsertd), name)
    assert command is not None
    assert (command.name, command.help) == (name, COMMANDS[name][1])


def test_version(capsys: Captured) -> None:
    """`--version` names the program and its version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("upsertd ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param("", "Missing command", id="no-command"),
        pytest.param("frobnicate", "frobnicate", id="unknown-command"),
        pytest.param("run --frobnicate", "--frobnicate", id="unknown-option"),
        pytest.param("positions --json reset", "--json", id="option-of-another-command"),
        pytest.param("positions reset --partition 0 --to-latest", "--topic", id="missing-option"),
        pytest.param("positions reset --topic t --partition x --to-latest", "--partition", id="no-number"),
        pytest.param("positions reset --topic t --partition 0", "--to-earliest", id="no-target"),
        pytest.param(
            "positions reset --topic t --partition 0 --to-latest --to-offset 0",
            "--to-offset",
            id="two-targets",
        ),
        pytest.param("positions reset --topic t --partition 0 --to-offset -1", "--to-offset", id="negative"),
        pytest.param("dead-letters list --status gone", "--status", id="unknown-status"),
        pytest.param("dead-letters list --since yesterday", "--since", id="no-time"),
        pytest.param("dead-letters list --limit 0", "--limit", id="no-limit"),
        pytest.param("dead-letters show", "ID", id="missing-argument"),
        pytest.param("dead-letters show 1 --json --raw", "--raw", id="exclusive-options"),
    ],
)
def test_wrong_usage_exits_2_with_one_line(arguments: str, named: str, capsys: Captured) -> None:
    """The line names what is wrong; there is no usage block."""
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert named in only_line(shown.err)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param("run", "DATABASE_URL is not set", id="run"),
        pytest.param("check", "KAFKA_BOOTSTRAP_SERVERS is not set", id="check"),
        pytest.param("migrate", "DATABASE_URL is not set", id="migrate"),
        pytest.param("positions", "KAFKA_BOOTSTRAP_SERVERS is not set", id="positions"),
        pytest.param("dead-letters list", "DATABASE_URL is not set", id="dead-letters"),
    ],
)
def test_wrong_settings_exit_2_with_one_line(arguments: str, named: str, capsys: Captured) -> None:
    """The line names the setting."""
    assert main(arguments.split()) == 2
    assert named in only_line(capsys.readouterr().err)


def test_an_unknown_topic_is_wrong_usage(environment: pytest.MonkeyPatch, capsys: Captured) -> None:
    """`reset` moves only what is consumed, and says what that is."""
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    environment.setenv("DATABASE_URL", "mysql://u:secret@127.0.0.1:1/shop")
    assert main(["positions", "reset", "--topic", "ordres", "--partition", "0", "--to-latest"]) == 2
    assert "customers, products, orders" in only_line(capsys.readouterr().err)


@pytest.mark.parametrize("arguments", ["migrate", "dead-letters list", "dead-letters show 1"])
def test_a_database_that_is_away_exits_1_with_one_line(
    arguments: str, environment: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The line says what is away and why, without the password."""
    environment.setenv("DATABASE_URL", "mysql://u:secret@127.0.0.1:1/shop")
    assert main(arguments.split()) == 1
    line = only_line(capsys.readouterr().err)
    assert "connection refused" in line
    assert "secret" not in line


# ---------------------------------------------------------------- endings


def raising(error: BaseException) -> Callable[[], int]:
    """A command that fails."""

    def command() -> int:
        raise error

    return command


def test_an_unexpected_failure_is_one_line_without_its_message(capsys: Captured) -> None:
    """A message may quote values: the class has to do, and a hint."""
    assert exit_code(raising(ValueError("jane@example.org"))) == 1
    line = only_line(capsys.readouterr().err)
    assert "ValueError" in line
    assert "LOG_LEVEL=DEBUG" in line
    assert "jane" not in line


def test_debugging_shows_where_it_failed(environment: pytest.MonkeyPatch, capsys: Captured) -> None:
    """With LOG_LEVEL=DEBUG the frames stand above the line, still without values."""
    environment.setenv("LOG_LEVEL", "debug")
    assert exit_code(raising(ValueError("jane@example.org"))) == 1
    shown = capsys.readouterr().err
    assert "raising.<locals>.command" in shown
    assert "jane" not in shown


def test_a_failure_in_a_task_group_is_told_as_itself(capsys: Captured) -> None:
    """An exception group around one failure adds nothing for an operator."""
    group = ExceptionGroup("tasks", [Unavailable("read-only", part="database")])
    assert exit_code(raising(group)) == 1
    assert only_line(capsys.readouterr().err) == "upsertd: database: read-only"


def test_an_interruption_is_quiet(capsys: Captured) -> None:
    """Ctrl-C ends with what a shell expects, and without a word."""
    assert exit_code(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


def test_a_command_says_how_it_ended() -> None:
    """What a command returns is the exit code; nothing is success."""
    assert (exit_code(lambda: 1), exit_code(lambda: None)) == (1, 0)


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(Unavailable("x", part="database", code=1146), "upsertd migrate", id="no-table"),
        pytest.param(Unavailable("x", part="database", code=1290), "read-only", id="read-only"),
        pytest.param(Unavailable("SQL error 9", part="database", code=9), "SQL error 9", id="unknown-code"),
        pytest.param(
            Unavailable("x", part="database", code="42P01"),
            "a table is missing: run `upsertd migrate` (SQL error 42P01)",
            id="sqlstate",
        ),
        pytest.param(Unavailable("redis: X (WRONGPASS)", part="redis"), "wrong user", id="redis-password"),
        pytest.param(Unavailable("no leader", part="kafka"), "no leader", id="kafka"),
    ],
)
def test_failures_are_told_in_words(error: Unavailable, words: str) -> None:
    """Known codes are explained, unknown ones are named."""
    assert words in plain_words(error)


def test_a_refused_login_is_told_without_the_servers_message() -> None:
    """The code is found in the driver's exception, whose text quotes user and host."""
    error = Unavailable("cannot connect", part="database")
    error.__cause__ = OperationalError("", {}, Exception(1045, "Access denied for 'jane'@'10.0.0.1'"))
    assert plain_words(error).startswith("database: access denied: DATABASE_URL has a wrong user or password")


def test_a_login_that_postgresql_refused_is_told_the_same_way() -> None:
    """Its driver's exception has the code in a field of its own."""
    error = Unavailable("cannot connect", part="database")
    error.__cause__ = OperationalError("", {}, InvalidPasswordError("no password for user jane"))
    assert plain_words(error).startswith("database: access denied: DATABASE_URL has a wrong user or password")


def test_kafka_says_why_no_connection_came_about() -> None:
    """aiokafka only logs it; whoever waited in vain is told."""
    with pytest.raises(Unavailable) as told:
        wait_in_vain()
    assert str(told.value) == "broker:9092: connection refused"


@kafka_explained()
def wait_in_vain() -> None:
    """Do what happens inside aiokafka and `KafkaAdmin` while a broker refuses connections."""
    logging.getLogger("aiokafka.client").error("%s:%s: %s", "broker", 9092, ConnectionRefusedError())
    raise Unavailable("no answer within 5 s", part="kafka") from TimeoutError()


# ---------------------------------------------------------------- positions


def stored(next_offset: int, *, owner: str | None = "a", cluster_id: str = "c") -> StoredPosition:
    """A row of `consumer_positions`."""
    return StoredPosition(next_offset, next_offset, "claim", 3, owner, "space", cluster_id)


def seen(
    row: StoredPosition | None = None,
    group: GroupOffset | None = None,
    log: LogRange | None = LOG,
) -> Seen:
    """What was read of one partition."""
    return Seen(
        [ORDERS],
        {} if group is None else {ORDERS: group},
        {} if row is None else {ORDERS: row},
        {} if log is None else {ORDERS: log},
        "c",
    )


@pytest.mark.parametrize(
    ("what", "lag"),
    [
        pytest.param(seen(stored(7)), 3, id="behind"),
        pytest.param(seen(stored(10)), 0, id="at-the-end"),
        pytest.param(seen(stored(12)), 8, id="beyond-the-end"),
        pytest.param(seen(), 8, id="never-claimed"),
        pytest.param(seen(group=GroupOffset(6, ours=False)), 4, id="never-claimed-and-reset"),
        pytest.param(seen(stored(7), log=None), None, id="no-leader"),
    ],
)
def test_lag_counts_from_where_reading_goes_on(what: Seen, lag: int | None) -> None:
    """From the database's offset, or from where the first claim would start."""
    assert standing(ORDERS, what, StartPolicy()).lag == lag


def test_nothing_is_behind_where_new_partitions_begin_at_the_end() -> None:
    """The policy for new partitions counts."""
    assert standing(ORDERS, seen(), StartPolicy(new_from_latest=True)).lag == 0


@pytest.mark.parametrize(
    ("what", "why"),
    [
        pytest.param(seen(stored(7)), None, id="works"),
        pytest.param(seen(stored(1)), "below the log's beginning", id="trimmed"),
        pytest.param(seen(stored(11)), "beyond the log's end", id="shorter-log"),
        pytest.param(seen(stored(7, cluster_id="d")), "cluster d", id="another-cluster"),
        pytest.param(seen(stored(11), log=None), None, id="no-leader"),
    ],
)
def test_a_partition_is_halted_when_a_claim_would_be(what: Seen, why: str | None) -> None:
    """The reason is that of the claim."""
    halted = standing(ORDERS, what, StartPolicy()).halted
    assert halted is None if why is None else why in str(halted)


@pytest.mark.parametrize(
    ("wish", "target"),
    [
        pytest.param(Wish(ORDERS, None, to_latest=False), 2, id="earliest"),
        pytest.param(Wish(ORDERS, None, to_latest=True), 10, id="latest"),
        pytest.param(Wish(ORDERS, 2, to_latest=False), 2, id="first"),
        pytest.param(Wish(ORDERS, 10, to_latest=False), 10, id="end"),
    ],
)
def test_a_target_within_the_log(wish: Wish, target: int) -> None:
    """Both ends of the log are targets."""
    assert wish.target(LOG) == target


@pytest.mark.parametrize("offset", [1, 11])
def test_a_target_outside_of_the_log_is_refused(offset: int) -> None:
    """A reset would halt the partition otherwise."""
    with pytest.raises(click.BadParameter, match="2 to 10"):
        Wish(ORDERS, offset, to_latest=False).target(LOG)


def test_a_reset_row_begins_anew() -> None:
    """Old fences fail, old entries miss; it is the operator's until the group's offset has followed."""
    before = stored(7, cluster_id="old")
    after = position_after_reset(before, Target(ORDERS, 4, "new"))
    assert (after.next_offset, after.handled_offset, after.epoch) == (4, 4, before.epoch + 1)
    assert (after.owner, after.cluster_id) == (OPERATOR, "new")
    assert after.claim_id != before.claim_id
    assert len(after.claim_id) == 32
    assert after.cache_namespace != before.cache_namespace


# ---------------------------------------------------------------- dead letters


def letter(error_message: str = "not JSON", size_bytes: int = 3) -> StoredLetter:
    """A letter; what a producer or a server could choose is hostile."""
    return StoredLetter(
        id=7,
        status="dead",
        partition=ORDERS,
        offset=42,
        record_timestamp_ms=2**62,
        event_id=b"e\x1b[2J\xff",
        entity="orders",
        entity_id=4711,
        stage="decode",
        error_class="Invalid\nJson",
        error_message=error_message,
        attempts=1,
        size_bytes=size_bytes,
        digest="00",
        cluster_id=None,
        next_attempt_at=None,
        first_failed_at=NOON,
        last_failed_at=NOON,
    )


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        pytest.param("Zoë 東京", "Zoë 東京", id="visible"),
        pytest.param("\x1b[2J\x07", r"\x1b[2J\x07", id="escape-sequence"),
        pytest.param("\x9b31m\x7f", r"\x9b31m\x7f", id="c1-and-delete"),
        pytest.param("a\u202eb\u2028", r"a\u202eb\u2028", id="bidi-and-line-separator"),
        pytest.param("a\r\nb", r"a\r\nb", id="line-ends"),
    ],
)
def test_what_is_printed_cannot_drive_a_terminal(text: str, safe: str) -> None:
    """Everything that is not a visible character is escaped."""
    assert printable(text) == safe


@pytest.mark.parametrize(
    ("content", "kind", "lines"),
    [
        pytest.param(None, "null", [], id="null"),
        pytest.param(b"", "text, 0 bytes", [], id="empty"),
        pytest.param(b"{\n}", "text, 3 bytes", ["{", "}"], id="text"),
        pytest.param(b"\xff", "base64, 1 byte", ["/w=="], id="binary"),
    ],
)
def test_content_says_what_it_is(content: bytes | None, kind: str, lines: list[str]) -> None:
    """Null and empty, text and binary are told apart."""
    assert described(content) == (kind, lines)


def test_a_letter_is_one_safe_line() -> None:
    """The list has neither payload nor line ends nor control characters."""
    line = line_of(letter())
    assert line.isprintable()
    assert line.split() == [
        *["7", "dead", "orders/0@42", "orders/4711", r"Invalid\nJson", "2026-11-21T12:00:00.000000Z"]
    ]


def test_a_record_cannot_forge_a_fact() -> None:
    """What belongs to the record is indented or escaped, so it never looks like a line of ours."""
    forged = b"x\nstatus        replayed"
    lines = list(
        story_of(WholeLetter(letter("bad\nstatus        replayed"), forged, forged, (("h", forged),)))
    )
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if line.startswith("status")] == ["status        dead"]


def test_a_letter_without_its_bytes_says_so() -> None:
    """A record too large to keep is not taken for one with a null value."""
    assert "too large" in list(story_of(WholeLetter(letter(size_bytes=10**9), None, None, ())))[-1]
    assert WholeLetter(letter(size_bytes=0), None, None, ()).kept


def test_json_has_the_bytes_exactly() -> None:
    """As base64 always, as text where they are UTF-8; null stays null; headers in order."""
    whole = whole_of(WholeLetter(letter(), b"\xff", b"{}", (("b", None), ("a", b""), ("b", b"x"))))
    assert whole["record_key"] == {"base64": "/w==", "text": None}
    assert whole["record_value"] == {"base64": "e30=", "text": "{}"}
    assert whole["record_headers"] == [
        {"name": "b", "value": None},
        {"name": "a", "value": {"base64": "", "text": ""}},
        {"name": "b", "value": {"base64": "eA==", "text": "x"}},
    ]


def test_the_json_of_a_list_has_every_column_except_the_bytes() -> None:
    """The names are those of the table."""
    from service.bookkeeping import dead_letters

    columns = {column.name for column in dead_letters.c}
    kept = {"record_key", "record_value", "record_headers", "corrected_value"}
    assert columns_of(letter()).keys() == columns - kept


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-11-21T12:00:00Z", NOON, id="utc"),
        pytest.param("2026-11-21t13:00:00+01:00", NOON, id="offset"),
        pytest.param("2026-11-21 12:00:00", NOON, id="no-zone-is-utc"),
        pytest.param("2026-11-21T12:00:00.1234567Z", NOON.replace(microsecond=123456), id="digits-cut"),
        pytest.param("2026-11-21", datetime(2026, 11, 21), id="date"),
    ],
)
def test_times_are_rfc_3339(text: str, moment: datetime) -> None:
    """A time becomes naive UTC, as the database has it."""
    assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["20261121", "2026-13-01", "0001-01-01T00:00:00+01:00", "now", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Other forms, impossible dates, and what leaves the calendar."""
    with pytest.raises(click.BadParameter):
        Moment().convert(text, None, None)


def test_a_table_is_aligned() -> None:
    """Numbers to the right, texts to the left, nothing at the ends of lines."""
    assert table(("A", "N"), [("bbb", "1"), ("c", "22")], numbers=[1]) == "A     N\nbbb   1\nc    22"


def only_line(text: str) -> str:
    """The text, which must be one line."""
    assert text.count("\n") == 1
    assert text.startswith("upsertd: ")
    return text.strip()

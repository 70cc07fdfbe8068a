"""What is known to hurt, entry by entry, and the tests that make sure that it does not.

`TRAPS` is the written catalogue: what was seen with this stack, or with others like it. `HEAVY` are inputs
that are too large for the corpus: made to cost time or depth. `test_catalogue` walks both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tests.faults.hostile.cases import Case

MEGABYTE = 1_000_000

_DECODER = "tests/unit/test_native_hostile.py"
_MYSQL = "tests/integration/test_mysql_rows.py"
_SINK = "tests/contracts/test_sink.py"
_HERE = "tests/faults/hostile"
_DIFFERENTIAL = f"{_HERE}/test_differential.py::test_the_tables_hold_what_the_records_said"
_FRESH = f"{_HERE}/test_decoder.py::test_fresh_inputs_end_as_the_specification_says"
_HEAVY = f"{_HERE}/test_catalogue.py::test_what_is_heavy_ends_soon"
_LETTERS = f"{_HERE}/test_differential.py::test_a_letter_is_its_record_byte_for_byte"
_NOT_JSON = f"{_DECODER}::test_what_is_not_one_json_object_is_refused"
_HOLES = f"{_DECODER}::test_what_json_columns_must_not_hold_is_refused"
_MEGABYTE = f"{_DECODER}::test_a_megabyte_is_refused_in_no_time"
_IDS = f"{_MYSQL}::test_a_list_of_ids_finds_just_these"
_PACKETS = "tests/integration/test_sql_sink.py::TestPackets"
_QUICK = "tests/unit/test_native_quick.py::test_the_quick_reading_is_the_careful_one"

TRAPS: Mapping[str, tuple[str, ...]] = {
    "a JSON number reaches a decimal through a float": (_FRESH, _DIFFERENTIAL, _QUICK),
    "absent is taken for null, or null for absent": (_FRESH, _DIFFERENTIAL),
    "100,000 levels raise RecursionError": (_NOT_JSON, _HEAVY),
    "the limit of levels counts the caller's frames": (
        f"{_HERE}/test_decoder.py::test_how_deep_is_too_deep_does_not_depend_on_the_caller",
    ),
    "NaN and infinities": (_HOLES, _FRESH),
    "1e999": (_FRESH, _DIFFERENTIAL),
    "NUL, which PostgreSQL refuses": (_HOLES, _DIFFERENTIAL),
    "lone surrogates, escaped or in the bytes": (_HOLES, _NOT_JSON, _FRESH),
    "a 100,000-digit integer is slow to parse": (
        _HEAVY,
        f"{_DECODER}::test_a_megabyte_is_refused_in_no_time",
    ),
    "repeated names: the last counts, in either reading": (_FRESH, _DIFFERENTIAL),
    "UTF-8 with a byte order mark, UTF-16, Latin-1": (_NOT_JSON, _FRESH),
    "both spellings of a name": (_FRESH, _DIFFERENTIAL),
    "a message quotes a value": (_FRESH, f"{_DECODER}::test_no_message_quotes_a_value"),
    "an exception that is nobody's PermanentError": (
        _FRESH,
        f"{_DECODER}::test_random_bytes_raise_nothing_but_permanent_errors",
    ),
    "quotes, backslashes and placeholders in a text of SQL": (
        _DIFFERENTIAL,
        f"{_MYSQL}::test_text_stores_what_binding_stores",
        f"{_MYSQL}::test_the_service_sends_it_as_it_is",
    ),
    "the driver raises TypeError on bytes": (_LETTERS, f"{_SINK}::TestLetters"),
    "SQLite keeps a decimal as a float": (_DIFFERENTIAL,),
    "MariaDB rounds excess decimals in silence": (_FRESH, _DIFFERENTIAL),
    "MariaDB takes 31 levels of JSON": (_FRESH, _DIFFERENTIAL),
    "INSERT IGNORE cuts values": (_DIFFERENTIAL, _LETTERS),
    "PostgreSQL refuses the same key twice in one statement": (
        _DIFFERENTIAL,
        f"{_SINK}::test_in_sql_a_batch_is_its_records_one_by_one",
    ),
    "collations take a for A, and for a with a blank": (
        _DIFFERENTIAL,
        f"{_MYSQL}::test_a_list_of_ids_finds_just_these",
    ),
    "lengths in characters, lengths in bytes": (_FRESH, _DIFFERENTIAL),
    "a cast to CHAR or VARCHAR cuts in silence": (_DIFFERENTIAL,),
    "years before 1000 and behind 9999, 29 February, 24 o'clock": (_FRESH, _DIFFERENTIAL),
    "Kafka's timestamp beyond every column": (_FRESH, _LETTERS),
    "null and empty keys, values and headers": (_LETTERS, f"{_SINK}::TestLetters"),
    "header names that are no UTF-8": (_LETTERS, "tests/integration/test_kafka_source.py"),
    "a record beyond max_allowed_packet looks like an outage": (
        "tests/integration/test_sql_sink.py::TestPackets",
    ),
}


def heavy() -> Mapping[str, tuple[Case, str]]:
    """Inputs made to cost time, by name, with their endings."""
    deep = b"[" * 100_000
    return {
        "100,000 brackets": (_customer(deep), "InvalidJson"),
        "data of 100,000 levels": (_data("x", deep + b"]" * 100_000), "InvalidJson"),
        "a string without end behind many brackets": (
            _customer(b"[" * 300 + b'"' + b'\\"' * 50_000),
            "InvalidJson",
        ),
        "quotes behind many brackets": (_customer(b"[" * 300 + b'"' * MEGABYTE), "InvalidJson"),
        "a million brackets side by side": (
            _data("attributes", b"[" + b"{}," * (MEGABYTE // 3) + b"1]"),
            "event",
        ),
        "a million levels, in a string": (_data("attributes", b'"' + b"[" * MEGABYTE + b'"'), "event"),
        "zeros and a letter for an id": (
            _envelope(b"create", b'"' + b"0" * MEGABYTE + b'x"', b"{}"),
            "SchemaViolation: entity_id is not an id from 1 to 2^63-1",
        ),
        "digits for a key": (
            Case("customers", b"0" * MEGABYTE + b"7", b'{"operation":"delete","entity_id":7}'),
            "event",
        ),
        "a million members of one name": (_data("name", b'"a"' + b',"name":"a"' * (MEGABYTE // 10)), "event"),
        "an exponent of a million digits": (
            _of("products", _data("price", b"1e" + b"9" * MEGABYTE)),
            "SchemaViolation: price has more than 14 digits before the point",
        ),
        "a time with a million digits": (
            _of("orders", _data("placed_at", b'"2026-01-01T00:00:00.' + b"9" * MEGABYTE + b'Z"')),
            "event",
        ),
        "20,000 lines": (
            _of("orders", _data("lines", b"[" + b",".join(map(_line, range(20_000))) + b"]")),
            "event",
        ),
    }


def _of(table: str, case: Case) -> Case:
    return replace(case, table=table)


def _line(number: int) -> bytes:
    return b'{"line_no":%d,"quantity":"1.5"}' % number


def _data(name: str, text: bytes) -> Case:
    return _envelope(b"update", b"7", b'{"%b":%b}' % (name.encode(), text))


def _envelope(operation: bytes, entity_id: bytes, data: bytes) -> Case:
    return _customer(b'{"operation":"%b","entity_id":%b,"data":%b}' % (operation, entity_id, data))


def _customer(value: bytes) -> Case:
    return Case("customers", b"7", value)

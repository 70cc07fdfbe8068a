"""Bytes that were made to break a decoder: each ends in a permanent error, quickly, quoting nothing."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.errors import PermanentError
from service.entities.registry import ENTITIES
from service.formats import native
from tests.e2e import hostile
from tests.unit.native_records import decoded, envelope, record, refused, with_data

GOOD = envelope()
SECRET = "Geheim4711"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"  \n", id="blank"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, id="bom"),
        pytest.param(GOOD.decode().encode("utf-16"), id="utf-16"),
        pytest.param(GOOD * 2, id="two-documents"),
        pytest.param(GOOD[:-1], id="cut-off"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(with_data("address", b"[" * 100_000 + b"]" * 100_000), id="nested-in-data"),
        pytest.param(
            envelope(x=...)[:-1] + b',"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, id="nested-x"
        ),
        pytest.param(with_data("attributes", b'"\xff"'), id="not-utf-8-in-json"),
        pytest.param(with_data("attributes", b'"\xed\xa0\x80"'), id="surrogate-in-utf-8"),
        pytest.param(GOOD[:-1] + b',"x":"\xff"}', id="not-utf-8-in-an-unknown-field"),
        pytest.param(GOOD[:-1] + b',"\xff":1}', id="not-utf-8-in-a-name"),
    ],
)
def test_what_is_not_one_json_object_is_refused(value: bytes) -> None:
    """Wherever in the record the damage is."""
    assert refused(value).error_class == "InvalidJson"


HOLES = [
    pytest.param(r'"\u0000"', id="nul"),
    pytest.param(r'"a\\\u0000b"', id="nul-after-a-backslash"),
    pytest.param(r'"\ud800"', id="high-surrogate"),
    pytest.param(r'"\ud800 and more text"', id="high-surrogate-and-text"),
    pytest.param(r'"\udc00"', id="low-surrogate"),
    pytest.param(r'"\ud800\ud800"', id="two-high-surrogates"),
    pytest.param('"\0"', id="bare-nul"),
    pytest.param("NaN", id="nan"),
    pytest.param("Infinity", id="infinity"),
    pytest.param("-Infinity", id="minus-infinity"),
]


@pytest.mark.parametrize("text", HOLES)
@pytest.mark.parametrize("template", ["%s", '{"a":[%s]}', '{"a":{"b":%s}}'])
def test_what_json_columns_must_not_hold_is_refused(text: str, template: str) -> None:
    """In a value and however deep inside it."""
    assert refused(with_data("attributes", template % text)).error_class == "InvalidJson"


@pytest.mark.parametrize("text", HOLES)
def test_what_text_columns_must_not_hold_is_refused(text: str) -> None:
    """The same in plain columns and in unknown fields."""
    assert refused(with_data("name", text)).error_class == "InvalidJson"
    assert refused(GOOD[:-1] + f',"x":{text}}}'.encode()).error_class == "InvalidJson"


def test_a_name_with_nul_is_refused() -> None:
    """Names inside a JSON column reach the database too."""
    assert refused(with_data("attributes", r'{"a\u0000":1}')).error_class == "InvalidJson"


@pytest.mark.parametrize("text", [r'"\\u0000"', r'"\\\\u0000"', r'"\ud83d\ude00"', r'"\\ud800"', r'"\u00e9"'])
def test_what_only_looks_like_it_is_kept(text: str) -> None:
    """An escaped backslash before `u0000` is text; a pair of surrogates is a character."""
    assert decoded(with_data("attributes", text)).columns == {"attributes": text}
    assert decoded(with_data("name", text)).columns == {"name": json.loads(text)}


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        pytest.param("products", with_data("price", "9" * 1_000_000), id="digits"),
        pytest.param("products", with_data("price", "0." + "1" * 1_000_000), id="decimals"),
        pytest.param("products", with_data("price", "1e999999999"), id="exponent"),
        pytest.param("products", with_data("price", '"' + "1" * 1_000_000 + 'x"'), id="almost-digits"),
        pytest.param("products", with_data("stock_quantity", "9" * 1_000_000), id="integer"),
        pytest.param("orders", with_data("customer_id", '"' + "0" * 1_000_000 + '"'), id="zeros"),
        pytest.param(
            "orders", with_data("placed_at", f'"2026-01-01T00:00:00.{"1" * 1_000_000}x"'), id="time"
        ),
        pytest.param("customers", with_data("name", '"' + "\\\\" * 1_000_000 + r'\u0000"'), id="backslashes"),
        pytest.param("customers", with_data("name", '"' + r"\\u0000" * 200_000 + '"'), id="escapes"),
        pytest.param(
            "customers", envelope(version=...)[:-1] + b',"version":' + b"9" * 1_000_000 + b"}", id="v"
        ),
    ],
)
def test_a_megabyte_is_refused_in_no_time(entity: str, value: bytes) -> None:
    """Nothing takes more than time in proportion: a second would be a hundred times too much."""
    started = time.process_time()
    refused(value, entity)
    assert time.process_time() - started < 1


def test_ten_thousand_names_are_counted() -> None:
    """An object of strangers costs no more than its bytes."""
    data = {f"field{number}": number for number in range(10_000)}
    assert decoded(envelope(data=data)).unknown_fields == 10_000


CATALOGUE = [
    pytest.param(table, breaker, id=f"{singular}: {name}")
    for singular, table in (("customer", "customers"), ("product", "products"), ("order", "orders"))
    for name, breaker in hostile.catalogue(singular)
]


@pytest.mark.parametrize(("table", "breaker"), CATALOGUE)
def test_the_catalogue_of_hostile_records_is_refused(table: str, breaker: hostile.Breaker) -> None:
    """The proof's own list, and no message quotes a value."""
    valid = {"operation": "update", "entity_id": 4711, "event_type": ..., "data": {}}
    document = {name: value for name, value in valid.items() if value is not ...}
    assert hostile.CANARY not in str(refused(breaker(document), table))


@pytest.mark.parametrize(
    "value",
    [
        with_data("name", json.dumps(SECRET * 100)),
        with_data("name", f'["{SECRET}"]'),
        with_data("address", f'{{"{SECRET}": tru}}'),
        with_data("address", f'"{SECRET}\\u0000"'),
        f'{{"{SECRET}'.encode(),
        envelope(operation=SECRET),
        envelope(entity_id=SECRET),
        envelope(version=SECRET),
        envelope(occurred_at=SECRET),
        envelope(event_id="kafka:" + SECRET),
        envelope(event_type=SECRET + ".x"),
    ],
)
def test_no_message_quotes_a_value(value: bytes) -> None:
    """Error messages are logged and stored: they hold no personal data (I9)."""
    error = refused(value)
    assert SECRET not in str(error)
    assert error.__cause__ is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["event_id", "event_type", "operation", "entity_id", "version", "occurred_at", "data", "entityId", "x"]
)
ALMOST = st.fixed_dictionaries(
    {"operation": st.sampled_from(["create", "update", "delete"]) | JSON, "entity_id": st.just(1) | JSON}
)
DATA_NAMES = st.sampled_from(
    sorted({field.name for entity in ENTITIES.values() for field in entity.fields} | {"lines", "line_no"})
)
DATA = st.fixed_dictionaries({"data": st.dictionaries(DATA_NAMES, JSON, max_size=4)})
DOCUMENTS = st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()}, ALMOST, DATA
) | st.builds(
    lambda *parts: {k: v for part in parts for k, v in part.items()}, ALMOST, st.dictionaries(NAMES, JSON)
)


def only_permanent(value: bytes | None, key: bytes | None) -> None:
    for entity in ENTITIES.values():
        with suppress(PermanentError):
            native.decoder(entity)(record(value, key))


@given(value=st.none() | st.binary(max_size=64), key=st.none() | st.binary(max_size=8))
def test_random_bytes_raise_nothing_but_permanent_errors(value: bytes | None, key: bytes | None) -> None:
    """Bytes without any sense."""
    only_permanent(value, key)


@given(document=DOCUMENTS)
def test_random_documents_raise_nothing_but_permanent_errors(document: dict[str, object]) -> None:
    """Documents with the right names and any values under them."""
    only_permanent(json.dumps(document).encode(errors="surrogatepass"), b"1")


@given(position=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_a_flipped_byte_raises_nothing_but_permanent_errors(position: int, byte: int) -> None:
    """A valid record with one byte changed."""
    only_permanent(GOOD[:position] + bytes([byte]) + GOOD[position + 1 :], b"4711")

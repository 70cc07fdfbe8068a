"""Values of payloads and envelopes: exactly what the column holds, or refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from service.entities import values

LIMIT = Decimal("99999999999999.9999")
AMOUNTS = st.decimals(-LIMIT, LIMIT, places=4)
STORABLE = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999))
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def raw(text: str) -> Raw:
    return Raw(text.encode())


def quoted(text: str) -> Raw:
    return raw(json.dumps(text))


@given(amount=AMOUNTS)
def test_every_amount_survives_as_number_and_as_text(amount: Decimal) -> None:
    """All 18 digits: a float keeps 15."""
    assert values.exact_decimal(raw(f"{amount:f}")) == amount
    assert values.exact_decimal(quoted(f"{amount:f}")) == amount


@given(amount=AMOUNTS, zeros=st.integers(0, 40), exponent=st.integers(-30, 30))
def test_another_spelling_of_an_amount_is_the_same_amount(amount: Decimal, zeros: int, exponent: int) -> None:
    """Zeros beyond the fourth decimal and exponents say nothing new."""
    assert values.exact_decimal(raw(f"{amount:f}{'0' * zeros}")) == amount
    assert values.exact_decimal(raw(f"{amount.scaleb(-exponent):f}e{exponent}")) == amount


@example(amount=LIMIT, digit=9, zeros=0)
@given(amount=AMOUNTS, digit=st.integers(1, 9), zeros=st.integers(0, 40))
def test_an_amount_with_more_than_four_decimals_is_refused(amount: Decimal, digit: int, zeros: int) -> None:
    """However small the rest: nothing is rounded."""
    with pytest.raises(values.InvalidValue, match="four decimals"):
        values.exact_decimal(raw(f"{amount:f}{'0' * zeros}{digit}"))


@pytest.mark.parametrize(
    "text", ["100000000000000", "-100000000000000", "1e14", "1e999999999", "1" + "0" * 9999]
)
def test_an_amount_out_of_range_is_refused(text: str) -> None:
    """From the fifteenth digit before the point on."""
    with pytest.raises(values.InvalidValue, match="14 digits"):
        values.exact_decimal(raw(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "Infinity",
        "-inf",
        "sNaN",
        " 1",
        "1 ",
        "1_000",
        "+1",
        "1,5",
        ".5",
        "1.",
        "0x1",
        "\u0661",
        "1e",
    ],
)
def test_text_that_no_json_number_looks_like_is_no_amount(text: str) -> None:
    """Decimal itself would take most of these."""
    with pytest.raises(values.InvalidValue, match="not a decimal number"):
        values.exact_decimal(quoted(text))


@pytest.mark.parametrize("text", ["true", "[1]", '{"a":1}'])
def test_no_other_json_value_is_an_amount(text: str) -> None:
    """Only numbers and strings."""
    with pytest.raises(values.InvalidValue):
        values.exact_decimal(raw(text))


def test_there_is_one_zero() -> None:
    """Minus zero would be another text where decimals are stored as text."""
    assert str(values.exact_decimal(raw("-0.0"))) == "0.0000"


@given(moment=STORABLE, offset=OFFSETS)
def test_a_moment_is_read_from_any_offset(moment: datetime, offset: timezone) -> None:
    """As naive UTC."""
    try:
        text = moment.replace(tzinfo=UTC).astimezone(offset).isoformat()
    except OverflowError:
        return
    assert values.moment(quoted(text)) == moment


@given(
    moment=STORABLE, beyond=st.text("0123456789", max_size=12), zone=st.sampled_from(["", "Z", "z", "-00:00"])
)
def test_digits_beyond_microseconds_are_cut(moment: datetime, beyond: str, zone: str) -> None:
    """Never rounded; without a zone it is UTC."""
    text = moment.isoformat(timespec="microseconds") + beyond + zone
    assert values.moment(quoted(text)) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-02T03:04:05.9999999Z", datetime(2026, 1, 2, 3, 4, 5, 999999), id="cut"),
        pytest.param("2026-01-02T03:04:05.1Z", datetime(2026, 1, 2, 3, 4, 5, 100000), id="one-digit"),
        pytest.param("2026-01-02 03:04:05Z", datetime(2026, 1, 2, 3, 4, 5), id="space"),
        pytest.param("2026-01-02t03:04:05z", datetime(2026, 1, 2, 3, 4, 5), id="small-letters"),
        pytest.param("0999-12-31T23:30:00-01:00", datetime(1000, 1, 1, 0, 30), id="into-range"),
    ],
)
def test_the_spellings_of_rfc_3339_are_read(text: str, expected: datetime) -> None:
    """Sections 5.6 and its notes."""
    assert values.moment(quoted(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-02",
        "2026-01-02T03:04Z",
        "20260102T030405Z",
        "2026-W01-1T00:00:00Z",
        "2026-01-02T03:04:05,5Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+01",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02T03:04:60Z",
        "\u0662\u0660\u0662\u0666-01-02T03:04:05Z",
        " 2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
        "2026-01-02T03:04:05+01:00:30",
    ],
)
def test_nothing_else_is_a_moment(text: str) -> None:
    """Not what Python's parser would take beyond RFC 3339, nor a moment that does not exist."""
    with pytest.raises(values.InvalidValue):
        values.moment(quoted(text))


@pytest.mark.parametrize(
    "text",
    [
        "0999-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_a_moment_that_no_column_holds_is_refused(text: str) -> None:
    """DATETIME is promised for the years 1000 to 9999, in UTC."""
    with pytest.raises(values.InvalidValue, match="stored"):
        values.moment(quoted(text))


def test_text_is_measured_in_characters_and_long_text_in_bytes() -> None:
    """As VARCHAR and TEXT do."""
    assert values.string_up_to(2)(quoted("😀😀")) == "😀😀"
    with pytest.raises(values.InvalidValue, match="2 characters"):
        values.string_up_to(2)(quoted("abc"))
    assert len(values.long_string(quoted("é" * 32767))) == 32767
    with pytest.raises(values.InvalidValue, match="65535 bytes"):
        values.long_string(quoted("é" * 32768))


@pytest.mark.parametrize("text", ["EU", "EURO", "eur", "EU1", "ÄUR", "EUR\\n"])
def test_a_currency_is_three_capital_letters(text: str) -> None:
    """Which of them ISO 4217 knows is not ours to say: the list changes."""
    assert values.currency(raw('"EUR"')) == "EUR"
    with pytest.raises(values.InvalidValue, match="currency"):
        values.currency(raw(f'"{text}"'))


@pytest.mark.parametrize("number", [-(2**31), 0, 2**31 - 1])
def test_an_integer_has_32_bits(number: int) -> None:
    """And no more."""
    assert values.int32(raw(str(number))) == number
    for outside in (number - 2**32, number + 2**32):
        with pytest.raises(values.InvalidValue, match="range of INT"):
            values.int32(raw(str(outside)))


def nested(levels: int) -> str:
    """A JSON text that is nested this deep, with brackets in strings that do not count."""
    return '["\\"[[[{{{", ' * (levels - 1) + '{"]": 1}' + "]" * (levels - 1)


def test_json_is_taken_as_deep_as_the_server_takes_it() -> None:
    """MariaDB refuses the 32nd level, and a batch may hide that from it."""
    assert values.json_text(raw(nested(31))) == nested(31)
    with pytest.raises(values.InvalidValue, match="deeper than 31"):
        values.json_text(raw(nested(32)))

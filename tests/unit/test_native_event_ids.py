"""Event ids: opaque bytes from the producer, or derived so that no two records share one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from service.core.types import Partition, Record
from service.formats import event_ids
from tests.unit.native_records import decoded, envelope, record, refused


@pytest.mark.parametrize("event_id", ["a", " a ", "A", "é", "e" * 255, "é" * 127, "kafka", "Kafka:1"])
def test_an_id_is_kept_byte_for_byte(event_id: str) -> None:
    """No folding, no trimming: UTF-8 as it stands."""
    assert decoded(envelope(event_id=event_id)).event_id == event_id.encode()


@pytest.mark.parametrize(
    "event_id", ["", "e" * 256, "é" * 128, "kafka:", "kafka:" + "0" * 64, 17, True, ["a"]]
)
def test_an_id_that_may_not_be_used_is_refused(event_id: object) -> None:
    """Too short, too long in bytes, of the derived kind, or no string."""
    assert refused(envelope(event_id=event_id)).error_class == "InvalidEventId"


def test_an_id_with_nul_is_refused() -> None:
    """As is every record with a NUL."""
    assert refused(envelope(event_id="a\0b")).error_class == "InvalidJson"


@pytest.mark.parametrize("event_id", [pytest.param(None, id="null"), pytest.param(..., id="missing")])
def test_a_missing_id_is_derived(event_id: object) -> None:
    """Null and missing are the same."""
    event = decoded(envelope(event_id=event_id))
    assert event.event_id == event_ids.derived(event.record)


def test_the_derivation_never_changes() -> None:
    """Marks of years ago hold these ids: a change here would apply every event again."""
    expected = b"kafka:194ca363ba041f0874ae83a205aff82491522a995a28e5540825b2ddb1111c58"
    assert event_ids.derived(record(b"value", b"key")) == expected


BASE = Record(Partition("t", 1), 2, 3, b"k", b"v", cluster_id="c")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(BASE, cluster_id="d"), id="cluster"),
        pytest.param(replace(BASE, partition=Partition("u", 1)), id="topic"),
        pytest.param(replace(BASE, partition=Partition("t", 2)), id="partition"),
        pytest.param(replace(BASE, offset=3), id="offset"),
        pytest.param(replace(BASE, timestamp_ms=4), id="timestamp"),
        pytest.param(replace(BASE, key=b""), id="key"),
        pytest.param(replace(BASE, key=None), id="no-key"),
        pytest.param(replace(BASE, value=b""), id="value"),
        pytest.param(replace(BASE, value=None), id="no-value"),
        pytest.param(replace(BASE, key=b"kv", value=b""), id="moved-border"),
        pytest.param(replace(BASE, key=b"k;1:v", value=b""), id="forged-border"),
        pytest.param(replace(BASE, cluster_id="ct", partition=Partition("", 1)), id="moved-border-of-topic"),
    ],
)
def test_whatever_tells_two_records_apart_is_in_the_derived_id(other: Record) -> None:
    """Null is not empty, and no part can pass for another."""
    assert event_ids.derived(other) != event_ids.derived(BASE)


def test_headers_are_not_in_the_derived_id() -> None:
    """Specification 1 lists what is."""
    assert event_ids.derived(replace(BASE, headers=(("h", b"1"),))) == event_ids.derived(BASE)

"""The load of the benchmark: seeded, copies far from their originals, sharp ends."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks.load import APART, Generator, last_ids, least_distance
from benchmarks.tables import LINES_PER_ORDER


@pytest.fixture(scope="module", params=["customers", "mix"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return Generator(request.param, seed=7)


def test_the_same_seed_makes_the_same_load(generator: Generator) -> None:
    """Two benchmarks with one seed measure the same bytes."""
    again = Generator("mix" if generator.logs > 3 else "customers", seed=7)
    assert generator.load_apart(2_000, 0.3) == again.load_apart(2_000, 0.3)


@pytest.mark.parametrize("share", [0, 0.3, 0.85])
def test_the_share_of_copies_is_exact(generator: Generator, share: float) -> None:
    """Of the measured messages exactly the share are copies, each of another prepared original."""
    load = generator.load_apart(2_000, share)
    prepared = {message.event_id for message in load.prepared}
    copied = Counter(message.event_id for message in load.measured if message.event_id in prepared)
    assert sum(copied.values()) == load.copies == 2_000 * share
    assert len(load.measured) == 2_000
    assert set(copied.values()) <= {1}


def test_a_copy_is_its_original_byte_for_byte(generator: Generator) -> None:
    """The same key, value and partition."""
    load = generator.load_apart(2_000, 0.85)
    originals = {message.event_id: message for message in load.prepared}
    assert all(originals.get(message.event_id, message) == message for message in load.measured)


def test_a_thousand_events_lie_between_original_and_copy(generator: Generator) -> None:
    """Within the partition, whatever the shuffle does."""
    assert least_distance(generator.load_apart(2_000, 0.85)) >= APART
    # Without the messages in between the distance is not kept: the check can fail.
    assert least_distance(generator.load(2_000, 0.85)) < APART


def test_every_partition_ends_with_an_original(generator: Generator) -> None:
    """The last mark of a partition says that it is through: a copy leaves no new mark."""
    load = generator.load_apart(2_000, 0.85)
    prepared = {message.event_id for message in load.prepared}
    ends = last_ids(load.measured)
    assert len(ends) == generator.logs
    assert not prepared.intersection(ends)


def test_every_original_is_another_record() -> None:
    """No two events of a load fold into one row."""
    load = Generator("mix", seed=7).load_apart(3_000, 0.3)
    records = Counter((message.entity, message.key) for message in load.originals)
    assert set(records.values()) == {1}


def test_the_mix_is_a_third_each() -> None:
    """Customers, products and orders by turns."""
    load = Generator("mix", seed=7).load(3_000, 0)
    assert set(Counter(message.entity for message in load.measured).values()) == {1_000}


def test_an_order_has_four_lines() -> None:
    """Exactly four, so that the figures of the mix say what an order costs."""
    load = Generator("mix", seed=7).load(300, 0)
    orders = [json.loads(message.value) for message in load.measured if message.entity == "orders"]
    assert {len(order["data"]["lines"]) for order in orders} == {LINES_PER_ORDER} == {4}

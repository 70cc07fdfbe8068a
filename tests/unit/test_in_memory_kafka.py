"""What the Kafka in memory offers to tests beyond the port's contract."""

from __future__ import annotations

import pytest

from service.core.errors import NotOwner, Unavailable
from service.core.types import Batch, Partition
from service.testing.source import InMemoryKafka, InMemorySource
from tests.contracts.source_worlds import Lanes

FIRST, SECOND = Partition("events", 0), Partition("events", 1)


@pytest.fixture
def kafka() -> InMemoryKafka:
    """One topic with two partitions."""
    return InMemoryKafka({"events": 2})


@pytest.fixture
async def source(kafka: InMemoryKafka) -> InMemorySource:
    """The only member."""
    source = InMemorySource(kafka)
    await source.start(Lanes())
    return source


async def test_a_test_chooses_the_assignment(kafka: InMemoryKafka, source: InMemorySource) -> None:
    """`rebalance` gives to whom the test says, and the old owner hears of the loss."""
    other, lanes = InMemorySource(kafka), Lanes()
    await other.start(lanes)
    await kafka.rebalance({source: [FIRST, SECOND]})
    await source.commit(SECOND, 1)
    assert lanes.owned == ()
    with pytest.raises(NotOwner):
        await other.commit(SECOND, 1)


async def test_an_expelled_member_reads_on_but_commits_nothing(
    kafka: InMemoryKafka, source: InMemorySource
) -> None:
    """As after a SIGSTOP: the member's own view is stale."""
    kafka.append(FIRST, b"a")
    source.seek(FIRST, 0)
    kafka.expel(source)
    assert (await source.fetch(FIRST, 10, 0)).end == 1
    with pytest.raises(NotOwner):
        await source.commit(FIRST, 1)
    assert kafka.commits == []


async def test_injected_failures_come_once_each(kafka: InMemoryKafka, source: InMemorySource) -> None:
    """Failures are raised in order, then the call works."""
    kafka.fail("commit", Unavailable("no answer", part="kafka"))
    with pytest.raises(Unavailable):
        await source.commit(FIRST, 1)
    await source.commit(FIRST, 1)
    assert kafka.commits == [(FIRST, 1)]


async def test_a_broker_that_is_away_answers_nothing(kafka: InMemoryKafka, source: InMemorySource) -> None:
    """Questions fail, fetches find nothing, and afterwards nothing was lost."""
    kafka.append(FIRST, b"a")
    source.seek(FIRST, 0)
    kafka.reachable = False
    assert await source.fetch(FIRST, 10, 0) == Batch((), 0)
    with pytest.raises(Unavailable):
        await source.ping()
    kafka.reachable = True
    assert len((await source.fetch(FIRST, 10, 0)).records) == 1

"""Where the stages are in the service: every name that is wrapped is there, and is still what it was."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
from types import ModuleType

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator

from benchmarks.stages import attach as attaching
from benchmarks.stages.attach import POINTS, NotThere, Point, attach, stage_of_task
from benchmarks.stages.ledger import Ledger
from benchmarks.stages.names import BACKGROUND, KAFKA_CLIENT, LANE, STAGES
from service.monitor import Monitor
from service.pipeline.partition import Lane


class Parts:
    """A part of a service with every sort of method; `worked` is the CPU time that they have taken."""

    worked = 0

    def build(self, number: int) -> Iterator[int]:
        """An iterator that works for each item."""
        for each in range(number):
            Parts.worked += 1
            yield each

    def count(self, *, by: int) -> int:
        """An answer at once."""
        Parts.worked += 1
        return by

    async def ask(self, what: str) -> str:
        """An answer to wait for, with work before and after."""
        Parts.worked += 1
        await asyncio.sleep(0)
        Parts.worked += 1
        return what


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`parts`, which has `Parts` of its own and is gone after the test."""
    module = ModuleType("parts")
    module.Parts = type("Parts", (Parts,), dict(vars(Parts)))  # type: ignore[attr-defined]  # as in a file
    monkeypatch.setitem(sys.modules, "parts", module)
    return module


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("loop", cpu=lambda: Parts.worked)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.place)
def test_the_service_has_every_part(point: Point) -> None:
    """A part that has moved is noticed here, before somebody measures without it."""
    attaching.found(point)
    assert point.stage in STAGES


async def test_a_wrapped_part_answers_as_before(module: ModuleType, ledger: Ledger) -> None:
    """Arguments go in, answers come out; calls are counted, and the work of all their steps."""
    points = tuple(Point(f"parts:Parts.{name}", name) for name in ("build", "count", "ask"))
    attach(ledger, points)
    parts = module.Parts()
    assert list(parts.build(3)) == [0, 1, 2]
    assert parts.count(by=4) == 4
    assert await parts.ask("what") == "what"
    accounts = [ledger.account(point.stage) for point in points]
    assert [(account.calls, account.cpu_ns) for account in accounts] == [(1, 3), (1, 1), (1, 2)]


def test_a_part_that_has_gone_is_named(module: ModuleType, ledger: Ledger) -> None:
    """With the stage that would be missing, and before anything is wrapped."""
    count = module.Parts.count
    with pytest.raises(NotThere, match=r"parts:Parts\.tally.*'metrics'"):
        attach(ledger, (Point("parts:Parts.count", "lane"), Point("parts:Parts.tally", "metrics")))
    assert module.Parts.count is count
    with pytest.raises(NotThere, match="no_parts"):
        attach(ledger, (Point("no_parts:Parts.count", "lane"),))


@pytest.mark.parametrize(
    ("function", "stage"),
    [
        pytest.param(Lane.run, LANE, id="lane"),
        pytest.param(GroupCoordinator._coordination_routine, KAFKA_CLIENT, id="aiokafka"),
        pytest.param(Monitor.run, BACKGROUND, id="monitor"),
    ],
)
def test_a_task_is_known_by_its_module(function: object, stage: str) -> None:
    """Tasks of libraries and of the service itself are told apart without a list of their names."""
    work = function(None)  # type: ignore[operator]
    assert stage_of_task(work) == stage
    work.close()


async def test_what_is_no_coroutine_function_is_nobodys() -> None:
    """A task of something else is in the background."""

    async def items() -> AsyncGenerator[int, None]:
        yield 1

    assert stage_of_task(items().asend(None)) == BACKGROUND

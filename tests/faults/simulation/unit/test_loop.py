"""The loop that the simulation rests on: its clock, its order, and how processes die and freeze on it."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.faults.simulation.loop import Process, SimulatedLoop, Stalled


@pytest.fixture
def loop() -> SimulatedLoop:
    return SimulatedLoop(random.Random(1))


def test_time_jumps_to_the_next_timer(loop: SimulatedLoop) -> None:
    """A sleep of a day costs nothing, and the loop's clock shows it."""

    async def sleep() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    assert loop.run(sleep()) == 86_400


def test_timeouts_work(loop: SimulatedLoop) -> None:
    """`asyncio.timeout` ends a wait that has no end."""

    async def wait() -> str:
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            return "over"
        return "not over"

    assert loop.run(wait()) == "over"


def test_a_killed_process_runs_nothing_any_more(loop: SimulatedLoop) -> None:
    """Between two callbacks it is gone: not even its `finally` blocks are seen by the world."""
    seen: list[str] = []
    process = Process("m1")

    async def live() -> None:
        try:
            seen.append("begun")
            await asyncio.sleep(1)
            seen.append("woken")
        finally:
            if process.alive:
                seen.append("tidied up")

    async def watch() -> None:
        loop.start(process, live(), "live")
        await asyncio.sleep(0.5)
        loop.kill(process)
        await asyncio.sleep(5)

    loop.run(watch())
    assert seen == ["begun"]


def test_a_frozen_process_goes_on_where_it_was(loop: SimulatedLoop) -> None:
    """What came due while it was frozen comes when it wakes, in its order."""
    seen: list[float] = []
    process = Process("m1")

    async def live() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(asyncio.get_running_loop().time())

    async def watch() -> None:
        loop.start(process, live(), "live")
        await asyncio.sleep(1.5)
        loop.freeze(process)
        await asyncio.sleep(8.5)
        loop.wake(process)
        await asyncio.sleep(5)

    loop.run(watch())
    assert seen == [1, 10, 11]


def test_tasks_that_are_left_over_are_named(loop: SimulatedLoop) -> None:
    """A process that forgets a task is found out."""
    process = Process("m1")

    async def live() -> None:
        asyncio.create_task(asyncio.Event().wait(), name="forgotten")  # noqa: RUF006 - that is the point

    async def watch() -> list[str]:
        loop.start(process, live(), "live")
        await asyncio.sleep(1)
        return loop.left_over(process)

    assert loop.run(watch()) == ["forgotten"]


def test_waiting_for_nothing_ends(loop: SimulatedLoop) -> None:
    """When nothing can happen any more, the loop says so instead of hanging."""
    with pytest.raises(Stalled, match="nothing is left"):
        loop.run(asyncio.Event().wait())


def test_running_in_circles_ends() -> None:
    """So it does when there is no end in sight."""

    async def circle() -> None:
        while True:  # noqa: ASYNC110 - this is what is tested
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="no end"):
        SimulatedLoop(random.Random(1), most_steps=1000).run(circle())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_what_comes_at_once_is_the_seeds(seed: int) -> None:
    """Timers of the same moment come in an order that the seed decides, the same one each time."""

    def order() -> list[int]:
        seen: list[int] = []

        async def note(number: int) -> None:
            await asyncio.sleep(1)
            seen.append(number)

        async def all_at_once() -> None:
            await asyncio.gather(*(note(number) for number in range(10)))

        SimulatedLoop(random.Random(seed)).run(all_at_once())
        return seen

    assert order() == order()
    assert sorted(order()) == list(range(10)) != order()

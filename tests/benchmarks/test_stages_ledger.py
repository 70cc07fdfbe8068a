"""The accounts of CPU and waiting time, with clocks that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator

import pytest

from benchmarks.stages.ledger import Account, Ledger


class _Clocks:
    """What this thread has worked, and how late it is, in nanoseconds."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0

    def work(self, nanoseconds: int) -> None:
        """Both pass."""
        self.cpu += nanoseconds
        self.wall += nanoseconds

    async def wait(self, nanoseconds: int) -> None:
        """Only the wall clock passes, while everybody else has a turn."""
        asyncio.get_running_loop().call_soon(self._pass, nanoseconds)
        await asyncio.sleep(0)

    def _pass(self, nanoseconds: int) -> None:
        self.wall += nanoseconds


@pytest.fixture
def clocks() -> _Clocks:
    return _Clocks()


@pytest.fixture
def ledger(clocks: _Clocks) -> Ledger:
    return Ledger("loop", cpu=lambda: clocks.cpu, clock=lambda: clocks.wall)


@pytest.fixture
def outer(ledger: Ledger) -> Account:
    return ledger.account("outer")


@pytest.fixture
def inner(ledger: Ledger) -> Account:
    return ledger.account("inner")


def test_what_an_inner_stage_takes_is_not_the_outer_ones(
    clocks: _Clocks, ledger: Ledger, outer: Account, inner: Account
) -> None:
    """Work before, in and after the inner stage: only the work in it is its own."""
    with ledger.at(outer):
        clocks.work(1)
        with ledger.at(inner):
            clocks.work(20)
        clocks.work(300)
    assert (outer.cpu_ns, inner.cpu_ns) == (301, 20)


def test_a_stage_that_fails_is_over(clocks: _Clocks, ledger: Ledger, outer: Account, inner: Account) -> None:
    """What comes after an error is the outer stage's again."""

    def fail() -> None:
        with ledger.at(inner):
            clocks.work(20)
            raise LookupError

    with ledger.at(outer):
        with pytest.raises(LookupError):
            fail()
        clocks.work(3)
    assert (outer.cpu_ns, inner.cpu_ns) == (3, 20)


def test_items_are_made_at_the_cost_of_their_stage(
    clocks: _Clocks, ledger: Ledger, outer: Account, inner: Account
) -> None:
    """A builder works when it is asked for its next statement, in the middle of another stage."""

    def build() -> Iterator[int]:
        for number in range(2):
            clocks.work(10)
            yield number

    with ledger.at(outer):
        for _ in ledger.through(build(), inner):
            clocks.work(1)
    assert (outer.cpu_ns, inner.cpu_ns) == (2, 20)


async def test_waiting_is_the_innermost_stages(
    clocks: _Clocks, ledger: Ledger, outer: Account, inner: Account
) -> None:
    """The outer stage waits too while the inner one does, but not for anything of its own."""

    async def ask() -> str:
        clocks.work(5)
        await clocks.wait(70)
        clocks.work(5)
        return "answer"

    async def batch() -> str:
        clocks.work(1)
        answer = await ledger.follow(ask(), inner)
        await clocks.wait(900)
        clocks.work(1)
        return answer

    assert await ledger.follow(batch(), outer) == "answer"
    assert (inner.cpu_ns, outer.cpu_ns) == (10, 2)
    assert (inner.waited_ns, outer.waited_ns) == (70, 900)


async def test_others_work_while_a_stage_waits(
    clocks: _Clocks, ledger: Ledger, outer: Account, inner: Account
) -> None:
    """What a rival does meanwhile is its own CPU time, and the waiting stage's wait."""

    async def waits() -> None:
        clocks.work(1)
        await asyncio.sleep(0)
        clocks.work(1)

    async def works() -> None:
        clocks.work(40)

    await asyncio.gather(
        asyncio.Task(ledger.follow(waits(), outer)), asyncio.Task(ledger.follow(works(), inner))
    )
    assert (outer.cpu_ns, outer.waited_ns) == (2, 40)
    assert (inner.cpu_ns, inner.waited_ns) == (40, 0)


async def test_nothing_is_lost_between_the_stages(
    clocks: _Clocks, ledger: Ledger, outer: Account, inner: Account
) -> None:
    """All accounts together are the thread's CPU time, whatever is followed and what is not."""

    async def lane(turns: int) -> None:
        for turn in range(turns):
            clocks.work(3)
            await ledger.follow(clocks.wait(11), inner)
            with ledger.at(inner):
                clocks.work(turn)

    def follow(turns: int) -> Awaitable[None]:
        return asyncio.Task(ledger.follow(lane(turns), outer))

    await asyncio.gather(follow(3), lane(4), follow(5))
    ledger.change(ledger.account("loop"))
    assert sum(account.cpu_ns for account in ledger.accounts.values()) == clocks.cpu


async def test_an_error_reaches_what_is_followed(ledger: Ledger, inner: Account) -> None:
    """A time limit around a stage cuts its wait short, and the stage may clean up."""
    cleaned: list[str] = []

    async def ask() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cleaned.append("up")
            raise

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await ledger.follow(ask(), inner)
    assert cleaned == ["up"]


async def test_a_task_that_never_began_leaves_nothing(ledger: Ledger, inner: Account) -> None:
    """Cancelled before its first step: the coroutine that is followed has been awaited all the same."""
    begun: list[str] = []

    async def ask() -> None:
        begun.append("it")

    task = asyncio.Task(ledger.follow(ask(), inner))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not begun


async def test_who_is_suspended_at_the_beginning_waits_from_then_on(
    clocks: _Clocks, ledger: Ledger, outer: Account
) -> None:
    """A process that was frozen has not waited while it was: it begins anew when it goes on."""
    go_on = asyncio.Event()
    task = asyncio.Task(ledger.follow(_wait_for(go_on), outer))
    await asyncio.sleep(0)
    clocks.wall += 1_000
    ledger.begin()
    clocks.wall += 7
    go_on.set()
    await task
    assert (outer.waited_ns, outer.calls) == (7, 0)


async def _wait_for(event: asyncio.Event) -> None:
    await event.wait()

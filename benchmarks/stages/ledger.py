"""Accounts of CPU and waiting time, by stage, for everything that one thread and its event loop do.

At any moment one stage is at work, and the thread's CPU time since the last change is put to its account;
what an inner stage takes is thereby not the outer one's. A coroutine is followed step by step: while it is
suspended, somebody else is at work, and the time is its innermost stage's waiting. `attach` puts this around
the service's parts; `consumer` says when to begin and writes what came out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")


class Account:
    """What one stage has taken, in nanoseconds; `calls` is how often it was begun."""

    __slots__ = ("calls", "cpu_ns", "name", "waited_ns")

    def __init__(self, name: str) -> None:
        self.name = name
        self.clear()

    def clear(self) -> None:
        """Begin at nothing."""
        self.calls = self.cpu_ns = self.waited_ns = 0


class Ledger:
    """All accounts. `cpu` and `clock` give nanoseconds: of this thread's CPU, of a wall clock.

    What nobody has claimed is put to the account `rest`. `changes` counts how often the stage has changed:
    each change costs one look at the clock.
    """

    def __init__(
        self,
        rest: str,
        cpu: Callable[[], int] = time.thread_time_ns,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._cpu = cpu
        self._clock = clock
        self.accounts: dict[str, Account] = {}
        self._at_work = self.account(rest)
        self._has_waiter = False
        self.begin()

    def account(self, name: str) -> Account:
        """The account of this name, opened when it is asked for the first time."""
        return self.accounts.setdefault(name, Account(name))

    def begin(self) -> None:
        """Forget everything up to now; who is suspended has waited from now on."""
        for account in self.accounts.values():
            account.clear()
        self.changes = 0
        self._since = self._cpu()
        self._begun_at = self._clock()

    @property
    def seconds(self) -> float:
        """How long ago it has begun."""
        return (self._clock() - self._begun_at) / 1e9

    def change(self, account: Account) -> Account:
        """Put the CPU time up to now to whoever was at work, and say who was; `account` is from now on."""
        now = self._cpu()
        before = self._at_work
        before.cpu_ns += now - self._since
        self._since = now
        self._at_work = account
        self.changes += 1
        return before

    @contextmanager
    def at(self, account: Account) -> Iterator[None]:
        """A stage that is one piece of work, without a suspension."""
        account.calls += 1
        before = self.change(account)
        try:
            yield
        finally:
            self.change(before)

    def through(self, items: Iterator[Item], account: Account) -> Iterator[Item]:
        """`items`, each made at the cost of `account`."""
        while True:
            before = self.change(account)
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.change(before)
            yield item

    def follow(self, work: Coroutine[object, object, Result], account: Account) -> Followed[Result]:
        """`work`, whose own steps and waits are put to `account`; to be awaited, or run as a task."""
        account.calls += 1
        return Followed(self, work, account)

    def suspended(self) -> int | None:
        """The time, if whoever asks is the innermost stage that is being suspended; None for those around."""
        if self._has_waiter:
            return None
        self._has_waiter = True
        return self._clock()

    def resumed(self, account: Account, suspended_at: int | None) -> None:
        """A step begins: `account` has waited since it was suspended, if it was the innermost."""
        self._has_waiter = False
        if suspended_at is not None:
            account.waited_ns += self._clock() - max(suspended_at, self._begun_at)


class Followed(Generic[Result], Coroutine[object, object, Result]):
    """A coroutine around a coroutine: each step of it is put to its account.

    No async function of ours, which would leave `work` without an await where a task is cancelled before
    its first step.
    """

    __slots__ = ("__name__", "__qualname__", "_account", "_ledger", "_suspended_at", "_work")

    def __init__(self, ledger: Ledger, work: Coroutine[object, object, Result], account: Account) -> None:
        self._ledger = ledger
        self._work = work
        self._account = account
        self._suspended_at: int | None = None
        # What asyncio shows of a task.
        self.__name__ = getattr(work, "__name__", account.name)
        self.__qualname__ = getattr(work, "__qualname__", account.name)

    def send(self, value: object) -> object:
        """Run the next step."""
        return self._step(self._work.send, value)

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        error: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> object:
        """Run the next step with an error."""
        return self._step(self._work.throw, kind if error is None else error)

    def close(self) -> None:
        """Close what is followed."""
        self._work.close()

    def __await__(self) -> Generator[object, object, Result]:
        # A generator in all that `await` asks of one: it sends, throws and closes.
        return self

    def __iter__(self) -> Followed[Result]:
        return self

    def __next__(self) -> object:
        return self.send(None)

    def _step(self, step: Callable[..., object], value: object) -> object:
        ledger = self._ledger
        ledger.resumed(self._account, self._suspended_at)
        self._suspended_at = None
        before = ledger.change(self._account)
        try:
            yielded = step(value)
            self._suspended_at = ledger.suspended()
        finally:
            ledger.change(before)
        return yielded

"""An event loop without real time: callbacks run one by one, and the clock jumps to the next timer.

`history` makes one for each history. Everything asyncio needs for tasks, timers and timeouts is here and
nothing else: no sockets, no threads, no sleeping. Each callback belongs to the *process* in whose context it
was scheduled. A process that is killed never runs again, not even its `finally` blocks; one that is frozen
runs later, when it wakes, with everything that came due meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar, cast

Result = TypeVar("Result")


class Stalled(Exception):
    """What was waited for has not happened, and nothing is left to run, or no end is in sight."""


class Process:
    """What is killed, frozen and woken as one; `name` is for people."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen = False
        self.held: list[Handle] = []

    def __str__(self) -> str:
        return self.name


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose callbacks are running; None is the world outside: servers, network, operators."""


class Handle:
    """A callback that is to run; what asyncio expects of its own handles."""

    __slots__ = ("_when", "args", "callback", "context", "process")

    def __init__(self, callback: Callable[..., object], args: tuple[object, ...], context: Context | None):
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.process = self.context.get(PROCESS)
        self._when = 0.0

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self._when


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: sets of tasks have the same order in every run."""

    _numbers = count()

    def __init__(self, coro: Any, loop: asyncio.AbstractEventLoop, name: str | None, context: Context | None):
        self._number = next(self._numbers)
        self.process = PROCESS.get() if context is None else context.get(PROCESS)
        super().__init__(coro, loop=loop, name=name, context=context)
        # It ends with its process or its history: nobody is to complain that it did not finish.
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop:
    """Runs callbacks in the order in which they became ready, and timers in the order of their time.

    Between timers of the same moment `rng` decides. `steps` counts callbacks. It is a loop to asyncio, which
    asks for nothing else, though it is no `AbstractEventLoop`, which promises sockets.
    """

    def __init__(self, rng: random.Random, most_steps: int = 10**9) -> None:
        self.steps = 0
        self.stopped = False
        self.complaints: list[str] = []
        self._rng = rng
        self._most_steps = most_steps
        self._now = 0.0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, float, int, Handle]] = []
        self._numbers = count()
        self._tasks: list[_Task] = []
        self._outside = copy_context()

    @property
    def _itself(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)

    # ---------------------------------------------------------------- what asyncio asks of a loop

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = Handle(callback, args, context)
        handle._when = when
        heappush(self._timers, (when, self._rng.random(), next(self._numbers), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._itself)

    def create_task(
        self,
        coro: Generator[Any, None, Result] | Coroutine[Any, Any, Result],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Result]:
        task = _Task(coro, self._itself, name, context)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')} {context.get('exception') or ''}")

    def _timer_handle_cancelled(self, handle: Handle) -> None:
        """asyncio's timers tell their loop; ours are passed over when they come due."""

    def later(self, seconds: float, callback: Callable[..., object], *args: object) -> None:
        """Have the world do something after so long, whichever process asks and whatever becomes of it."""
        self.call_at(self._now + seconds, callback, *args, context=self._outside)

    # ---------------------------------------------------------------- running

    def run(self, main: Coroutine[Any, Any, Result]) -> Result | None:
        """Run `main` to its end, or until `stop`: then None. Raises `Stalled` when nothing can happen."""
        events._set_running_loop(self._itself)
        try:
            task = self.create_task(main)
            while not (self.stopped or task.done()):
                self._step()
            return task.result() if task.done() else None
        finally:
            self._end()
            events._set_running_loop(None)

    def stop(self) -> None:
        """Run no further callback."""
        self.stopped = True

    def _step(self) -> None:
        if self._ready:
            handle = self._ready.popleft()
        elif self._timers:
            when, _, _, handle = heappop(self._timers)
            if handle.callback is None:
                return
            self._now = max(self._now, when)
        else:
            raise Stalled("nothing is left to run")
        if handle.callback is not None and self._may_run(handle):
            self.steps += 1
            if self.steps > self._most_steps:
                raise Stalled(f"no end after {self.steps} steps")
            handle.context.run(handle.callback, *handle.args)

    def _may_run(self, handle: Handle) -> bool:
        process = handle.process
        if process is None:
            return True
        if process.frozen:
            process.held.append(handle)
            return False
        return process.alive

    def _end(self) -> None:
        """Close what has not finished, so that nothing of a history is left for the next one."""
        for task in self._tasks:
            if not task.done():
                task.get_coro().close()

    # ---------------------------------------------------------------- processes

    def start(self, process: Process, work: Coroutine[Any, Any, Result], name: str) -> asyncio.Task[Result]:
        """Run `work` as a task of `process`."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, name=name, context=context)

    def kill(self, process: Process) -> None:
        """End a process between two of its callbacks, for good."""
        process.alive = process.frozen = False
        process.held.clear()

    def freeze(self, process: Process) -> None:
        """Hold all callbacks of a process back until it wakes."""
        process.frozen = True

    def wake(self, process: Process) -> None:
        """Let a frozen process go on."""
        process.frozen = False
        held, process.held = process.held, []
        self._ready.extend(held)

    def left_over(self, process: Process) -> list[str]:
        """The names of the tasks of a process that have not finished."""
        return [task.get_name() for task in self._tasks if task.process is process and not task.done()]

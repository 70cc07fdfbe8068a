"""A service that is up and warm, and a schedule of events that is kept whatever the service does.

Called by the parts that look at a service over time. The load is open: an event is due at its moment, and
its delay begins there, also when a busy machine sends it later. So a service that stands still is not
spared the events that would have come meanwhile.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Event as Flag

from benchmarks.contenders import UPSERTD, Contender, contender, counted_at_end
from benchmarks.drain import wait_until_through
from benchmarks.live.checking import check
from benchmarks.live.sight import Seen, Sight
from benchmarks.live.traffic import ENTITY, Event, Traffic
from benchmarks.probe import QUESTIONS, Probe
from benchmarks.process import cpu_seconds
from benchmarks.producing import Sender
from benchmarks.servers import Servers
from benchmarks.stage import Stage, staged

# When an event is due, in seconds after the beginning.
Schedule = Iterable[tuple[float, Event]]
# Hears of what has become visible, maybe nothing; answers whether to stop sending.
Watch = Callable[[Sequence[Seen]], bool]

_CATCH_UP_SECONDS = 120
# Only one of the two threads, that which sends and that which looks, computes at once: each lets the other
# one in after this time.
_SWITCH_SECONDS = 0.0005
_COLLECTOR = (100_000, 20, 100)


@dataclass(frozen=True, slots=True)
class Used:
    """What was used: CPU seconds by part, statements less our own, the consumer's batches, our looks."""

    cpu_seconds: Mapping[str, float]
    statements: int
    batches: int
    looks: int

    def since(self, before: Used) -> Used:
        """What was used from then to now."""
        return Used(
            {part: seconds - before.cpu_seconds[part] for part, seconds in self.cpu_seconds.items()},
            self.statements - before.statements,
            self.batches - before.batches,
            self.looks - before.looks,
        )


@dataclass(frozen=True, slots=True)
class Played:
    """A schedule that was kept: when it began, what was sent of it, the worst lateness of the sender."""

    begun: float
    events: int
    late_seconds: float


class Live:
    """The service, its traffic, and everything that looks at the two."""

    def __init__(self, stage: Stage, probe: Probe, traffic: Traffic, consumer: Contender) -> None:
        self.probe = probe
        self.traffic = traffic
        self.consumer = consumer
        self._servers = stage.servers
        self.sight = Sight(lambda: _positions(stage, probe))
        self._sender = stage.sender()
        self._records = 0

    def warm_up(self) -> None:
        """Let the consumer make every record once."""
        first = self.traffic.first()
        self._records = len(first)
        for event in first:
            self.sight.note(event, time.perf_counter())
        self._sender.send(event.message for event in first)
        wait_until_through(self.probe, self.consumer, [event.message for event in first])
        self.sight.look()

    def used(self) -> Used:
        """What was used up to now."""
        pids = {"client": self.consumer.process.pid, **self._servers.pids}
        said = self.consumer.counted()
        return Used(
            {part: cpu_seconds(pid) for part, pid in pids.items()},
            self.probe.statements()[QUESTIONS],
            int(said.batches) if said else 0,
            self.sight.looks,
        )

    def play(self, schedule: Schedule, watch: Watch, look_seconds: float) -> Played:
        """Send what is due, look every `look_seconds`, and wait until everything is visible.

        Raises `ConsumerFailed` when the consumer ends, or does not catch up.
        """
        stop = Flag()
        with _undisturbed(), ThreadPoolExecutor(max_workers=1) as thread:
            sending = thread.submit(_send, self._sender, self.sight, schedule, stop)
            try:
                self._look_until_visible(sending, watch, stop, look_seconds)
            finally:
                stop.set()
            return sending.result()

    def close(self) -> None:
        """Send no more."""
        self._sender.close()

    def check(self) -> None:
        """Raise `WrongResult` unless every event that was sent has had its effect, once."""
        said = counted_at_end(self.consumer, self.sight.sent)
        check(self.probe, self.sight.kinds, self._records, said)

    def _look_until_visible(
        self, sending: Future[Played], watch: Watch, stop: Flag, look_seconds: float
    ) -> None:
        deadline: float | None = None
        while True:
            if sent := sending.done():
                sending.result()  # or what it failed with: nothing else would become visible
            if watch(self.sight.look()):
                stop.set()
            self.consumer.process.check()
            if sent and not self.sight.pending:
                return
            if sent and time.monotonic() > (deadline := deadline or time.monotonic() + _CATCH_UP_SECONDS):
                raise self.consumer.process.failed(f"did not catch up in {_CATCH_UP_SECONDS} s")
            time.sleep(look_seconds)


@contextmanager
def live(servers: Servers, traffic: Traffic, settings: Mapping[str, str] | None = None) -> Iterator[Live]:
    """upsertd with default settings or others, warm; at the end it is ended, and what it did is checked.

    Raises `WrongResult` for a service that did not do its work, `ConsumerFailed` for one that failed.
    """
    with staged(servers, (ENTITY,), with_schema=True) as stage, stage.probe() as probe:
        consumer = contender(UPSERTD, stage, settings)
        playing = Live(stage, probe, traffic, consumer)
        with consumer.process, closing(playing):
            playing.warm_up()
            yield playing
            playing.check()


def steady(traffic: Iterable[Event], per_second: float, events: int) -> Iterator[tuple[float, Event]]:
    """The next `events` of `traffic`, at a steady pace."""
    for number, event in zip(range(events), traffic, strict=False):
        yield number / per_second, event


def _send(sender: Sender, sight: Sight, schedule: Schedule, stop: Flag) -> Played:
    begun, events, late_seconds = time.perf_counter(), 0, 0.0
    for seconds, event in schedule:
        due = begun + seconds
        sender.wait_until(due)
        late_seconds = max(late_seconds, time.perf_counter() - due)
        sight.note(event, due)
        sender.hand_over(event.message)
        events += 1
        if stop.is_set():
            break
    sender.finish()
    return Played(begun, events, late_seconds)


def _positions(stage: Stage, probe: Probe) -> dict[tuple[str, int], int]:
    entities = {topic: entity for entity, topic in stage.topics.items()}
    return {(entities[topic], number): offset for (topic, number), offset in probe.positions().items()}


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No pauses of our own: they would be the delays of hundreds of events.

    The collector passes over the schedule and everything else that is there already.
    """
    switch, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR)
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(switch)

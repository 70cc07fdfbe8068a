"""How long the partitions of a replica that goes are without one. Called by `__main__`.

Some replicas share the partitions and a steady trickle of events goes to all of these. One replica is
killed, or stopped in an orderly way; from that moment on it is noted, partition by partition, when the first
event that was sent afterwards is seen by another connection.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from math import inf
from typing import NamedTuple

from benchmarks.contenders import Upsertd
from benchmarks.growth.backlog import (
    TOPIC,
    migrated,
    over_partitions,
    running,
    staged_on,
    wait_until_marked,
)
from benchmarks.growth.replicas import wait_until_shared
from benchmarks.growth.results import TakeoverRun, Takeovers
from benchmarks.load import Generator, Message
from benchmarks.probe import Probe
from benchmarks.servers import Servers

KILL, STOP = "kill", "stop"
# Longer than any session timeout that is worth trying, and a rebalance.
_TIMEOUT_SECONDS = 180
# The others are looked at for a little longer: a rebalance may stop them later.
_AFTERWARDS_SECONDS = 1.0
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Leaving:
    """How a replica goes, and how long the group waits for one that says nothing."""

    how: str
    session_timeout_seconds: int

    @property
    def settings(self) -> dict[str, str]:
        return {"KAFKA_SESSION_TIMEOUT_SECONDS": str(self.session_timeout_seconds)}


class Seen(NamedTuple):
    """An event of a partition that was due to be sent at one moment, and seen at another one."""

    partition: int
    due: float
    at: float


@dataclass(slots=True)
class Trickle:
    """Events that are sent one by one in one thread, and seen in another one.

    Moments are those of `time.perf_counter`.
    """

    waiting: dict[str, tuple[int, float]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def sent(self, message: Message, due: float) -> None:
        """Note that this message is about to be sent."""
        self.waiting[message.event_id] = (message.partition, due)

    def look(self, probe: Probe) -> None:
        """Ask once for everything that was sent and not seen yet."""
        if missing := list(self.waiting):
            marked = probe.marked(missing)
            now = time.perf_counter()
            self.seen += [Seen(*self.waiting.pop(event_id), now) for event_id in marked]

    def seen_since(self, moment: float) -> set[int]:
        """The partitions of which something was seen that was sent after `moment`."""
        return {each.partition for each in self.seen if each.due >= moment}


def leavings(timeouts_seconds: Sequence[int]) -> list[Leaving]:
    """An orderly stop, which no timeout matters for, and a kill with each of them."""
    return [Leaving(STOP, max(timeouts_seconds)), *(Leaving(KILL, each) for each in timeouts_seconds)]


def run(servers: Servers, leavings: Sequence[Leaving], takeovers: Takeovers, seed: int) -> Iterator[str]:
    """Let a replica go in each of these ways, add what was seen to `takeovers`; yields a line about each."""
    for leaving in leavings:
        measured = _measure(servers, leaving, takeovers, seed)
        takeovers.runs.append(measured)
        yield _line(measured)


def result(leaving: Leaving, seen: Iterable[Seen], gone_at: float, owned: Collection[int]) -> TakeoverRun:
    """What was seen of the partitions that a replica `owned`, which has gone at `gone_at`, and of others."""
    back: dict[int, float] = {}
    longest = 0.0
    for each in seen:
        if each.partition not in owned:
            # One that was sent before may have been caught by the rebalance all the same.
            longest = max(longest, each.at - each.due if each.at >= gone_at else 0.0)
        elif each.due >= gone_at:
            back[each.partition] = min(each.at - gone_at, back.get(each.partition, inf))
    return TakeoverRun(leaving.how, leaving.session_timeout_seconds, sorted(back.values()), longest)


def _measure(servers: Servers, leaving: Leaving, takeovers: Takeovers, seed: int) -> TakeoverRun:
    partitions = takeovers.partitions
    with (
        migrated(servers) as database,
        staged_on(servers, database, partitions) as stage,
        stage.probe() as probe,
        running(stage, takeovers.replicas, leaving.settings) as crew,
    ):
        owned = wait_until_shared(stage, probe, crew, partitions)[crew[0].process.pid]
        load = Generator(TOPIC, seed).load(_most(takeovers), 0, others=partitions)
        first, others = (over_partitions(each, partitions) for each in (load.prepared, load.measured))
        # The same producer as for what is measured: it has to be warm as well.
        sender = stage.sender()
        sender.send(first)
        wait_until_marked(probe, crew, first)
        watch = _Watch(probe, partitions)
        wanted = takewhile(lambda _: not watch.enough, others)
        with ThreadPoolExecutor(max_workers=2) as threads:
            sending = threads.submit(sender.send_paced, wanted, takeovers.per_second, watch.trickle.sent)
            try:
                gone_at = _let_go(threads, watch, crew, leaving.how)
            finally:
                watch.enough = True
            sending.result()
    return result(leaving, watch.trickle.seen, gone_at, owned)


def _most(takeovers: Takeovers) -> int:
    """More events than can be sent until the time is over."""
    return round(2 * _TIMEOUT_SECONDS * takeovers.per_second)


@dataclass(slots=True)
class _Watch:
    """Who looks at the trickle until there is `enough` of it."""

    probe: Probe
    partitions: int
    trickle: Trickle = field(default_factory=Trickle)
    enough: bool = False

    def until_all_flow(self, crew: Sequence[Upsertd], since: float) -> None:
        """Look until each partition shows something that was sent after `since`. Raises `ConsumerFailed`."""
        deadline = time.perf_counter() + _TIMEOUT_SECONDS
        while len(self.trickle.seen_since(since)) < self.partitions:
            self.trickle.look(self.probe)
            for each in crew:
                each.process.check()
            if time.perf_counter() > deadline:
                raise crew[0].process.failed(f"and the others did not take over in {_TIMEOUT_SECONDS} s")
            time.sleep(_POLL_SECONDS)


def _let_go(threads: ThreadPoolExecutor, watch: _Watch, crew: Sequence[Upsertd], how: str) -> float:
    """Let the first replica go while events flow, wait until all partitions are back; returns the moment."""
    leaver, *stayers = crew
    watch.until_all_flow(crew, time.perf_counter())
    gone_at = time.perf_counter()
    going = threads.submit(leaver.process.kill if how == KILL else leaver.process.stop)
    watch.until_all_flow(stayers, gone_at)
    going.result()
    # A rebalance may stop them once more.
    watch.until_all_flow(stayers, time.perf_counter() + _AFTERWARDS_SECONDS)
    return gone_at


def _line(measured: TakeoverRun) -> str:
    back = measured.back_seconds
    return (
        f"{measured.how}, session timeout {measured.session_timeout_seconds} s:"
        f" {len(back)} partitions back after {back[0]:.1f} to {back[-1]:.1f} s;"
        f" the others waited {measured.others_longest_seconds:.1f} s at most"
    )

"""What it costs to work a backlog off: a live peer, stretch by stretch, or a load of files. Called by `runs`.

As `benchmarks.drain` does it: the peer starts and works off the prepared part; then it is frozen while a
stretch is produced, all counters are read, it goes on, and they are read again when the last record of every
partition is there. What is different: the end is the peer's own to know, and there can be several stretches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import pymysql

from benchmarks.contenders import Contender
from benchmarks.load import Message
from benchmarks.peers.results import Stretch
from benchmarks.probe import Probe
from benchmarks.process import ConsumerProcess, cpu_seconds
from benchmarks.stage import Stage

_TIMEOUT_SECONDS = 300
_POLL_SECONDS = 0.02
# What comes after the last commit (Redis, Kafka's offsets) counts too.
_TAIL_SECONDS = 0.2
# A batch of the prepared part is remembered in Redis and its offset committed within this time.
_QUIET_SECONDS = 0.4


class Peer(Protocol):
    """Somebody who consumes topics as a process of its own."""

    process: ConsumerProcess

    def has(self, messages: Iterable[Message]) -> bool:
        """Whether what these messages write is committed."""

    def check(self) -> None:
        """Raise `ConsumerFailed` when it has ended or given up."""


class Marking:
    """A peer that leaves marks: upsertd, and the naive consumer."""

    def __init__(self, contender: Contender, probe: Probe) -> None:
        self.process = contender.process
        self._probe = probe

    def has(self, messages: Iterable[Message]) -> bool:
        """See `Peer`."""
        wanted = {message.event_id for message in messages}
        try:
            return self._probe.marked(sorted(wanted)) == wanted
        except pymysql.err.ProgrammingError:
            return False  # a consumer that makes its tables itself has not made them yet

    def check(self) -> None:
        """See `Peer`."""
        self.process.check()


def halves(messages: Sequence[Message], is_new: Callable[[Message], bool]) -> list[Sequence[Message]]:
    """Two halves that both end with a new record in every partition, whose order is kept.

    A copy leaves nothing to be seen, so those behind the last new record of the first half belong to the
    second one.
    """
    middle = len(messages) // 2
    ends = {message.log: place for place, message in enumerate(messages[:middle]) if is_new(message)}
    first: list[Message] = []
    second: list[Message] = []
    for place, message in enumerate(messages):
        (first if place <= ends.get(message.log, -1) else second).append(message)
    return [first, second]


def last_messages(messages: Iterable[Message]) -> list[Message]:
    """The last message of every partition."""
    return list({message.log: message for message in messages}.values())


def work_off(
    stage: Stage, peer: Peer, prepared: Sequence[Message], stretches: Iterable[Sequence[Message]]
) -> list[Stretch]:
    """Let a running peer work off everything; what each stretch cost. Raises `ConsumerFailed`."""
    stage.produce(prepared)
    wait_until_through(peer, prepared)
    time.sleep(_QUIET_SECONDS)
    return [_measure(stage, peer, messages) for messages in stretches]


def loaded(stage: Stage, events: int, load: Callable[[], None]) -> Stretch:
    """What `load` costs this process, which is the client, and the database."""
    database = stage.servers.pids["database"]
    before, own_before, begun = cpu_seconds(database), time.process_time(), time.monotonic()
    load()
    seconds, own = time.monotonic() - begun, time.process_time() - own_before
    time.sleep(_TAIL_SECONDS)
    return Stretch(events, seconds, {"client": own, "database": cpu_seconds(database) - before})


def wait_until_through(peer: Peer, messages: Iterable[Message]) -> None:
    """Wait for the last record of every partition. Raises `ConsumerFailed` when it does not come."""
    ends = last_messages(messages)
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not peer.has(ends):
        peer.check()
        if time.monotonic() > deadline:
            raise peer.process.failed(f"was not through after {_TIMEOUT_SECONDS} s")
        time.sleep(_POLL_SECONDS)


def _measure(stage: Stage, peer: Peer, messages: Sequence[Message]) -> Stretch:
    peer.process.freeze()
    stage.produce(messages)
    pids = {"client": peer.process.pid, **stage.servers.pids}
    before, begun = _count(pids), time.monotonic()
    peer.process.resume()
    wait_until_through(peer, messages)
    seconds = time.monotonic() - begun
    time.sleep(_TAIL_SECONDS)
    after = _count(pids)
    return Stretch(len(messages), seconds, {part: after[part] - before[part] for part in pids})


def _count(pids: Mapping[str, int]) -> dict[str, float]:
    return {part: cpu_seconds(pid) for part, pid in pids.items()}

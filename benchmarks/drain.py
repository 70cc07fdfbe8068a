"""One measured drain: a backlog that waits in Kafka is worked off.

What is measured begins and ends at two sharp moments. The consumer starts, joins its group and consumes the
prepared part: interpreter, imports, connections and caches are warm. Then it is frozen (SIGSTOP), the
measured part is produced, all counters are read, and it goes on. It is through when the mark of the last
event of every partition is committed; a moment later, so that the tail (Redis, Kafka's offsets) counts too,
the counters are read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.contenders import NAIVE, Contender, Counted, contender, counted_at_end
from benchmarks.load import ENTITIES, Generator, Load, Message, last_ids
from benchmarks.probe import QUESTIONS, Probe
from benchmarks.process import cpu_seconds
from benchmarks.results import Drain
from benchmarks.servers import Servers
from benchmarks.stage import Stage, staged
from benchmarks.verify import verify

_TIMEOUT_SECONDS = 300
_POLL_SECONDS = 0.02
_TAIL_SECONDS = 0.2
# A batch of originals is remembered in Redis and its offset committed within this time.
_QUIET_SECONDS = 0.4
# The naive consumer needs no distance between originals and copies: it keeps nothing in memory.
_NAIVE_WARM_UP = 150


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is drained. `cold`: Redis is emptied between the originals and their copies."""

    kind: str
    copied_percent: int
    cold: bool = False

    @property
    def name(self) -> str:
        if not self.copied_percent:
            return f"{self.kind}-0"
        return f"{self.kind}-{self.copied_percent}-{'cold' if self.cold else 'warm'}"


SCENARIOS = tuple(
    Scenario(kind, percent, cold)
    for kind in ENTITIES
    for percent, cold in ((0, False), (30, False), (85, False), (85, True))
)


@dataclass(frozen=True, slots=True)
class _Counters:
    """What processes and server have used up to now."""

    cpu_seconds: Mapping[str, float]
    statements: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Measured:
    """What lies between the two moments; `said_before` and `said_after` is the consumer's own word."""

    seconds: float
    before: _Counters
    after: _Counters
    peak_connections: int
    said_before: Counted | None
    said_after: Counted | None


def load_for(name: str, generator: Generator, scenario: Scenario, events: int) -> Load:
    """The load of a scenario for one contender."""
    share = scenario.copied_percent / 100
    if name == NAIVE:
        return generator.load(events, share, others=_NAIVE_WARM_UP)
    return generator.load_apart(events, share)


def drain(
    servers: Servers,
    name: str,
    scenario: Scenario,
    load: Load,
    number: int,
    *,
    new: Callable[[Stage], Contender] | None = None,
    make_backlog: Callable[[Stage], None] | None = None,
) -> Drain:
    """Run `load` through a contender in round `number`.

    `new` makes the contender where it is none of the usual two. `make_backlog` is called when it is frozen
    and the prepared part is done, and lets it find the measured part: by producing it, unless said otherwise.
    Raises `WrongResult` when the tables are not as they must be, `ConsumerFailed` when it does not finish.
    """
    entities = ENTITIES[scenario.kind]
    make = make_backlog or partial(_produce, scenario=scenario, load=load)
    with staged(servers, entities, with_schema=name != NAIVE) as stage, stage.probe() as probe:
        consumer = new(stage) if new else contender(name, stage)
        stage.produce(load.prepared)
        with consumer.process:
            measured = _measure(stage, probe, consumer, load, make)
        verify(probe, load, measured.said_after)
    return _result(scenario, name, number, load, measured)


def _produce(stage: Stage, scenario: Scenario, load: Load) -> None:
    if scenario.cold:
        stage.servers.redis.flush()
    stage.produce(load.measured)


def _measure(
    stage: Stage, probe: Probe, consumer: Contender, load: Load, make_backlog: Callable[[Stage], None]
) -> _Measured:
    wait_until_through(probe, consumer, load.prepared)
    said_before = consumer.counted()
    consumer.process.freeze()
    make_backlog(stage)
    probe.forget_peak()
    pids = {"client": consumer.process.pid, **stage.servers.pids}

    before, begun = _count(pids, probe), time.monotonic()
    consumer.process.resume()
    wait_until_through(probe, consumer, load.measured, quiet_seconds=0)
    seconds = time.monotonic() - begun
    time.sleep(_TAIL_SECONDS)
    after = _count(pids, probe)
    peak, said = probe.peak_connections(), counted_at_end(consumer, load.events)
    return _Measured(seconds, before, after, peak, said_before, said)


def wait_until_through(
    probe: Probe, consumer: Contender, messages: Sequence[Message], quiet_seconds: float = _QUIET_SECONDS
) -> None:
    """Wait until the last message of every log is marked, and `quiet_seconds` more.

    Raises `ConsumerFailed` when the consumer ends or takes too long.
    """
    try:
        probe.wait_for_marks(last_ids(messages), consumer.process.check, _TIMEOUT_SECONDS, _POLL_SECONDS)
    except TimeoutError:
        raise consumer.process.failed(f"was not through after {_TIMEOUT_SECONDS} s") from None
    time.sleep(quiet_seconds)


def _count(pids: Mapping[str, int], probe: Probe) -> _Counters:
    statements = probe.statements()
    return _Counters({part: cpu_seconds(pid) for part, pid in pids.items()}, statements)


def _result(scenario: Scenario, name: str, number: int, load: Load, measured: _Measured) -> Drain:
    before, after = measured.before, measured.after
    kinds = {kind: after.statements[kind] - value for kind, value in before.statements.items()}
    said = _difference(measured.said_before, measured.said_after)
    return Drain(
        scenario=scenario.name,
        contender=name,
        round=number,
        events=len(load.measured),
        copies=load.copies,
        seconds=measured.seconds,
        cpu_seconds={part: after.cpu_seconds[part] - value for part, value in before.cpu_seconds.items()},
        statements=kinds.pop(QUESTIONS),
        statements_by_kind=kinds,
        peak_connections=measured.peak_connections,
        own_statements=said and int(said.statements),
        batches=said and int(said.batches),
        cache_hits=said and int(said.cache_hits),
    )


def _difference(before: Counted | None, after: Counted | None) -> Counted | None:
    if before is None or after is None:
        return None
    return Counted(*(later - earlier for earlier, later in zip(before, after, strict=True)))

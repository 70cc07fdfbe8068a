"""The reference scenario of specification 1: 100 messages a second, 30 % of them replays, three partitions.

upsertd plays it for latency and for economy, the naive consumer beside it. An event's delay begins when it
is due to be handed to the producer and ends when another connection sees its mark; that connection looks
for what is still missing every millisecond, and its statements do not count. Replays leave nothing to see
in the database, so the delays are those of originals.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import quantiles

from benchmarks.contenders import NAIVE, UPSERTD, Contender, Counted, contender, counted_at_end
from benchmarks.drain import wait_until_through
from benchmarks.load import ENTITIES, Generator, Load, Message
from benchmarks.probe import QUESTIONS, Probe
from benchmarks.process import cpu_seconds
from benchmarks.producing import Sender
from benchmarks.results import Paced
from benchmarks.servers import Servers
from benchmarks.stage import staged
from benchmarks.verify import verify

PER_SECOND = 100
REPLAYED_SHARE = 0.3
KIND = "customers"
# Chosen by measurement, to stay below 45 statements a second with something to spare: three lanes took 20 a
# second with 1,000 ms, 31 with 600 ms, 38 with 500 ms.
ECONOMY_LINGER_MS = 600
_TIMEOUT_SECONDS = 120
_NAIVE_WARM_UP = 150


@dataclass(frozen=True, slots=True)
class Play:
    """One way to play the scenario; `linger_ms` None: the consumer knows no linger."""

    name: str
    contender: str
    linger_ms: int | None

    @property
    def settings(self) -> dict[str, str]:
        return {} if self.linger_ms is None else {"BATCH_LINGER_MS": str(self.linger_ms)}


def plays(economy_linger_ms: int = ECONOMY_LINGER_MS) -> tuple[Play, ...]:
    """The naive consumer, then upsertd for latency and for economy."""
    return (
        Play("naive", NAIVE, None),
        Play("latency", UPSERTD, 0),
        Play("economy", UPSERTD, economy_linger_ms),
    )


def pace(servers: Servers, play: Play, generator: Generator, seconds: float) -> Paced:
    """Play once. Raises `WrongResult` or `ConsumerFailed` when the run does not count."""
    load = _load(play, generator, round(PER_SECOND * seconds))
    with (
        staged(servers, ENTITIES[KIND], with_schema=play.contender == UPSERTD) as stage,
        stage.probe() as probe,
    ):
        consumer = contender(play.contender, stage, play.settings)
        # The same producer as for what is measured: it has to be warm as well.
        sender = stage.sender()
        sender.send(load.prepared)
        with consumer.process:
            wait_until_through(probe, consumer, load.prepared)
            paced, said = _measure(sender, probe, consumer, play, load)
        verify(probe, load, said)
    return paced


def _load(play: Play, generator: Generator, messages: int) -> Load:
    if play.contender == NAIVE:
        return generator.load(messages, REPLAYED_SHARE, others=_NAIVE_WARM_UP)
    return generator.load_apart(messages, REPLAYED_SHARE)


@dataclass(slots=True)
class _Watch:
    """Sees originals become visible: `sent` is called by the thread that produces, `look` by the main one."""

    originals: frozenset[str]
    waiting: dict[str, float] = field(default_factory=dict)
    delays_ms: list[float] = field(default_factory=list)

    def sent(self, message: Message, due: float) -> None:
        """Note that this message is about to be sent, which was `due` at this moment."""
        if message.event_id in self.originals:
            self.waiting[message.event_id] = due

    def look(self, probe: Probe) -> None:
        """Ask once for everything that was sent and not seen yet."""
        if missing := list(self.waiting):
            seen = probe.marked(missing)
            now = time.perf_counter()
            self.delays_ms += [(now - self.waiting.pop(event_id)) * 1000 for event_id in seen]


def _measure(
    sender: Sender, probe: Probe, consumer: Contender, play: Play, load: Load
) -> tuple[Paced, Counted | None]:
    known = {message.event_id for message in load.prepared}
    watch = _Watch(frozenset(message.event_id for message in load.measured) - known)
    said_before = consumer.counted()
    probe.forget_peak()
    cpu_before = cpu_seconds(consumer.process.pid)
    before, begun = probe.statements()[QUESTIONS], time.perf_counter()
    with ThreadPoolExecutor(max_workers=1) as thread:
        sending = thread.submit(sender.send_paced, load.measured, PER_SECOND, watch.sent)
        _look_until_through(probe, consumer, watch, sending, 0.01 if play.linger_ms else 0.001)
        sending.result()
    statements, seconds = probe.statements()[QUESTIONS] - before, time.perf_counter() - begun
    cpu = cpu_seconds(consumer.process.pid) - cpu_before
    peak, said = probe.peak_connections(), counted_at_end(consumer, load.events)
    p50, p99 = (quantiles(watch.delays_ms, n=100)[at - 1] for at in (50, 99))
    paced = Paced(
        play=play.name,
        contender=play.contender,
        linger_ms=play.linger_ms,
        messages=len(load.measured),
        copies=load.copies,
        seconds=seconds,
        statements=statements,
        peak_connections=peak,
        delay_p50_ms=p50,
        delay_p99_ms=p99,
        delay_max_ms=max(watch.delays_ms),
        client_cpu_seconds=cpu,
        batches=int(said.batches - said_before.batches) if said and said_before else None,
    )
    return paced, said


def _look_until_through(
    probe: Probe, consumer: Contender, watch: _Watch, sending: Future[None], poll_seconds: float
) -> None:
    """Look again and again until everything was sent and seen. Raises `ConsumerFailed`."""
    deadline: float | None = None
    while watch.waiting or not sending.done():
        watch.look(probe)
        consumer.process.check()
        if sending.done():
            deadline = deadline or time.monotonic() + _TIMEOUT_SECONDS
            if time.monotonic() > deadline:
                raise consumer.process.failed("does not get through")
        time.sleep(poll_seconds)

"""The world of one history: servers, network, members, and what happens to them from outside.

`faults` says when something happens, this says what it means. Everything is determined by the seed.
"""

from __future__ import annotations

import asyncio
import random

from msgspec.structs import replace

from service.core.types import OPERATOR, GroupOffset, LetterStatus, Partition
from service.pipeline.batching import BatchLimits
from service.pipeline.claim import StartPolicy
from service.stores.positions import Target, position_after_reset
from tests.faults.simulation.broker import CLUSTER, Broker
from tests.faults.simulation.database import Database, Tables
from tests.faults.simulation.journal import Journal
from tests.faults.simulation.judge import Judge
from tests.faults.simulation.loop import Process, SimulatedLoop
from tests.faults.simulation.member import Configuration, Member
from tests.faults.simulation.messages import ENTITY, Press
from tests.faults.simulation.model import Model
from tests.faults.simulation.quiet import Stage
from tests.faults.simulation.redis import Redis
from tests.faults.simulation.sink import SimulatedSink, deadlock
from tests.faults.simulation.source import SimulatedSource
from tests.faults.simulation.wire import CALLS, Doom, Weather, Wire

# What has healed must get on within this time, and so on until it is drained. Backoff is in it.
QUIET_SECONDS = 30.0
LOOK_SECONDS = 0.25
MOST_MEMBERS = 3
# Within how many of its next calls a doomed member dies: a claim takes four, a batch as many.
DOOM_CALLS = 25


class World:
    """One for each history."""

    def __init__(self, rng: random.Random, loop: SimulatedLoop, journal: Journal, stage: Stage) -> None:
        self.rng = rng
        self.loop = loop
        self.journal = journal
        self.press = Press(rng, special=rng.choice((0.1, 0.3, 0.5)))
        self.judge = Judge(journal, self.press)
        self.wire = Wire(loop, rng, journal, slowness=rng.choice((1.0, 1.0, 3.0, 8.0)))
        self.database_weather = Weather("database", refusal=deadlock)
        self.kafka_weather = Weather("kafka")
        self.redis_weather = Weather("redis")
        self.broker = Broker(loop, rng, journal, self.judge, session_seconds=rng.choice((1.0, 3.0, 6.0)))
        self.database = Database(self.press, self.judge)
        self.redis = Redis(self.judge, self.wire, self.redis_weather, loop)
        self.members: list[Member] = []
        self.backup: tuple[Tables, Model] | None = None
        # How many of those that are started are doomed, from 0 to 1.
        self._mortality = rng.choice((0.1, 0.5, 0.9))
        self._stage = stage
        self._configuration = self._configure()

    def _configure(self) -> Configuration:
        rng = self.rng
        self.judge.goes_on_at_earliest = rng.random() < 0.5
        return Configuration(
            BatchLimits(
                max_records=rng.choice((1, 2, 3, 5, 100)),
                max_bytes=rng.choice((1_000_000, 1_000_000, 5)),
                linger_seconds=rng.choice((0.0, 0.0, 0.02)),
            ),
            StartPolicy(go_on_at_earliest=self.judge.goes_on_at_earliest),
            flood_window_records=rng.choice((1000, 1000, 6)),
        )

    # ---------------------------------------------------------------- records

    def create_partition(self) -> None:
        """The topic gets one more."""
        self.broker.create(Partition(ENTITY, len(self.broker.logs)))

    def any_partition(self) -> Partition:
        return self.rng.choice(sorted(self.broker.logs))

    def produce(self, count: int) -> None:
        """A producer sends some records, at times in a transaction that leaves its marker."""
        log = self.broker.logs[self.any_partition()]
        for _ in range(count):
            key = self.rng.choice((None, b"", b"k"))
            log.append(self.press.print(), key, self.rng.choice(((), (("h", None), ("h", b"")))))
            self.journal.records += 1
            if self.journal.is_read:
                record = log.between(log.end - 1, log.end)[0]
                message = self.press.message(record.value)
                self.journal.note(
                    "producer", f"{log.partition} {record.offset} is {record.value!r}:", message
                )
        if self.rng.random() < 0.2:
            log.append_marker()

    # ---------------------------------------------------------------- members

    @property
    def up(self) -> list[Member]:
        return [member for member in self.members if member.is_up]

    def start_member(self) -> None:
        """One more replica."""
        process = Process(f"m{len(self.members) + 1}")
        source = SimulatedSource(process, self.broker, self.wire, self.kafka_weather, self.loop)
        sink = SimulatedSink(self.database, self.wire, self.database_weather, self.loop)
        member = Member(
            process,
            source,
            sink,
            self.redis,
            self.press,
            self.loop,
            self._stage.observe,
            self._configuration,
        )
        self.members.append(member)
        self.journal.note(process, "starts")
        if self.rng.random() < self._mortality:
            self.doom_to_die(member)
        member.start()

    def replace_member(self) -> None:
        """As a supervisor does."""
        if len(self.up) < MOST_MEMBERS:
            self.start_member()

    def kill(self, member: Member) -> None:
        """SIGKILL: the group notices when the session timeout is over."""
        self.journal.note(member.process, "is killed")
        self.loop.kill(member.process)
        self.broker.miss(member.source)

    def freeze(self, member: Member, seconds: float) -> None:
        """SIGSTOP, and SIGCONT later; the group drops who does not answer for too long."""
        self.journal.note(member.process, f"is frozen for {seconds:.2f} s")
        self.loop.freeze(member.process)
        if seconds >= self.broker.session_seconds:
            self.broker.miss(member.source)
        self.loop.later(seconds, self.wake, member)

    def wake(self, member: Member) -> None:
        """SIGCONT: a member that was dropped hears of it with its next heartbeat."""
        if not member.process.frozen:
            return
        self.journal.note(member.process, "wakes")
        self.loop.wake(member.process)
        if not self.broker.is_member(member.source):
            self.loop.later(self.rng.random(), self._tell_dropped, member)

    def _tell_dropped(self, member: Member) -> None:
        if member.is_up and not self.broker.is_member(member.source):
            member.source.hear_rebalance()

    def doom_to_die(self, member: Member) -> None:
        """The member dies before one of its next calls, or between its effect and its answer."""
        rng = self.rng

        def strike() -> None:
            self.kill(member)
            self.loop.later(2 * rng.random(), self.replace_member)

        name = rng.choice((None, rng.choice(CALLS)))
        calls = rng.randint(1, DOOM_CALLS) if name is None else rng.choice((1, 1, 2, 4))
        self.wire.dooms[member.process] = Doom(calls, rng.random() < 0.5, strike, name)

    async def stop(self, member: Member) -> None:
        """SIGTERM, and wait for the end; what a member could not finish is a broken promise of its own."""
        stopping = member.stop()
        while not stopping.done() and member.process.alive:  # noqa: ASYNC110 - whose death is no event
            await asyncio.sleep(LOOK_SECONDS)

    async def stop_group(self) -> None:
        """Stop everybody, and wait until the group is empty. Who is frozen stays so."""
        for member in self.up:
            self.loop.create_task(self.stop(member))
        while self.broker.members:
            frozen = [member for member in self.members if member.process.frozen]
            for member in frozen:
                self.broker.expire(member.source)
            await asyncio.sleep(LOOK_SECONDS)
            for member in self.up:  # woken meanwhile
                member.stop()

    # ---------------------------------------------------------------- the database

    def take_backup(self) -> None:
        self.backup = (self.database.tables.copy(), self.judge.model.copy())

    def restore(self, tables: Tables, model: Model) -> None:
        """The database is what it was; everybody's connections stay, which is worse than losing them."""
        self.database.tables = tables.copy()
        self.judge.restored(model, self.database.tables)

    async def reset_row(self, partition: Partition, offset: int) -> None:
        """`upsertd positions reset`: the row, then the offset of a group without members, then hand back."""
        before = self.database.tables.positions.get(partition)
        after = position_after_reset(before, Target(partition, offset, CLUSTER))
        self.journal.note("operator", f"resets the row of {partition} to {offset}")
        self.database.tables.positions[partition] = after
        self.judge.reset_row(partition, after)
        await asyncio.sleep(self.wire.delay())
        if self.broker.members:
            return
        self.broker.group_offsets[partition] = GroupOffset(offset, ours=True)
        await asyncio.sleep(self.wire.delay())
        here = self.database.tables.positions.get(partition)
        if here is not None and here.claim_id == after.claim_id and here.owner == OPERATOR:
            self.database.tables.positions[partition] = replace(here, owner=None)

    # ---------------------------------------------------------------- the end

    async def heal(self) -> None:
        """Everything that is broken is well again, and somebody is there to work."""
        for weather in (self.database_weather, self.kafka_weather, self.redis_weather):
            weather.clear()
        self._mortality = 0.0
        self.wire.dooms.clear()
        self.press.mended = self.press.mended or self.rng.random() < 0.5
        for member in self.members:
            self.wake(member)
        if not self.up:
            self.start_member()

    async def become_quiet(self) -> None:
        """Wait until the topic is drained; an operator releases what halts and resumes what paused."""
        got_on, progress = self.loop.time(), self._progress()
        while trouble := self.unrest():
            if progress != (progress := self._progress()):
                got_on = self.loop.time()
            if self.loop.time() > got_on + QUIET_SECONDS + self.broker.session_seconds:
                self.journal.violation("I6", f"not drained: {trouble}")
                return
            await self._help()
            await asyncio.sleep(LOOK_SECONDS)

    def _progress(self) -> tuple[int, int]:
        """Numbers that grow with every record that is handled, and every try of one that is parked."""
        tables = self.database.tables
        offsets = sum(position.next_offset for position in tables.positions.values())
        return offsets, sum(stored.letter.attempts for stored in tables.letters.values())

    async def _help(self) -> None:
        for member in self.up:
            member.flood.resume()
            for lane in member.consumer.lanes:
                if lane.paused == "halted":
                    await self._release(lane.partition)

    async def _release(self, partition: Partition) -> None:
        beginning = self.broker.logs[partition].beginning
        position = self.database.tables.positions.get(partition)
        # Once is enough: it stays halted until its next claim.
        if position is None or position.owner != OPERATOR or position.next_offset < beginning:
            await self.reset_row(partition, beginning)

    def unrest(self) -> str:
        """What is still to come; empty when lag is 0 and each partition has one lane that works."""
        lanes = [(member, lane) for member in self.up for lane in member.consumer.lanes]
        for partition, log in self.broker.logs.items():
            owners = [
                f"{m.process}: {lane.paused or lane.step}" for m, lane in lanes if lane.partition == partition
            ]
            position = self.database.tables.positions.get(partition)
            if position is None or position.next_offset != log.end:
                return f"{partition} is at {position} of {log.end}, lanes: {owners}"
            if self.broker.group_offsets.get(partition) != GroupOffset(log.end, ours=True):
                return f"the group's offset of {partition} is {self.broker.group_offsets.get(partition)}"
            if len(owners) != 1:
                return f"{partition} has lanes {owners}"
        if any(letter.status is LetterStatus.RETRYING for letter in self.database.tables.letters.values()):
            return "records are parked"
        return ""

    async def stop_all(self) -> None:
        """A clean end: every lane drains, every task ends."""
        for member in self.up:
            await self.stop(member)
            if not member.process.alive:  # what had been in store for it has come late
                continue
            unfinished = member.stop().result()
            if unfinished:
                self.journal.violation("I6", f"{member.process} could not finish {unfinished}")
            left = self.loop.left_over(member.process)
            if left:
                self.journal.violation("I6", f"{member.process} leaves tasks: {left}")

"""One demo from its first process to the verdict.

`service.commands.demo` calls `play` and shows what it returns; a view is shown the scene twice a second.
Whatever happens, no process and no file is left behind, but for the service's log and the database after a
failure.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from service.demo.broker import Broker
from service.demo.database_file import DatabaseFile
from service.demo.failure import DemoFailed, Interrupted
from service.demo.figures import read_figures
from service.demo.messages import PARTITIONS, TOPICS
from service.demo.oracle import Oracle
from service.demo.redis_server import RedisServer
from service.demo.scene import Options, Phase, Scene
from service.demo.script import play_faults
from service.demo.service_process import ServiceProcess
from service.demo.stream import Stream
from service.demo.verdict import Verdict, judge, letters_by_class, positions

READY_SECONDS = 60.0
# Without any progress for this long, a drain has failed.
STUCK_SECONDS = 60.0
_LOOK_SECONDS = 0.5
# Producers send in bursts; single records would make batches of one.
_BURST_SECONDS = 0.5
_POLL_SECONDS = 0.1
# The mock broker keeps some 12,500 records of 400 bytes a partition: with fewer unread ones in all of them
# together, none is dropped before it was read.
_UNREAD_AT_MOST = 5000
_CREDIT_SECONDS = 1.0
# The service counts an event a moment after its commit.
_COUNTED_SECONDS = 3.0

Show = Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a demo ended: the counts that the oracle expected, its verdict, and where evidence was kept."""

    scene: Scene
    expected: Counter[str]
    verdict: Verdict
    kept: Path | None


async def play(options: Options, show: Show, interrupted: asyncio.Event) -> Ending:
    """Play a demo until its time is over or `interrupted` is set.

    Raises `DemoFailed` when it cannot go on, with the place of the logs in its message, and `Interrupted`
    when there is nothing to judge yet.
    """
    folder = Path(mkdtemp(prefix="upsertd-demo-"))
    scene = Scene(options, time.monotonic, started=time.monotonic())
    keep = False
    try:
        demo = _Demo(scene, folder, show, interrupted)
        verdict = await demo.run()
        keep = not verdict.equal
        return Ending(scene, demo.oracle.outcomes, verdict, folder if keep else None)
    except DemoFailed as failure:
        keep = True
        raise DemoFailed(f"{failure} (logs are in {folder})") from failure
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


class _Demo:
    """The parts of one demo, and its four acts: start, stream, drain, judge."""

    def __init__(self, scene: Scene, folder: Path, show: Show, interrupted: asyncio.Event) -> None:
        self._scene = scene
        self._show = show
        self._interrupted = interrupted
        self.oracle = Oracle()
        show(scene)
        self._broker = Broker(self.oracle.take)
        self._redis = RedisServer(folder)
        self._database = DatabaseFile(folder / "upsertd.db")
        self._service = ServiceProcess(
            folder,
            kafka=self._broker.address,
            database_url=self._database.url,
            redis_url=self._redis.url,
        )

    async def run(self) -> Verdict:
        """All of it."""
        try:
            async with _one_failure(), asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(self._watch())
                await self._start(tasks)
                await self._stream(tasks)
                await self._drain()
                watching.cancel()
            await self._judging()
            await self._service.stop()
            return await asyncio.to_thread(judge, self.oracle, self._database.rows, self._broker.ends)
        finally:
            self._service.kill()
            self._redis.kill()
            self._database.unlock()

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        self._scene.say("starting Kafka (librdkafka's mock broker), redis-server and SQLite")
        redis = tasks.create_task(self._redis.start())
        await self._service.migrate()
        await redis
        self._scene.say("the schema is migrated: starting upsertd")
        self._service.start()
        self._scene.urls = self._service.urls
        deadline = self._scene.clock() + READY_SECONDS
        while self._scene.figures.lanes < len(TOPICS) * PARTITIONS:
            if self._scene.clock() > deadline:
                raise DemoFailed(f"upsertd did not claim its partitions within {READY_SECONDS:g} s")
            await self._wait(_POLL_SECONDS)
            if self._interrupted.is_set():
                raise Interrupted

    async def _stream(self, tasks: asyncio.TaskGroup) -> None:
        """Send at the rate that was asked for, while the faults take their course."""
        scene, options = self._scene, self._scene.options
        scene.phase, scene.streaming_since = Phase.STREAMING, scene.clock()
        scene.say(f"upsertd has claimed {scene.figures.lanes} partitions: records flow")
        faults = tasks.create_task(play_faults(scene, self._redis, self._database, self._wait))
        stream, pace = Stream(options.seed, options.duplicates), _Pace(options.rate, scene.clock)
        while scene.streamed_seconds < options.seconds and not self._interrupted.is_set():
            unread = self._broker.sent - scene.figures.handled
            for _ in range(pace.due(_UNREAD_AT_MOST - unread)):
                self._broker.send(stream.next(_utc_now()))
            self._broker.hear()
            await self._wait(_BURST_SECONDS)
        if self._interrupted.is_set():
            scene.say("interrupted: what was sent is handled to its end (once more ends everything at once)")
        self._broker.flush()
        await faults

    async def _drain(self) -> None:
        """Wait until the database stands at every partition's end."""
        self._scene.phase = Phase.DRAINING
        stood, since = None, 0.0
        while (stands := await asyncio.to_thread(positions, self._database.rows)) != self._broker.ends:
            if stands != stood:
                stood, since = stands, self._scene.clock()
            elif self._scene.clock() - since > STUCK_SECONDS:
                raise DemoFailed("upsertd has stopped short of the end of its partitions")
            await asyncio.sleep(_POLL_SECONDS)

    async def _judging(self) -> None:
        """Take the last reading, when everything is counted."""
        self._scene.phase = Phase.JUDGING
        deadline = self._scene.clock() + _COUNTED_SECONDS
        await self._look()
        while self._scene.figures.handled < self._broker.sent and self._scene.clock() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            await self._look()

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        scene = self._scene
        scene.sent = self._broker.sent
        if scene.urls:
            self._service.require()
            scene.read(await asyncio.to_thread(read_figures, self._service.port, scene.clock()))
            scene.letters = await asyncio.to_thread(self._letters)
        self._show(scene)

    def _letters(self) -> tuple[tuple[str, int], ...]:
        return tuple(letters_by_class(self._database.rows))

    async def _wait(self, seconds: float) -> bool:
        """Wait, or less when the demo is interrupted; whether it goes on."""
        with suppress(TimeoutError):
            # Not wait_for: until Python 3.12 it forgets a cancellation that comes with the event.
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()
        return not self._interrupted.is_set()


class _Pace:
    """How many records are due at `rate` a second; what could not be sent in time is not made up for."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._credit = 0.0
        self._before = clock()

    def due(self, at_most: int) -> int:
        """The number to send now, no more than there is room for."""
        now = self._clock()
        self._credit += (now - self._before) * self._rate
        self._credit = min(self._credit, self._rate * _CREDIT_SECONDS)
        self._before = now
        number = max(0, min(int(self._credit), at_most))
        self._credit -= number
        return number


@asynccontextmanager
async def _one_failure() -> AsyncIterator[None]:
    """Raise the first failure of a task group by itself: the others follow from it."""
    try:
        yield
    except ExceptionGroup as group:
        raise group.exceptions[0] from group


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)

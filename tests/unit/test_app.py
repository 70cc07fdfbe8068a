"""In which order the service lives and dies: the lanes drain first, whatever ends it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from service.api.server import HttpServer
from service.app import Service
from service.core.types import Partition
from service.monitor import Monitor
from service.pipeline.partition import Lane
from service.pipeline.run import Consumer
from service.settings import load_settings
from service.testing.source import InMemoryKafka, InMemorySource

pytestmark = pytest.mark.looptime

# Nothing is connected to: in these tests the service never gets as far as its servers.
ENVIRONMENT = {
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DATABASE_URL": "mysql://127.0.0.1:1/shop",
    "SHUTDOWN_TIMEOUT_SECONDS": "7",
}


class Story:
    """What happened, in order."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, what: str) -> None:
        self.told.append(what)


class Http(HttpServer):
    """A server without a socket; it serves until it is stopped, or breaks after `breaks_after` seconds."""

    def __init__(self, story: Story) -> None:
        self.breaks_after: float | None = None
        self._story = story
        self._stopped = asyncio.Event()

    @property
    def port(self) -> int:
        return 8000

    def bind(self) -> None:
        self._story.tell("bound")

    async def serve(self) -> None:
        try:
            async with asyncio.timeout(self.breaks_after):
                await self._stopped.wait()
        except TimeoutError:
            raise RuntimeError("the server broke") from None

    def stop(self) -> None:
        self._story.tell("server stopped")
        self._stopped.set()


class Idle(Monitor):
    """A monitor that asks nobody; it may break after `breaks_after` seconds."""

    def __init__(self) -> None:
        self.breaks_after: float | None = None

    async def run(self) -> None:
        try:
            async with asyncio.timeout(self.breaks_after):
                await asyncio.Event().wait()
        except TimeoutError:
            raise RuntimeError("the monitor broke") from None


class Member(Consumer):
    """A consumer whose lanes take a second to drain, and leave `unfinished` behind."""

    def __init__(self, story: Story) -> None:
        super().__init__(InMemorySource(InMemoryKafka({})), no_lane)
        self.unfinished: tuple[str, ...] = ()
        self._story = story

    async def start(self) -> None:
        self._story.tell("joined")

    async def stop(self, seconds: float) -> tuple[str, ...]:
        self._story.tell(f"draining for {seconds:g} s at most")
        await asyncio.sleep(1)
        self._story.tell("drained")
        return self.unfinished


def no_lane(partition: Partition) -> Lane:
    raise AssertionError(f"nobody assigned {partition}")


class Wired(Service):
    """The service with parts of ours where it would meet the world."""

    http: Http
    monitor: Idle
    consumer: Member

    def __init__(self, story: Story) -> None:
        super().__init__(load_settings())
        self.http, self.monitor, self.consumer = Http(story), Idle(), Member(story)
        self.trouble: Callable[[], None] = lambda: None

    async def _consume(self) -> None:
        await self.consumer.start()
        await asyncio.sleep(1)
        self.trouble()
        await asyncio.Event().wait()


@pytest.fixture
def story() -> Story:
    return Story()


@pytest_asyncio.fixture
async def service(monkeypatch: pytest.MonkeyPatch, story: Story) -> AsyncIterator[Wired]:
    """Built and wired, not started."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with capture_logs():
        service = Wired(story)
        yield service
        await service.close()


DRAINED = ["bound", "joined", "draining for 7 s at most", "drained"]


async def stop_after(seconds: float, service: Service) -> int:
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stopping.set)
    return await service.run(stopping)


async def test_a_stop_drains_before_the_server_ends(service: Wired, story: Story) -> None:
    """Health answers until the last lane is done; then there is nothing left to say."""
    assert await stop_after(5, service) == 0
    assert story.told == [*DRAINED, "server stopped"]


async def test_a_lane_that_could_not_finish_is_told_by_the_exit_code(service: Wired) -> None:
    """Whoever stopped the service may look."""
    service.consumer.unfinished = ("customers/0 at process",)
    assert await stop_after(5, service) == 1


@pytest.mark.parametrize("part", ["http", "monitor"])
async def test_when_a_part_breaks_the_lanes_are_drained_all_the_same(
    service: Wired, story: Story, part: str
) -> None:
    """A transaction that was cut off and a member that never left would cost the others their time."""
    broken = service.http if part == "http" else service.monitor
    broken.breaks_after = 3
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await stop_after(3600, service)
    assert story.told == DRAINED


@pytest.mark.parametrize("part", ["http", "monitor"])
async def test_a_part_that_breaks_during_the_drain_does_not_cut_it_off(
    service: Wired, story: Story, part: str
) -> None:
    """What the lanes have in flight is worth more than the answers about it."""
    broken = service.http if part == "http" else service.monitor
    broken.breaks_after = 5.5  # a drain from 5 s to 6 s
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await stop_after(5, service)
    assert story.told == DRAINED


async def test_when_consuming_breaks_the_lanes_are_drained_all_the_same(service: Wired, story: Story) -> None:
    """Some of them may be at work."""

    def trouble() -> None:
        raise RuntimeError("a bug")

    service.trouble = trouble
    with pytest.raises(ExceptionGroup, match="unhandled errors"):
        await stop_after(3600, service)
    assert story.told == DRAINED

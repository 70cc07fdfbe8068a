"""The HTTP interface: paths, answers, and the server that carries them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
import pytest

from service.api.app import create_app
from service.api.server import HttpServer
from service.api.stats import build_stats
from service.core.health import Liveness, PartHealth, Readiness, Status
from service.pipeline.flood import Flooded, FloodGuard
from service.telemetry.metrics import Metrics

SECRET = "ada@example.org"
HOST = "127.0.0.1"
DATABASE = PartHealth("database", Status.OK)
REDIS_AWAY = PartHealth("redis", Status.DEGRADED, "connection refused")
KAFKA_AWAY = PartHealth("kafka", Status.FAILING, "no broker answers")


@dataclass
class World:
    """What the application is told about the service."""

    metrics: Metrics = field(default_factory=lambda: Metrics("1.2.3", ["orders"]))
    liveness: Liveness = field(default_factory=Liveness)
    readiness: Readiness = field(default_factory=lambda: Readiness((DATABASE,)))
    broken: bool = False
    flood: FloodGuard = field(default_factory=FloodGuard)

    def live(self) -> Liveness:
        if self.broken:
            raise ValueError(SECRET)
        return self.liveness

    def client(self) -> httpx.AsyncClient:
        app = create_app(
            metrics_text=self.metrics.text,
            stats=lambda: build_stats(self.metrics.registry),
            live=self.live,
            ready=lambda: self.readiness,
            resume=self.flood.resume,
            version="1.2.3",
        )
        # Litestar names its scopes one by one, httpx takes any mapping.
        transport = httpx.ASGITransport(cast(Any, app), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://upsertd")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client


async def test_metrics(world: World, client: httpx.AsyncClient) -> None:
    """Prometheus gets the page, with a type that names the charset once (twice, it refuses the page)."""
    world.metrics.retries.inc(7)
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "\nupsertd_retries_total 7.0\n" in answer.text


async def test_stats(world: World, client: httpx.AsyncClient) -> None:
    """People get the figures in the order in which they are read: cache and pool first."""
    world.metrics.cache_lookups.labels(result="hit").inc()
    answer = await client.get("/stats")
    figures: dict[str, Any] = json.loads(answer.content)
    assert list(figures) == [
        "cache", "pool", "events", "lag", "dead_letters", "batch", "uptime_seconds", "version"
    ]  # fmt: skip
    assert list(figures["cache"].items()) == [("hit_rate", 1.0), ("hits", 1), ("misses", 0), ("errors", 0)]
    assert list(figures["pool"]) == ["size", "in_use", "in_use_peak"]
    assert figures["version"] == "1.2.3"


async def test_live(client: httpx.AsyncClient) -> None:
    """A service that makes progress is alive."""
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "stuck": []})


async def test_stuck(world: World, client: httpx.AsyncClient) -> None:
    """A service that is stuck says where."""
    world.liveness = Liveness(("lane orders/3: no progress for 60 s",))
    answer = await client.get("/health/live")
    assert answer.status_code == 503
    assert answer.json() == {"status": "stuck", "stuck": ["lane orders/3: no progress for 60 s"]}


@pytest.mark.parametrize(
    ("parts", "status_code", "status"),
    [
        pytest.param((), 200, "ok", id="ok"),
        pytest.param((REDIS_AWAY,), 200, "degraded", id="degraded"),
        pytest.param((KAFKA_AWAY,), 503, "failing", id="failing"),
        pytest.param((REDIS_AWAY, KAFKA_AWAY), 503, "failing", id="failing-and-degraded"),
    ],
)
async def test_ready(
    world: World, client: httpx.AsyncClient, parts: tuple[PartHealth, ...], status_code: int, status: str
) -> None:
    """Readiness is that of the worst part, and names every part and why."""
    world.readiness = Readiness((DATABASE, *parts))
    answer = await client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (status_code, status)
    told = {part.name: {"status": part.status, "reason": part.reason} for part in parts}
    assert answer.json()["parts"] == {"database": {"status": "ok", "reason": None}, **told}


async def test_unknown_path(client: httpx.AsyncClient) -> None:
    """An unknown path is a JSON 404, for browsers too."""
    answer = await client.get("/nope", headers={"accept": "text/html"})
    assert (answer.status_code, answer.json()) == (404, {"status_code": 404, "detail": "Not Found"})
    assert answer.headers["content-type"] == "application/json"


async def test_wrong_method(client: httpx.AsyncClient) -> None:
    """What can only be read cannot be posted to."""
    assert (await client.post("/stats")).status_code == 405


async def test_failing_handler(world: World, client: httpx.AsyncClient) -> None:
    """An unexpected exception is a 500 without its message."""
    world.broken = True
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()["detail"]) == (500, "Internal Server Error")
    assert SECRET not in answer.text


@pytest.mark.parametrize("path", ["/schema", "/schema/openapi.json"])
async def test_schema(client: httpx.AsyncClient, path: str) -> None:
    """The schema is plain JSON, names every path with its answers, and loads nothing from elsewhere."""
    answer = await client.get(path)
    assert answer.headers["content-type"] == "application/json"
    paths = answer.json()["paths"]
    assert set(paths) == {"/metrics", "/stats", "/health/live", "/health/ready", "/control/resume"}
    assert set(paths["/health/ready"]["get"]["responses"]) >= {"200", "503"}
    assert "http" not in answer.text.replace("HTTP", "")


@pytest.mark.parametrize("path", ["/schema/swagger", "/schema/redoc", "/schema/rapidoc", "/schema/elements"])
async def test_no_pages_from_the_network(client: httpx.AsyncClient, path: str) -> None:
    """Litestar's pages, which load scripts from the network, are not there."""
    assert (await client.get(path)).status_code == 404


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    """The smallest application."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def serving(server: HttpServer) -> AsyncIterator[asyncio.Task[None]]:
    """The server at work; stopped and awaited at the end."""
    server.bind()
    task = asyncio.create_task(server.serve())
    try:
        yield task
    finally:
        server.stop()
        await asyncio.wait([task])


async def get(server: HttpServer) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://{HOST}:{server.port}/")).text


async def test_server_answers_on_a_free_port() -> None:
    """Port 0 is whatever is free, and the server says which."""
    server = HttpServer(hello, HOST, 0)
    async with serving(server):
        assert server.port > 0
        assert await get(server) == "hello"


async def test_server_stops() -> None:
    """After `stop` it ends by itself, and the port is free again."""
    server = HttpServer(hello, HOST, 0)
    async with serving(server) as task:
        assert await get(server) == "hello"
        port = server.port
        server.stop()
        await asyncio.wait_for(task, 5)
    again = HttpServer(hello, HOST, port)
    async with serving(again):
        assert await get(again) == "hello"


async def test_server_stopped_before_it_serves() -> None:
    """A stop that comes first is not forgotten."""
    server = HttpServer(hello, HOST, 0)
    server.stop()
    await asyncio.wait_for(server.serve(), 5)


async def test_cancelled_server_ends_in_order() -> None:
    """Cancelling is a stop: the task ends as cancelled, and nobody listens any more."""
    server = HttpServer(hello, HOST, 0)
    async with serving(server) as task:
        assert await get(server) == "hello"
        port = server.port
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=1)


async def test_request_that_hangs_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that runs is waited for, but not for ever."""
    monkeypatch.setattr("service.api.server.GRACEFUL_STOP_SECONDS", 0.1)
    running = asyncio.Event()

    async def hang(_scope: Any, _receive: Any, _send: Any) -> None:
        running.set()
        await asyncio.Event().wait()

    server = HttpServer(hang, HOST, 0)
    async with serving(server) as task:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: upsertd\r\n\r\n")
        await running.wait()
        server.stop()
        await asyncio.wait_for(task, 5)
        writer.close()
        await reader.read()


def test_port_in_use() -> None:
    """A port that is taken is said at once, in words, before anything serves."""
    first = HttpServer(hello, HOST, 0)
    first.bind()
    second = HttpServer(hello, HOST, first.port)
    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{first.port}: Address already in use"):
        second.bind()
    first.close()


def test_unknown_host() -> None:
    """A host that is not ours is told the same way."""
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:8000"):
        HttpServer(hello, "192.0.2.1", 8000).bind()


async def test_signals_are_left_alone() -> None:
    """SIGTERM belongs to the service: serving changes no handler."""
    before = signal.getsignal(signal.SIGTERM)
    server = HttpServer(hello, HOST, 0)
    async with serving(server):
        assert await get(server) == "hello"
        assert signal.getsignal(signal.SIGTERM) is before


async def test_resume_begins_a_new_window(world: World, client: httpx.AsyncClient) -> None:
    """The flood guard lets the lanes go on, and the answer says whether it had stopped them."""
    with pytest.raises(Flooded):
        world.flood.count(1000, dead=1000)
    assert (await client.post("/control/resume")).json() == {"was_paused": True}
    assert world.flood.reason is None
    assert (await client.post("/control/resume")).json() == {"was_paused": False}


async def test_nobody_resumes_by_looking(client: httpx.AsyncClient) -> None:
    """A link that is followed changes nothing."""
    assert (await client.get("/control/resume")).status_code == 405

"""What the processed-event cache does while a real Redis is away, slow, full or somebody else's.

The answer is always the same: it says quickly that it knows nothing, and it notices by itself when Redis is
back.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
import redis

from service.core.errors import Unavailable
from service.core.types import Event, Lease, Operation, Partition, Record
from service.stores.processed_cache import RedisProcessedCache
from service.stores.redis_client import connection_pool
from tests.servers.ports import free_port
from tests.servers.redis import Redis

PARTITION = Partition("customers", 0)
LEASE = Lease(PARTITION, claim_id="claim", expected=10, handled_offset=10, cache_namespace="5eed")
DEADLINE_SECONDS = 0.2
# How much later than its deadline a call may come back on a busy machine.
SLACK_SECONDS = 1.0
RECOVERY_SECONDS = 5.0


def event(event_id: bytes) -> Event:
    return Event(
        event_id=event_id,
        entity="customers",
        entity_id=7,
        operation=Operation.UPDATE,
        version=1,
        occurred_at=datetime(2026, 11, 21),
        record=Record(PARTITION, offset=3, timestamp_ms=0, key=None, value=None),
    )


A, B = event(b"a"), event(b"b")


@dataclass
class Watched:
    """A cache with what it told its observers."""

    cache: RedisProcessedCache
    lookups: list[tuple[int, int, int]]
    breaker: list[bool]

    async def hit(self, asked: Event = A) -> bool:
        return await self.cache.seen([asked], LEASE) == {asked.event_id}

    async def remember(self, *events: Event) -> None:
        await self.cache.remember(events, LEASE)


@asynccontextmanager
async def watched(
    url: str, *, deadline_seconds: float = DEADLINE_SECONDS, max_connections: int = 8
) -> AsyncIterator[Watched]:
    lookups: list[tuple[int, int, int]] = []
    breaker: list[bool] = []
    cache = RedisProcessedCache(
        url,
        deadline_seconds=deadline_seconds,
        max_connections=max_connections,
        on_lookup=lambda *found: lookups.append(found),
        on_breaker=breaker.append,
    )
    try:
        yield Watched(cache, lookups, breaker)
    finally:
        await cache.close()


def running(*options: str) -> Iterator[Redis]:
    # With options it is never the server that somebody gave us: that one is not ours to break.
    with Redis(options=("--maxmemory-policy", "noeviction", *options)) as server:
        yield server


@pytest.fixture
def server() -> Iterator[Redis]:
    yield from running()


@pytest.fixture
def operator(server: Redis) -> Iterator[redis.Redis]:
    """An operator's connection to the server."""
    with redis.Redis.from_url(server.url) as client:
        yield client


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """Listen on a free port, and in the end wait until every client has gone."""
    connections: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await serve(reader, writer)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(connection(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", port := free_port())
    try:
        yield port
    finally:
        listener.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*connections)


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The URL of a peer that says the same to everything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)

    async with listening(serve) as port:
        yield f"redis://127.0.0.1:{port}"


@dataclass
class Proxy:
    """Stands before a server and, when told to, holds back what it answers."""

    server_port: int
    url: str = ""
    delay_seconds: float = 0.0
    requests: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
        answers = asyncio.create_task(self._answer(server_reader, writer))
        while chunk := await reader.read(65536):
            server_writer.write(chunk)
            self.requests.put_nowait(chunk)
        server_writer.close()
        await answers

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            await self.flowing.wait()
            await asyncio.sleep(self.delay_seconds)
            writer.write(chunk)


@asynccontextmanager
async def proxy_to(server_port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(server_port)
    proxy.flowing.set()
    async with listening(proxy.serve) as port:
        proxy.url = f"redis://127.0.0.1:{port}"
        try:
            yield proxy
        finally:
            proxy.flowing.set()


async def elapsed_seconds(call: Awaitable[object]) -> float:
    started = time.monotonic()
    await call
    return time.monotonic() - started


async def within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> None:
    until = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < until, f"not within {seconds:g} s"
        await asyncio.sleep(0.05)


async def open_breaker(watched: Watched) -> None:
    async def is_open() -> bool:
        await watched.cache.seen([A], LEASE)
        return watched.breaker == [True]

    await within(5, is_open)


class TestOutages:
    async def test_a_hanging_server_costs_a_deadline_and_then_nothing(self, server: Redis) -> None:
        """Calls end at their deadline, the breaker opens, and then nobody waits at all."""
        async with watched(server.url) as it:
            await it.remember(A)
            assert await it.hit()
            server.suspend()
            for _ in range(3):
                assert await elapsed_seconds(it.hit()) < DEADLINE_SECONDS + SLACK_SECONDS
            assert it.breaker == [True]
            assert await elapsed_seconds(it.hit()) < DEADLINE_SECONDS / 2
            assert await elapsed_seconds(it.remember(B)) < DEADLINE_SECONDS / 2
            assert it.lookups[1:] == [(0, 0, 1)] * 4
            server.resume()
            await within(RECOVERY_SECONDS, it.hit)
            assert it.breaker == [True, False]

    async def test_a_killed_server_is_used_again_when_it_is_back(self, server: Redis) -> None:
        """Connections of before the crash are replaced, and what was lost is a miss."""
        async with watched(server.url) as it:
            await it.remember(A)
            server.kill()
            await open_breaker(it)
            server.start()

            async def works() -> bool:
                await it.remember(B)
                return await it.hit(B)

            await within(RECOVERY_SECONDS, works)
            assert not await it.hit(A)
            assert it.lookups[-1] == (0, 1, 0)

    async def test_an_idle_cache_survives_a_restart_unharmed(self, server: Redis) -> None:
        """A connection that was closed while nobody looked costs not even one lookup."""
        async with watched(server.url) as it:
            await it.remember(A)
            await asyncio.to_thread(server.restart)
            await it.remember(A)
            assert await it.hit()
            assert it.breaker == []

    async def test_a_flush_in_the_middle_makes_misses(self, server: Redis, operator: redis.Redis) -> None:
        """Lanes that ask and tell while everything is flushed see hits and misses, no errors."""
        async with watched(server.url, deadline_seconds=20) as it:

            async def lane(number: int) -> None:
                for turn in range(30):
                    mine = event(b"%d/%d" % (number, turn))
                    await it.remember(mine)
                    await it.hit(mine)

            async def flushes() -> None:
                for _ in range(10):
                    await asyncio.to_thread(operator.flushdb)

            await asyncio.gather(*(lane(number) for number in range(4)), flushes())
            operator.flushdb()
            assert not await it.hit(event(b"0/29"))
            assert sum(errors for _, _, errors in it.lookups) == 0


class TestRefusals:
    async def test_a_full_server_keeps_answering(self, server: Redis, operator: redis.Redis) -> None:
        """Without room for new entries the old ones are still hits."""
        async with watched(server.url) as it:
            await it.remember(A)
            operator.config_set("maxmemory", "1")
            for _ in range(5):
                await it.remember(B)
            assert await it.hit(A)
            assert not await it.hit(B)
            assert it.breaker == []
            operator.config_set("maxmemory", "0")
            await it.remember(B)
            assert await it.hit(B)

    async def test_a_read_only_replica_keeps_answering(self, server: Redis, operator: redis.Redis) -> None:
        """After a failover in the wrong direction entries can be read, and writes are dropped."""
        async with watched(server.url) as it:
            await it.remember(A)
            operator.replicaof("127.0.0.1", "1")
            for _ in range(5):
                await it.remember(B)
            assert await it.hit(A)
            assert not await it.hit(B)
            assert it.breaker == []

    async def test_a_server_that_cannot_be_silenced_confuses_nobody(
        self, server: Redis, operator: redis.Redis
    ) -> None:
        """It answers more than it was asked for; none of that is taken for the answer to a later question."""
        operator.acl_setuser("talker", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-client"])
        async with watched(server.url.replace("//", "//talker:@"), max_connections=1) as it:
            for _ in range(5):
                await it.remember(A, event(b"c"), event(b"d"))
                assert not await it.hit(B)
                assert it.lookups[-1] == (0, 1, 0)
            assert it.breaker == []
            with pytest.raises(Unavailable, match="NoPermission"):
                await it.cache.ping()

    async def test_a_connection_that_is_out_of_step_is_given_up(self) -> None:
        """Though nothing is left on it to be read yet: what comes next would be too late."""
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            while await reader.read(65536):
                writer.write(b"+OK\r\n+OK\r\n+OK\r\n")

        async with listening(serve) as port, watched(f"redis://127.0.0.1:{port}", max_connections=1) as it:
            await it.remember(A)
            await it.remember(A)
            assert connections == 2

    @pytest.mark.parametrize("login", [":wrong-secret@", "nobody:wrong-secret@", ""])
    async def test_a_wrong_password_opens_the_breaker(
        self, server: Redis, operator: redis.Redis, login: str
    ) -> None:
        """Nothing is known, and the error for people names the reason without the password."""
        operator.config_set("requirepass", "right-secret")
        async with watched(server.url.replace("//", f"//{login}")) as it:
            await it.remember(A)
            await open_breaker(it)
            with pytest.raises(Unavailable, match="AuthenticationError") as caught:
                await it.cache.ping()
            assert caught.value.part == "redis"
            assert "secret" not in str(caught.value)

    async def test_the_right_password_opens_the_door(self, server: Redis, operator: redis.Redis) -> None:
        """A password and a database number in the URL are used."""
        operator.config_set("requirepass", "right-secret")
        url = server.url.replace("//", "//:right-secret@").removesuffix("/0")
        async with watched(f"{url}/5") as it:
            await it.remember(A)
            assert await it.hit()
        with redis.Redis.from_url(f"{url}/5") as client:
            assert client.keys() == [b"processed:event:a"]

    async def test_a_database_that_is_not_there_is_an_outage(self, server: Redis) -> None:
        """No connection is ever used in a database that was not asked for."""
        async with watched(server.url.removesuffix("/0") + "/9999") as it:
            await open_breaker(it)
            with pytest.raises(Unavailable):
                await it.cache.ping()


class TestSlowness:
    async def test_an_answer_that_comes_too_late_is_nobodys(self, server: Redis) -> None:
        """The late answer for one event must not be taken for that of the next: it would lose an event."""
        async with proxy_to(server.port) as proxy, watched(proxy.url, max_connections=1) as it:
            await it.remember(A)
            proxy.flowing.clear()
            assert not await it.hit(A)
            assert await proxy.requests.get()
            assert await proxy.requests.get()
            # The answer for A is on its way; on the same connection it would come before B's.
            asked = asyncio.create_task(it.hit(B))
            assert await proxy.requests.get()
            proxy.flowing.set()
            assert not await asked
            assert it.lookups[-1] == (0, 1, 0)
            assert await it.hit(A)

    async def test_a_huge_value_costs_a_deadline(self, server: Redis, operator: redis.Redis) -> None:
        """100 MB under one of our keys are not read to the end, and the next lookup is as good as ever."""
        operator.setrange("processed:event:b", 100_000_000, b"x")
        async with watched(server.url) as it:
            await it.remember(A)
            assert await elapsed_seconds(it.hit(B)) < DEADLINE_SECONDS + SLACK_SECONDS
            assert await it.hit(A)

    async def test_a_busy_loop_is_not_a_slow_redis(self, server: Redis) -> None:
        """Work of other lanes that takes longer than the deadline, again and again, is not Redis' fault."""

        async def work() -> None:
            while True:
                time.sleep(1.5 * DEADLINE_SECONDS)  # noqa: ASYNC251 - what decoding a large batch is to the loop
                await asyncio.sleep(0)

        async with watched(server.url) as it:
            await it.remember(A)
            busy = asyncio.create_task(work())
            assert [await it.hit() for _ in range(3)] == [True] * 3
            busy.cancel()
            assert it.breaker == []

    async def test_many_lanes_share_few_connections(self, server: Redis) -> None:
        """Lanes wait for a connection instead of failing."""
        async with watched(server.url, deadline_seconds=20, max_connections=2) as it:
            await it.remember(A)
            assert all(await asyncio.gather(*(it.hit() for _ in range(100))))

    async def test_a_queue_of_lanes_is_not_a_slow_redis(self, server: Redis) -> None:
        """Together they take longer than the deadline, each alone does not."""
        async with proxy_to(server.port) as proxy, watched(proxy.url, max_connections=2) as it:
            await it.remember(A)
            proxy.delay_seconds = DEADLINE_SECONDS / 4
            assert all(await asyncio.gather(*(it.hit() for _ in range(30))))
            assert it.breaker == []

    async def test_a_cancelled_lookup_passes_the_cancellation_on(self, server: Redis) -> None:
        """It neither swallows it nor keeps its connection, nor does it say anything about Redis."""
        async with watched(server.url, deadline_seconds=20, max_connections=1) as it:
            await it.remember(A)
            server.suspend()
            for _ in range(5):
                lookup = asyncio.create_task(it.hit())
                await asyncio.sleep(0.02)
                lookup.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await lookup
            assert it.breaker == []
            server.resume()
            assert await it.hit()

    async def test_a_cancelled_trial_does_not_keep_the_breaker_open(self, server: Redis) -> None:
        """The next call after a cancelled trial is a trial again."""
        async with watched(server.url) as it:
            await it.remember(A)
            server.suspend()
            await open_breaker(it)
            await asyncio.sleep(1.1)
            trial = asyncio.create_task(it.hit())
            await asyncio.sleep(0.02)
            trial.cancel()
            with suppress(asyncio.CancelledError):
                await trial
            server.resume()
            assert await it.hit()


class TestStrangers:
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(b"", id="silence"),
            pytest.param(b"-LOADING Redis is loading the dataset in memory\r\n", id="loading"),
            pytest.param(b"-MASTERDOWN Link with MASTER is down\r\n", id="master-down"),
            pytest.param(b"-ERR max number of clients reached\r\n", id="too-many-clients"),
            pytest.param(b"-\xff\xfe\r\n", id="error-in-no-encoding"),
            pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="a-web-server"),
            pytest.param(b"\x00\x01\xff", id="binary"),
            pytest.param(b"+OK\r\n", id="ok"),
            pytest.param(b"*-1\r\n", id="null-list"),
            pytest.param(b"*2\r\n$8\r\n5eed:3:7\r\n$8\r\n5eed:3:7\r\n", id="too-many-values"),
            pytest.param(b"*0\r\n", id="too-few-values"),
            pytest.param(b"*1\r\n*1\r\n$8\r\n5eed:3:7\r\n", id="a-list-of-lists"),
            pytest.param(b"*1\r\n:3\r\n", id="a-number"),
            pytest.param(b"*1\r\n-ERR no\r\n", id="an-error-as-value"),
            pytest.param(b"%1\r\n*1\r\n:1\r\n:2\r\n", id="a-map-with-a-list-as-key"),
            pytest.param(b"$99999999999999\r\n", id="endless-text"),
        ],
    )
    async def test_whatever_answers_costs_speed_only(self, answer: bytes) -> None:
        """Asking and telling never raise, and nothing is taken for a hit."""
        async with answering(answer) as url, watched(url) as it:
            for _ in range(4):
                assert not await it.hit()
                await it.remember(A)

    async def test_nobody_there(self) -> None:
        """A port where nothing listens is found out at once."""
        async with watched(f"redis://127.0.0.1:{free_port()}") as it:
            assert not await it.hit()
            with pytest.raises(Unavailable) as caught:
                await it.cache.ping()
            assert caught.value.part == "redis"

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "http://127.0.0.1",
            "127.0.0.1:6379",
            "redis://h:secret",
            "redis://:se/cret@h",
            "redis://h?secret=1",
        ],
    )
    def test_a_url_that_cannot_be_used_is_refused_at_once(self, url: str) -> None:
        """A wrong setting is told at start, without a piece of a password."""
        with pytest.raises(ValueError, match="Redis URL") as caught:
            connection_pool(url, max_connections=1)
        assert "se" not in str(caught.value).replace("Redis", "")


class TestConnections:
    async def test_ping_answers_and_fails(self, server: Redis) -> None:
        """Readiness hears of an outage whatever the breaker says."""
        async with watched(server.url) as it:
            await it.cache.ping()
            server.suspend()
            with pytest.raises(Unavailable, match="TimeoutError"):
                await it.cache.ping()
            server.resume()
            await it.cache.ping()

    async def test_closing_leaves_no_connection(self, server: Redis, operator: redis.Redis) -> None:
        """After timeouts, too, every connection is gone in the end."""
        async with watched(server.url) as it:
            await asyncio.gather(*(it.hit() for _ in range(8)))
            server.suspend()
            await asyncio.gather(*(it.hit() for _ in range(8)))
            assert await elapsed_seconds(it.cache.close()) < DEADLINE_SECONDS + SLACK_SECONDS
            server.resume()

        async def alone() -> bool:
            return len(operator.client_list()) == 1

        await within(5, alone)

    async def test_tls_is_spoken_and_the_certificate_checked(self, tls_server: TlsServer) -> None:
        """`rediss://` works with the right authority and reaches nobody without it."""
        async with watched(
            f"{tls_server.url}?ssl_ca_certs={tls_server.certificate}", deadline_seconds=5
        ) as it:
            await it.remember(A)
            assert await it.hit()
        async with watched(tls_server.url, deadline_seconds=5) as it:
            assert not await it.hit()
            with pytest.raises(Unavailable):
                await it.cache.ping()


@dataclass(frozen=True)
class TlsServer:
    url: str
    certificate: Path


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[TlsServer]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is missing")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [openssl, *request.split(), *names, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    port = free_port()
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    for _ in running("--tls-port", str(port), *files):
        yield TlsServer(f"rediss://127.0.0.1:{port}/0", certificate)

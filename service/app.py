"""The composition root: builds every part from the settings, wires them, starts and stops them.

The only file that knows all of them. Reading it from the top tells what the service is made of; `run` tells
in which order it lives and dies.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as installed_version
from typing import TypeVar

from service.api.app import create_app
from service.api.server import HttpServer
from service.api.stats import build_stats
from service.core.errors import Unavailable
from service.core.health import Status
from service.core.ports import ProcessedCache
from service.core.types import Operation, Partition
from service.database import Database
from service.entities.registry import ENTITIES
from service.formats.native import decoder
from service.monitor import Monitor, Probe
from service.pipeline.batching import BatchLimits
from service.pipeline.claim import StartPolicy
from service.pipeline.flood import FloodGuard
from service.pipeline.observe import Observer
from service.pipeline.parked import Retrier, Return
from service.pipeline.partition import Lane
from service.pipeline.process import Route
from service.pipeline.retry import RetryPolicy, jittered_delays
from service.pipeline.run import Consumer
from service.schema import require_schema
from service.settings import (
    BatchSettings,
    KafkaSettings,
    RetentionSettings,
    RetrySettings,
    Settings,
)
from service.sinks.letters import SqlLetters
from service.sinks.sql import SqlSink
from service.sources.kafka import KafkaOptions, KafkaSource
from service.stores.dead_letters import count_by_status
from service.stores.processed_cache import NoCache, RedisProcessedCache
from service.stores.purging import LetterPurge, MarkPurge
from service.stores.retention import Retention
from service.telemetry.logging import get_logger
from service.telemetry.metrics import Metrics

VERSION = installed_version("upsertd")

Answer = TypeVar("Answer")

log = get_logger(__name__)


async def run(settings: Settings) -> int:
    """Consume until SIGTERM or SIGINT, then drain; 0 when everything in flight was finished, 1 otherwise.

    A second signal ends the process at once. Raises `OSError` when the HTTP address cannot be had.
    """
    stopping = asyncio.Event()
    _stop_on_signals(stopping)
    service = Service(settings)
    _spare_the_collector()
    try:
        return await service.run(stopping)
    finally:
        await service.close()


class Service:
    """Every part, built and wired but not started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.metrics = Metrics(VERSION, ENTITIES)
        self.database = build_database(settings, self.metrics)
        self.cache = build_cache(settings, self.metrics)
        self.sink = SqlSink(self.database, ENTITIES, settings.kafka.group_id, utc_now)
        self.letters = SqlLetters(self.database, self.sink, utc_now)
        self.retries = retry_policy(settings.retry)
        self.flood = FloodGuard(settings.flood_guard.ratio, settings.flood_guard.window_records)
        self.source = KafkaSource(kafka_options(settings.kafka))
        self.consumer = Consumer(self.source, self._make_lane)
        self._looking = asyncio.Lock()
        self.monitor = Monitor(
            self._probes(),
            lanes=lambda: self.consumer.lanes,
            ends=self.source.lag_ends,
            letters=lambda: self._look(lambda: count_by_status(self.database)),
            metrics=self.metrics,
        )
        self.retention = build_retention(settings.retention, self.database, self._looking, self.metrics)
        api = create_app(
            metrics_text=self.metrics.text,
            stats=lambda: build_stats(self.metrics.registry),
            live=self.monitor.live,
            ready=self.monitor.ready,
            resume=self.flood.resume,
            version=VERSION,
        )
        self.http = HttpServer(api, settings.http.host, settings.http.port)
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._entities = topics(settings.kafka)
        self.retrier = Retrier(self.letters, self._returns(), self.retries)

    async def run(self, stopping: asyncio.Event) -> int:
        """Serve and consume until `stopping` is set; health answers until the last lane has drained."""
        self.http.bind()
        async with asyncio.TaskGroup() as background:
            background.create_task(self.http.serve(), name="http")
            monitor = background.create_task(self.monitor.run(), name="monitor")
            retrier = background.create_task(self.retrier.run(), name="retrier")
            purging = background.create_task(self.retention.run(), name="retention")
            log.info(
                "started",
                version=VERSION,
                owner=self._owner,
                topics=list(self._entities),
                port=self.http.port,
            )
            try:
                await _until(stopping, self._consume())
            finally:  # also when the server or the monitor has failed
                log.info("draining")
                self.retention.stop()
                drain = self.consumer.stop(self._settings.shutdown.timeout_seconds)
                unfinished = await _to_its_end(drain)
            retrier.cancel()
            monitor.cancel()
            purging.cancel()
            self.http.stop()
        for what in unfinished:
            log.error("not drained in time", what=what)
        log.info("stopped")
        return 1 if unfinished else 0

    async def close(self) -> None:
        """Close every connection."""
        if isinstance(self.cache, RedisProcessedCache):
            await self.cache.close()
        await self.database.close()

    async def _consume(self) -> None:
        """Wait for the schema, join the group; from then on the lanes work."""
        for delay_seconds in jittered_delays():
            try:
                await require_schema(self.database)
            except Unavailable as error:
                log.warning("waiting for the database", reason=str(error))
                await asyncio.sleep(delay_seconds)
            else:
                break
        await self.consumer.start()
        await asyncio.Event().wait()

    def _make_lane(self, partition: Partition) -> Lane:
        entity = ENTITIES[self._entities[partition.topic]]
        observe = Observer(self.metrics, entity.name, utc_now)
        settings = self._settings
        return Lane(
            partition,
            self.source,
            Route(entity.name, decoder(entity), self.cache, self.sink, observe, self.retries, self.flood),
            owner=self._owner,
            policy=start_policy(settings.kafka),
            limits=batch_limits(settings.batch),
            lanes=lambda: len(self.consumer.lanes),
        )

    def _returns(self) -> dict[str, Return]:
        """How a parked record of each topic is tried again."""
        entities = {topic: ENTITIES[name] for topic, name in self._entities.items()}
        return {
            topic: Return(decoder(entity), Observer(self.metrics, entity.name, utc_now))
            for topic, entity in entities.items()
        }

    async def _look(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask the database one question at a time: looking after it takes one connection, not three."""
        async with self._looking:
            return await question()

    async def _find_topics(self) -> None:
        """Raise `Unavailable` for topics that do not exist (yet): nothing is wrong with the others."""
        missing = [name for name in self._entities if not await self.source.topic_partitions(name)]
        if missing:
            raise Unavailable(f"there is no topic {', '.join(missing)}", part="kafka")

    def _probes(self) -> dict[str, Probe]:
        probes = {
            "database": Probe(lambda: self._look(self.database.ping)),
            "schema": Probe(lambda: self._look(lambda: require_schema(self.database))),
            "kafka": Probe(self.source.ping),
            "topics": Probe(self._find_topics, when_away=Status.DEGRADED),
        }
        if isinstance(self.cache, RedisProcessedCache):
            probes["redis"] = Probe(self.cache.ping, when_away=Status.DEGRADED)
        return probes


def build_database(settings: Settings, metrics: Metrics) -> Database:
    """The pool of connections, with its gauges."""
    database = Database(
        settings.database.connection_url,
        settings.database.pool_size,
        ssl=settings.database.ssl_context(),
        on_statement=metrics.db_statements.inc,
        on_wait=metrics.db_pool_wait.observe,
    )
    metrics.db_pool_size.set(database.pool_size)
    metrics.db_pool_in_use.set_function(lambda: database.in_use)
    metrics.db_pool_in_use_peak.set_function(lambda: database.in_use_peak)
    return database


def build_cache(settings: Settings, metrics: Metrics) -> ProcessedCache:
    """Redis, or nothing where no Redis is configured."""

    def count_lookup(hits: int, misses: int, errors: int) -> None:
        for result, number in (("hit", hits), ("miss", misses), ("error", errors)):
            metrics.cache_lookups.labels(result).inc(number)

    breaker = metrics.circuit_breaker_open.labels("redis")
    url = settings.redis.connection_url
    if url is None:
        return NoCache(count_lookup)
    return RedisProcessedCache(
        url.get_secret_value(),
        default_ttl_seconds=settings.redis.ttl_seconds,
        ttl_seconds=settings.redis.ttl_seconds_by_entity,
        on_lookup=count_lookup,
        on_breaker=breaker.set,
    )


def build_retention(
    settings: RetentionSettings, database: Database, turn: asyncio.Lock, metrics: Metrics
) -> Retention:
    """The purges of marks and dead letters; each batch waits for its `turn`."""
    marks = MarkPurge(database, timedelta(days=settings.mark_days), settings.mark_horizon_records, utc_now)
    letters = LetterPurge(database, timedelta(days=settings.dead_letter_days), utc_now)
    return Retention((letters, marks), turn, lambda table, rows: metrics.purged.labels(table).inc(rows))


def kafka_options(kafka: KafkaSettings) -> KafkaOptions:
    """What the Kafka adapter needs, out of the settings."""
    sasl_password, key_password = (
        secret.get_secret_value() if secret else None for secret in (kafka.sasl_password, kafka.ssl_password)
    )
    return KafkaOptions(
        kafka.bootstrap_servers,
        kafka.group_id,
        tuple(topics(kafka)),
        session_timeout_seconds=kafka.session_timeout_seconds,
        metadata_max_age_seconds=kafka.metadata_max_age_seconds,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password=sasl_password,
        ssl_cafile=kafka.ssl_ca_file,
        ssl_certfile=kafka.ssl_certificate_file,
        ssl_keyfile=kafka.ssl_key_file,
        ssl_key_password=key_password,
        ssl_check_hostname=kafka.ssl_check_hostname,
    )


def start_policy(kafka: KafkaSettings) -> StartPolicy:
    """What operators chose for partitions that are new, or whose position has left the log."""
    return StartPolicy(
        new_from_latest=kafka.auto_offset_reset == "latest",
        go_on_at_earliest=kafka.offset_out_of_range == "earliest",
    )


def batch_limits(batch: BatchSettings) -> BatchLimits:
    """What one transaction takes."""
    return BatchLimits(batch.max_records, batch.max_bytes, batch.linger_ms / 1000)


def retry_policy(retries: RetrySettings) -> RetryPolicy:
    """When and how often operators want a parked record to be tried again."""
    attempts = {operation: retries.attempts(operation) for operation in Operation}
    return RetryPolicy(tuple(map(float, retries.delays_seconds)), attempts)


def topics(kafka: KafkaSettings) -> dict[str, str]:
    """The topics to consume, each with the name of its entity."""
    return {topic: entity for entity in ENTITIES if (topic := kafka.topic(entity)) is not None}


def utc_now() -> datetime:
    """The time as the database keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def _spare_the_collector() -> None:
    """Let the garbage collector pass over what lives as long as the process, and look at the rest less often.

    A batch makes thousands of objects that reference counting frees; looking for cycles among them took a
    tenth of the client's time. Failures do leave cycles: see `Patience`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        stopping.set()
        for each in signals:  # the next one ends the process at once
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for each in signals:
        loop.add_signal_handler(each, stop)


async def _to_its_end(work: Coroutine[object, object, Answer]) -> Answer:
    """Do `work` to its end, though somebody cancels us meanwhile: a server that fails during the drain."""
    working = asyncio.create_task(work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await working
        raise


async def _until(stopping: asyncio.Event, work: Coroutine[object, object, None]) -> None:
    """Do `work`, which may have no end, until `stopping` is set; what it raises is raised."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, stopped):
            task.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)

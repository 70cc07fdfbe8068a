"""The naive consumer, frozen: what the benchmark compares with. `python -m benchmarks.naive` runs it.

The classic way to make events "idempotent" with an ORM: ask Redis, then check, upsert and mark as three
committed statements for each event; three consumers at a time, a pool of ten. It is kept as simple as it is
found in the field and no slower than it must be: one statement a step (the lines of an order take two
more), no read before the upsert, offsets committed by Kafka's client every five seconds. It loses and
doubles events when it crashes and lets old events overwrite newer ones; the benchmark does neither to it.
`tests/benchmarks/test_naive.py` asserts its statements. Settings: environment variables, as upsertd's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from redis.asyncio import Redis
from sqlalchemy import DECIMAL, JSON, BigInteger, DateTime, String, Text, delete, select
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CONCURRENCY = 3
POOL_SIZE = 10


class Base(DeclarativeBase):
    """The tables of the naive consumer."""


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    email: Mapped[str | None] = mapped_column(String(320))
    name: Mapped[str | None] = mapped_column(String(255))
    phone: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str | None] = mapped_column(String(32))
    address: Mapped[Any] = mapped_column(JSON)
    attributes: Mapped[Any] = mapped_column(JSON)
    version: Mapped[int | None] = mapped_column(BigInteger)
    synced_at: Mapped[datetime] = mapped_column(DateTime)


class Product(Base):
    __tablename__ = "products"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sku: Mapped[str | None] = mapped_column(String(64))
    name: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str | None] = mapped_column(String(128))
    price: Mapped[Decimal | None] = mapped_column(DECIMAL(18, 4))
    currency: Mapped[str | None] = mapped_column(String(3))
    stock_quantity: Mapped[int | None]
    status: Mapped[str | None] = mapped_column(String(32))
    attributes: Mapped[Any] = mapped_column(JSON)
    version: Mapped[int | None] = mapped_column(BigInteger)
    synced_at: Mapped[datetime] = mapped_column(DateTime)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    customer_id: Mapped[int | None] = mapped_column(BigInteger)
    order_number: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str | None] = mapped_column(String(32))
    currency: Mapped[str | None] = mapped_column(String(3))
    total: Mapped[Decimal | None] = mapped_column(DECIMAL(18, 4))
    placed_at: Mapped[datetime | None] = mapped_column(DateTime)
    version: Mapped[int | None] = mapped_column(BigInteger)
    synced_at: Mapped[datetime] = mapped_column(DateTime)


class OrderItem(Base):
    __tablename__ = "order_items"
    order_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    line_no: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    product_id: Mapped[int | None] = mapped_column(BigInteger)
    quantity: Mapped[Decimal | None] = mapped_column(DECIMAL(18, 4))
    unit_price: Mapped[Decimal | None] = mapped_column(DECIMAL(18, 4))


class ProcessedEvent(Base):
    __tablename__ = "processed_events"
    event_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    entity: Mapped[str] = mapped_column(String(64))
    entity_id: Mapped[int] = mapped_column(BigInteger)
    processed_at: Mapped[datetime] = mapped_column(DateTime)


MODELS: Mapping[str, type[Base]] = {"customer": Customer, "product": Product, "order": Order}


class NaiveConsumer:
    """Handles one event at a time on behalf of each of its consumers."""

    def __init__(self, engine: AsyncEngine, cache: Redis, ttl_seconds: int) -> None:
        self._session = async_sessionmaker(engine, expire_on_commit=False)
        self._cache = cache
        self._ttl_seconds = ttl_seconds

    async def handle(self, record: ConsumerRecord) -> None:
        """Apply the event in `record` unless Redis or the database knows it."""
        event = json.loads(record.value, parse_float=Decimal)
        key = f"processed:event:{event['event_id']}"
        if await self._cache.exists(key):
            return
        if not await self._is_processed(event["event_id"]):
            await self._upsert(event)
            await self._mark(event)
        await self._cache.set(key, "1", ex=self._ttl_seconds)

    async def _is_processed(self, event_id: str) -> bool:
        async with self._session() as session:
            query = select(ProcessedEvent.event_id).where(ProcessedEvent.event_id == event_id)
            known = await session.scalar(query)
            await session.commit()
        return known is not None

    async def _upsert(self, event: dict[str, Any]) -> None:
        entity = event["event_type"].partition(".")[0]
        lines = event["data"].pop("lines", None)
        row = _row(event)
        statement = insert(MODELS[entity]).values(**row)
        async with self._session() as session:
            await session.execute(statement.on_duplicate_key_update(**row))
            if lines is not None:
                await self._replace_lines(session, event["entity_id"], lines)
            await session.commit()

    async def _replace_lines(self, session: AsyncSession, order_id: int, lines: list[dict[str, Any]]) -> None:
        await session.execute(delete(OrderItem).where(OrderItem.order_id == order_id))
        session.add_all(OrderItem(order_id=order_id, **line) for line in lines)

    async def _mark(self, event: dict[str, Any]) -> None:
        async with self._session() as session:
            entity = event["event_type"].partition(".")[0]
            event_id, entity_id = event["event_id"], event["entity_id"]
            mark = ProcessedEvent(
                event_id=event_id, entity=entity, entity_id=entity_id, processed_at=datetime.now()
            )
            session.add(mark)
            await session.commit()


def _row(event: dict[str, Any]) -> dict[str, Any]:
    data = event["data"]
    if "placed_at" in data:
        data["placed_at"] = datetime.fromisoformat(data["placed_at"]).replace(tzinfo=None)
    return {"id": event["entity_id"], **data, "version": event["version"], "synced_at": datetime.now()}


def open_engine(url: str) -> AsyncEngine:
    """A pool of connections to `mysql://…`."""
    # JSON columns cannot write a Decimal: a float, as such consumers do.
    to_json = partial(json.dumps, default=float)
    address = url.replace("mysql://", "mysql+aiomysql://", 1)
    return create_async_engine(
        address,
        pool_size=POOL_SIZE,
        max_overflow=0,
        json_serializer=to_json,
        # With the default, three consumers that replace lines lock each other's gaps: deadlocks.
        isolation_level="READ COMMITTED",
    )


async def consume(consumer: NaiveConsumer, topics: list[str]) -> None:
    """Join the group with one member and handle its records one by one, without end."""
    source = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=os.environ["KAFKA_GROUP_ID"],
        auto_offset_reset="earliest",
    )
    await source.start()
    try:
        async for record in source:
            await consumer.handle(record)
    finally:
        await source.stop()


async def run() -> None:
    """Make the tables and consume until cancelled."""
    engine = open_engine(os.environ["DATABASE_URL"])
    cache = Redis.from_url(os.environ["REDIS_URL"])
    topics = os.environ["KAFKA_TOPICS"].split(",")
    consumer = NaiveConsumer(engine, cache, int(os.environ.get("REDIS_TTL", "300")))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(consume(consumer, topics))
    finally:
        await cache.aclose()
        await engine.dispose()


async def run_until_terminated() -> None:
    """Run until SIGTERM."""
    running = asyncio.create_task(run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    asyncio.run(run_until_terminated())

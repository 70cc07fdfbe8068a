"""Where the stages are in the service: its parts are wrapped from outside, the service knows nothing of it.

The one module that names the service's insides. Called by `consumer` before the service is built. A name
that is not there any more is an error, never a stage that silently takes nothing.
"""

from __future__ import annotations

import inspect
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]  # asyncio's own
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, NamedTuple

from benchmarks.stages.ledger import Account, Ledger
from benchmarks.stages.names import (
    ASK,
    BACKGROUND,
    BUILD,
    COMMIT,
    CONNECTION,
    DECIDE,
    DECODE,
    FETCH,
    KAFKA_CLIENT,
    LANE,
    LOOK_UP,
    OBSERVE,
    OTHER,
    REMEMBER,
    SETTLE,
    WRITE,
)


class NotThere(Exception):
    """A part of the service that a stage was to be found by has gone."""


class Point(NamedTuple):
    """`place` is `module:object` or `module:class.method`; what it takes belongs to `stage`."""

    place: str
    stage: str


POINTS = (
    Point("service.sources.kafka:KafkaSource.fetch", FETCH),
    Point("service.pipeline.process:decode_all", DECODE),
    Point("service.stores.processed_cache:RedisProcessedCache.seen", LOOK_UP),
    Point("service.sinks.sql:SqlSink.apply", DECIDE),
    Point("service.sinks.events:EventTables.decide", DECIDE),
    Point("service.sinks.events:EventTables.questions", BUILD),
    Point("service.sinks.events:EventTables._upsert", BUILD),
    Point("service.sinks.events:EventTables._mark", BUILD),
    Point("service.dialects.mysql_run:_commands", BUILD),
    Point("service.database:Database._acquire", CONNECTION),
    Point("sqlalchemy.ext.asyncio:AsyncTransaction.start", CONNECTION),
    Point("sqlalchemy.ext.asyncio:AsyncConnection.close", CONNECTION),
    Point("service.sinks.sql:SqlSink._ask", ASK),
    Point("service.database:Transaction.write", WRITE),
    Point("service.database:Transaction.execute", OTHER),
    Point("service.database:Transaction.commit", COMMIT),
    Point("service.stores.processed_cache:RedisProcessedCache.remember", REMEMBER),
    Point("service.sources.kafka:KafkaSource.commit", SETTLE),
    Point("service.pipeline.observe:Observer.written", OBSERVE),
    Point("service.pipeline.observe:Observer.taken", OBSERVE),
    Point("service.pipeline.observe:Observer.processed", OBSERVE),
    Point("service.pipeline.observe:Observer.committed", OBSERVE),
)

# Whose a task is, by the module that its coroutine function is in; the first that fits.
TASKS = (
    ("service.pipeline.partition", LANE),
    ("aiokafka.", KAFKA_CLIENT),
    ("service.sources.", KAFKA_CLIENT),
    ("", BACKGROUND),
)


def attach(ledger: Ledger, points: tuple[Point, ...] = POINTS) -> None:
    """Wrap every point, for the rest of this process. Raises `NotThere`, then nothing is wrapped."""
    for (owner, name, original), point in [(found(point), point) for point in points]:
        setattr(owner, name, wrapped(ledger, ledger.account(point.stage), original))


def attach_sockets(ledger: Ledger, stages: Mapping[int, str]) -> None:
    """Put what it takes to read from a socket to the stage of its peer's port.

    The event loop reads, not the task that waits for the answer: its part of a stage would be the loop's.
    """
    accounts = {port: ledger.account(stage) for port, stage in stages.items()}
    owner, name, read = found(Point("asyncio.selector_events:_SelectorSocketTransport._read_ready", ""))

    def read_ready(transport: _SelectorSocketTransport) -> None:
        peer = transport.get_extra_info("peername")
        account = accounts.get(peer[1]) if isinstance(peer, tuple) else None
        if account is None:
            read(transport)
            return
        before = ledger.change(account)
        try:
            read(transport)
        finally:
            ledger.change(before)

    setattr(owner, name, read_ready)


def stage_of_task(work: Coroutine[object, object, object]) -> str:
    """The stage of a task that runs this coroutine."""
    frame = getattr(work, "cr_frame", None)
    module = "" if frame is None else str(frame.f_globals.get("__name__"))
    return next(stage for prefix, stage in TASKS if module.startswith(prefix))


def wrapped(ledger: Ledger, account: Account, original: Callable[..., Any]) -> Callable[..., Any]:
    """`original`, whatever it is called with; a coroutine is followed, an iterator's items are counted in."""
    if inspect.iscoroutinefunction(original):

        @wraps(original)
        def follow(*arguments: object, **options: object) -> Coroutine[object, object, Any]:
            return ledger.follow(original(*arguments, **options), account)

        return follow

    @wraps(original)
    def at_once(*arguments: object, **options: object) -> Any:
        with ledger.at(account):
            answer = original(*arguments, **options)
        return ledger.through(answer, account) if isinstance(answer, Iterator) else answer

    return at_once


def found(point: Point) -> tuple[Any, str, Callable[..., Any]]:
    """Who has what is to be wrapped, by which name, and what it is."""
    module, _, path = point.place.partition(":")
    *holders, name = path.split(".")
    try:
        owner: Any = import_module(module)
        for holder in holders:
            owner = getattr(owner, holder)
        return owner, name, getattr(owner, name)
    except (ImportError, AttributeError) as error:
        raise NotThere(
            f"{point.place}, where the stage '{point.stage}' is found, is not there any more ({error}):"
            f" benchmarks.stages.attach.POINTS has to say where it is now"
        ) from error

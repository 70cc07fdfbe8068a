"""The stages of a client in the order in which an event goes through them, and what is told of them.

`attach` says where each is in the service, `report` and `picture` show them.
"""

from __future__ import annotations

from collections.abc import Mapping

FETCH = "fetch"
KAFKA_CLIENT = "Kafka client"
DECODE = "decode"
LOOK_UP = "cache look-up"
DECIDE = "decide"
BUILD = "build statements"
CONNECTION = "get a connection"
ASK = "ask the database"
WRITE = "write"
OTHER = "other statements"
COMMIT = "commit"
REMEMBER = "remember"
SETTLE = "settle"
OBSERVE = "metrics"
LANE = "lane"
BACKGROUND = "background"
LOOP = "event loop"
# The part of the process's CPU time that the thread of the event loop has not taken.
REST = "rest"

MEANINGS: Mapping[str, str] = {
    FETCH: "records out of aiokafka's buffer",
    KAFKA_CLIENT: "aiokafka's own tasks; bytes from the broker",
    DECODE: "records to events",
    LOOK_UP: "which events Redis knows; its answers",
    DECIDE: "known or new, newer or stale; from step to step",
    BUILD: "questions and rows, and the bytes that are sent",
    CONNECTION: "one of the pool's, begun and given back",
    ASK: "fence and look-ups, sent together; the bytes of all answers",
    WRITE: "rows and marks, sent together; their answers",
    COMMIT: "sending it, reading the answer",
    REMEMBER: "entries for Redis",
    SETTLE: "the group's offset, to Kafka, beside the lanes",
    OBSERVE: "counting what became of the events",
    LANE: "taking batches through all this",
    OTHER: "positions, health, letters",
    BACKGROUND: "HTTP, health, retries, retention",
    LOOP: "asyncio itself",
    REST: "other threads, and what was not followed",
}
STAGES = tuple(MEANINGS)

# Where a lane waits for an answer; the others are work, or wait for something to do.
WAITS = (FETCH, LOOK_UP, CONNECTION, ASK, WRITE, COMMIT, REMEMBER)

# What a picture shows as one.
DRAWN: Mapping[str, tuple[str, ...]] = {
    "fetch": (FETCH, KAFKA_CLIENT),
    "decode": (DECODE,),
    "cache look-up": (LOOK_UP,),
    "decide": (DECIDE,),
    "build statements": (BUILD,),
    "ask": (CONNECTION, ASK),
    "write": (WRITE,),
    "commit": (COMMIT,),
    "remember": (REMEMBER,),
    "settle": (SETTLE,),
    "lane, metrics": (LANE, OBSERVE),
    "event loop, rest": (OTHER, BACKGROUND, LOOP, REST),
}

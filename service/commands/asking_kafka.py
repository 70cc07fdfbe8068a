"""How the short commands ask Kafka: its settings, held against the entities, and a client for questions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.app import kafka_options
from service.commands.words import kafka_explained
from service.entities.registry import ENTITIES
from service.settings import KafkaSettings, load_group
from service.settings.problems import reject
from service.sources.kafka_admin import KafkaAdmin

ANSWER_SECONDS = 5.0


def load_kafka_settings() -> KafkaSettings:
    """Kafka's settings, held against the entities that there are. Raises `SettingsError`."""
    settings = load_group(KafkaSettings)
    reject(list(settings.topic_problems(ENTITIES)))
    return settings


@asynccontextmanager
async def open_kafka(settings: KafkaSettings) -> AsyncIterator[KafkaAdmin]:
    """A client for questions to Kafka; its `Unavailable` says why no connection came about."""
    admin = KafkaAdmin(kafka_options(settings), deadline_seconds=ANSWER_SECONDS)
    try:
        with kafka_explained():
            yield admin
    finally:
        await admin.close()

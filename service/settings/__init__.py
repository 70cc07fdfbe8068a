"""All settings, in groups that load apart; this package is the only reader of the environment.

`app` and `__main__` load what a command needs and hand the groups on. Which entities there are is not known
here: `Settings.check_entities` is told.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from service.settings.database import DatabaseSettings
from service.settings.kafka import KafkaSettings
from service.settings.pipeline import BatchSettings, FloodGuardSettings, RetentionSettings, RetrySettings
from service.settings.problems import SettingsError, reject
from service.settings.process import HttpSettings, LogSettings, ShutdownSettings
from service.settings.reading import Group, load_group, problems_with
from service.settings.redis import RedisSettings

__all__ = [
    "GROUPS",
    "BatchSettings",
    "DatabaseSettings",
    "FloodGuardSettings",
    "HttpSettings",
    "KafkaSettings",
    "LogSettings",
    "RedisSettings",
    "RetentionSettings",
    "RetrySettings",
    "Settings",
    "SettingsError",
    "ShutdownSettings",
    "load_group",
    "load_settings",
]

GROUPS: tuple[type[Group], ...] = (
    KafkaSettings,
    DatabaseSettings,
    RedisSettings,
    BatchSettings,
    RetrySettings,
    FloodGuardSettings,
    RetentionSettings,
    HttpSettings,
    LogSettings,
    ShutdownSettings,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `upsertd run` needs to know."""

    kafka: KafkaSettings
    database: DatabaseSettings
    redis: RedisSettings
    batch: BatchSettings
    retry: RetrySettings
    flood_guard: FloodGuardSettings
    retention: RetentionSettings
    http: HttpSettings
    log: LogSettings
    shutdown: ShutdownSettings

    def check_entities(self, entities: Collection[str]) -> None:
        """Raise `SettingsError` unless the settings per entity fit these, all the entities there are."""
        problems = [*self.kafka.topic_problems(entities), *self.redis.entity_problems(entities)]
        reject(problems)


def load_settings() -> Settings:
    """Read every group from the environment. Raises `SettingsError`, which names all that is wrong."""
    reject([problem for group in GROUPS for problem in problems_with(group)])
    settings = Settings(
        kafka=load_group(KafkaSettings),
        database=load_group(DatabaseSettings),
        redis=load_group(RedisSettings),
        batch=load_group(BatchSettings),
        retry=load_group(RetrySettings),
        flood_guard=load_group(FloodGuardSettings),
        retention=load_group(RetentionSettings),
        http=load_group(HttpSettings),
        log=load_group(LogSettings),
        shutdown=load_group(ShutdownSettings),
    )
    reject(list(settings.redis.retention_problems(settings.retention.mark_days)))
    return settings

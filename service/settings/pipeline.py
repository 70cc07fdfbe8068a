"""How events are worked off: batches, retries, the flood guard, and how long things are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.core.types import Operation
from service.settings.forms import (
    Bytes,
    CommaSeparated,
    Days,
    Decimal,
    Milliseconds,
    Records,
    Seconds,
    SwitchOff,
    Unit,
    Whole,
)
from service.settings.reading import Group

_Attempts = Annotated[Whole, Unit("retries"), SwitchOff("0: the first failure is final")]


class BatchSettings(Group):
    """Batches"""

    max_records: Records = Field(
        default=2500,
        ge=1,
        le=10_000,
        validation_alias="BATCH_MAX_RECORDS",
        description="How many records one transaction takes at most; fewer where a process has more than "
        "four partitions, down to 250, so that its lanes have no more than 10,000 in hand together.",
    )
    max_bytes: Bytes = Field(
        default=1_048_576,
        ge=1024,
        le=268_435_456,
        validation_alias="BATCH_MAX_BYTES",
        description="How many bytes of records one transaction takes at most; a single larger record goes "
        "alone. One that `max_allowed_packet` does not let through is a dead letter.",
    )
    linger_ms: Annotated[Milliseconds, SwitchOff("0: a batch is what is there")] = Field(
        default=0,
        ge=0,
        le=10_000,
        validation_alias="BATCH_LINGER_MS",
        description="How long a lane waits for a batch to fill: fewer statements for more delay.",
    )


class RetrySettings(Group):
    """Retries of records that fail for now, such as those whose row stays locked"""

    delays_seconds: Annotated[
        tuple[Annotated[Seconds, Field(ge=1, le=86_400)], ...], CommaSeparated, Unit("seconds")
    ] = Field(
        default=(60, 120, 240),
        min_length=1,
        validation_alias="RETRY_DELAYS_SECONDS",
        description="How long an event that failed waits before each retry, separated by commas; the last "
        "one repeats.",
    )
    attempts_create: _Attempts = Field(
        default=3,
        ge=0,
        le=100,
        validation_alias="RETRY_ATTEMPTS_CREATE",
        description="How often a failed create is retried before it is dead.",
    )
    attempts_update: _Attempts = Field(
        default=3,
        ge=0,
        le=100,
        validation_alias="RETRY_ATTEMPTS_UPDATE",
        description="How often a failed update is retried before it is dead.",
    )
    attempts_delete: _Attempts = Field(
        default=2,
        ge=0,
        le=100,
        validation_alias="RETRY_ATTEMPTS_DELETE",
        description="How often a failed delete is retried before it is dead.",
    )

    def attempts(self, operation: Operation) -> int:
        """How often a failed event of this operation is retried."""
        return {
            Operation.CREATE: self.attempts_create,
            Operation.UPDATE: self.attempts_update,
            Operation.DELETE: self.attempts_delete,
        }[operation]


class FloodGuardSettings(Group):
    """Flood guard"""

    ratio: Decimal = Field(
        default=0.5,
        gt=0,
        le=1,
        validation_alias="DEAD_LETTER_FLOOD_RATIO",
        description="The share of dead letters among the last records at which consuming pauses, instead of "
        "draining the topic into the dead letters, until `POST /control/resume` or a restart.",
    )
    window_records: Annotated[Records, SwitchOff("0: never pause for dead letters")] = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        validation_alias="DEAD_LETTER_FLOOD_WINDOW",
        description="How many of the last records of a process the ratio is taken of; no batch is larger.",
    )


class RetentionSettings(Group):
    """Retention"""

    mark_days: Days = Field(
        default=14,
        ge=1,
        le=3650,
        validation_alias="MARK_RETENTION_DAYS",
        description="How long the marks of handled events are kept at least. A copy of an event that arrives "
        "later is held back by its version alone.",
    )
    mark_horizon_records: Annotated[Records, SwitchOff("0: age alone decides below the position")] = Field(
        default=10_000,
        ge=0,
        le=1_000_000_000,
        validation_alias="MARK_RETENTION_HORIZON_RECORDS",
        description="How many records of each partition keep their marks behind its position, however old "
        "they are.",
    )
    dead_letter_days: Days = Field(
        default=90,
        ge=1,
        le=3650,
        validation_alias="DEAD_LETTER_RETENTION_DAYS",
        description="How long dead letters are kept after their last failure; they hold personal data. One "
        "that is still to be tried again stays.",
    )

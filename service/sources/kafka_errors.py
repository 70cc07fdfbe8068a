"""The border with aiokafka: deadlines, and its exceptions as ours.

Used by every module of this folder that talks to Kafka. Messages name the question and the kind of the
error, never what was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import errors as kafka_errors

from service.core.errors import NotOwner, OffsetOutOfRange, Unavailable

# The group says that somebody else may own the partition, or aiokafka knows that we do not.
_NOT_OWNER = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalStateError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.RebalanceInProgressError,
)


@asynccontextmanager
async def answered(question: str, seconds: float) -> AsyncIterator[None]:
    """Run a conversation with Kafka that must end within `seconds`.

    Raises `NotOwner`, `OffsetOutOfRange`, or `Unavailable` for everything else that aiokafka and the
    network raise: refused, timed out, not authorized, corrupt.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"{question}: no answer from Kafka within {seconds:g} s", part="kafka") from error
    except _NOT_OWNER as error:
        raise NotOwner(f"{question}: {type(error).__name__}") from error
    except kafka_errors.OffsetOutOfRangeError as error:
        raise OffsetOutOfRange(question) from error
    except (kafka_errors.KafkaError, kafka_errors.ConsumerStoppedError, OSError) as error:
        raise Unavailable(f"{question}: {type(error).__name__}", part="kafka") from error

"""One prepared world for all commands of the documentation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.docs.world import DocsWorld, docs_world
from tests.servers import Kafka, MariaDb, Redis


@pytest.fixture(scope="package")
def world(
    kafka: Kafka,
    mariadb: MariaDb,
    redis_server: Redis,
    schema: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DocsWorld]:
    """A running service with events and dead letters."""
    with docs_world(kafka, mariadb, redis_server, schema, tmp_path_factory.mktemp("docs")) as world:
        yield world

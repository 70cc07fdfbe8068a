"""What a run ran on: the machine, the programs and the servers, for its report."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

import redis

from tests.faults.chaos.servers import Servers
from tests.servers import kafka_jars


def versions(servers: Servers) -> Mapping[str, str]:
    """Names and versions, in the order in which a report lists them."""
    with redis.Redis.from_url(servers.redis.url) as client:
        redis_version = str(client.info("server")["redis_version"])
    [(database_version,)] = servers.mariadb.execute("SELECT VERSION()")
    return {
        "upsertd": version("upsertd"),
        "Kafka": _kafka_version(),
        "MariaDB": str(database_version),
        "Redis": redis_version,
        "Python": platform.python_version(),
        "aiokafka": version("aiokafka"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def _kafka_version() -> str:
    pom = ElementTree.parse(Path(kafka_jars.__file__).with_name("kafka-pom.xml"))
    found = pom.find(".//{*}dependency/{*}version")
    return "?" if found is None else str(found.text)

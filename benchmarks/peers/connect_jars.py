"""Kafka Connect with Debezium's JDBC sink, and the converter that reads our events for it.

Called by `debezium`. The jars are those of `connect-pom.xml`; the converter is compiled once for each state
of its source. Both are kept in the cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.servers import ServerMissing
from tests.servers.folders import cache_folder
from tests.servers.kafka_jars import Java, find_java
from tests.servers.programs import find_program

POM = Path(__file__).with_name("connect-pom.xml")
_SOURCE = Path(__file__).with_name("RowConverter.java")
_COMPILE_SECONDS = 120
_TOLD = ("connect-runtime", "debezium-connector-jdbc", "mariadb-java-client")


@dataclass(frozen=True, slots=True)
class ConnectJars:
    """A Java that has all of Kafka Connect, and the folder of the converter's classes."""

    java: Java
    classes: Path

    def command(self, *arguments: str) -> list[str]:
        """The command that runs a class: options, class, its arguments."""
        return [str(self.java.program), "-cp", f"{self.classes}:{self.java.jars}/*", *arguments]

    def versions(self) -> dict[str, str]:
        """The versions of what is measured, Java's among them."""
        return {**pom_versions(), "java": _java_version(self.java)}


def find_connect() -> ConnectJars:
    """All of it, fetched and compiled if need be. Raises `ServerMissing` naming what cannot be had."""
    java = find_java(POM)
    return ConnectJars(java, _classes(java))


def pom_versions() -> dict[str, str]:
    """The versions that the list of jars names."""
    found = {}
    for dependency in ElementTree.parse(POM).iterfind("./{*}dependencies/{*}dependency"):
        name = dependency.findtext("{*}artifactId") or ""
        found[name] = dependency.findtext("{*}version") or ""
    return {name: found[name] for name in _TOLD}


def _classes(java: Java) -> Path:
    # Of its source and of the jars: a class may not fit another version of Connect.
    digest = hashlib.sha256(_SOURCE.read_bytes() + java.jars.name.encode()).hexdigest()[:12]
    classes = cache_folder() / f"connect-converter-{digest}"
    if not classes.exists():
        _compile(java, classes)
    return classes


def _compile(java: Java, classes: Path) -> None:
    """Into a folder of our own first: what is cut off leaves nothing that looks whole."""
    javac = find_program("javac", package="default-jdk-headless")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f"{classes.name}-part-") as part:
        target = Path(part) / "classes"
        command = [str(javac.path), "-proc:none", "-cp", f"{java.jars}/*", "-d", str(target), str(_SOURCE)]
        environment = {**os.environ, **javac.environment}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=_COMPILE_SECONDS
        )
        if done.returncode:
            raise ServerMissing(f"the converter could not be compiled:\n{done.stdout}{done.stderr}")
        try:
            target.rename(classes)
        except OSError:
            # Another run was faster, which is as good; anything else is not.
            if not classes.exists():
                raise


def _java_version(java: Java) -> str:
    command = [str(java.program), "-version"]
    done = subprocess.run(
        command, env=java.full_environment(), capture_output=True, text=True, check=False, timeout=30
    )
    found = re.search(r'version "([^"]+)"', done.stderr)
    return found[1] if found else ""

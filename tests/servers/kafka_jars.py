"""Java and Kafka's jars, which Maven copies into the cache once. Called by `kafka.py`.

The benchmarks ask for the jars of another list.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.errors import ServerMissing
from tests.servers.folders import cache_folder
from tests.servers.programs import find_program

_POM = Path(__file__).with_name("kafka-pom.xml")
_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime and the folder with Kafka's jars."""

    program: Path
    jars: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        """The command that runs a class of Kafka: options, class, its arguments."""
        return [str(self.program), "-cp", f"{self.jars}/*", *arguments]

    def full_environment(self) -> dict[str, str]:
        """The environment to run the command with."""
        return {**os.environ, **self.environment}


def find_java(pom: Path = _POM) -> Java:
    """Java and the jars of `pom`, fetched if need be. Raises `ServerMissing` naming what cannot be had."""
    java = find_program("java", package="default-jre-headless")
    return Java(java.path, _jars(pom), java.environment)


def _jars(pom: Path) -> Path:
    # Named after its list, so that a new version is fetched and an old checkout finds its own.
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:12]
    jars = cache_folder() / f"{pom.stem.removesuffix('-pom')}-{digest}"
    if not jars.exists():
        _fetch(pom, jars)
    return jars


def _fetch(pom: Path, jars: Path) -> None:
    """Copy the jars to a folder of our own first: a fetch that is cut off leaves nothing that looks whole."""
    sys.stderr.write(f"fetching the jars of {pom.name} with Maven\n")
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix=f"{jars.name}-part-") as part:
        _copy_dependencies(pom, Path(part) / "jars")
        try:
            (Path(part) / "jars").rename(jars)
        except OSError:
            # Another run was faster, which is as good; anything else is not.
            if not jars.exists():
                raise


def _copy_dependencies(pom: Path, target: Path) -> None:
    maven = find_program("mvn", package="maven")
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={target}", "-DincludeScope=runtime"]
    command = [str(maven.path), "-q", "-B", "-f", str(pom), *goal]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            env={**os.environ, **maven.environment},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerMissing(
            f"Maven did not fetch the jars of {pom.name} within {_TIMEOUT_SECONDS} s"
        ) from error
    if done.returncode != 0:
        shutil.rmtree(target, ignore_errors=True)
        raise ServerMissing(f"Maven could not fetch the jars of {pom.name}: {done.stdout.strip()[-600:]}")

"""`python -m tests.container` (`make container-check`): builds the image and runs it, for real.

One line a step; ends whatever it started; exits 1 at the first step that fails and says why. Needs a Docker
engine, or root on Debian, where it brings one up and makes the images that it cannot pull.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.container import build, compose, lint, story
from tests.container.docker import Docker, engine
from tests.container.documents import base_image, compose_images
from tests.container.errors import CheckFailed
from tests.container.images import provide
from tests.servers import ServerFailed, ServerMissing


def main() -> int:
    """Run every step; 1 when one fails."""
    began = time.monotonic()
    try:
        _check()
    except (CheckFailed, ServerFailed, ServerMissing) as error:
        print(f"FAILED {error}", flush=True)
        return 1
    print(f"passed in {time.monotonic() - began:.0f} s")
    return 0


def _check() -> None:
    with _step("Dockerfile, compose files and manifests fit their schemas"):
        if problems := lint.problems():
            raise CheckFailed("\n".join(problems))
    with engine() as docker:
        print(f"{'':9} engine: {'one of our own' if docker.own else 'the one that is here'}", flush=True)
        _check_image(docker)
        _check_running(docker)
        _check_compose(docker)


def _check_image(docker: Docker) -> None:
    with _step(f"base image {base_image()}") as said:
        said.append(provide(docker, base_image()))
    with _step("the image builds") as said:
        said.append(build.build(docker))
    with _step("no compiler, pip, cache, secret or foreign authority in it"):
        build.inspect(docker)
    with _step("`demo` says what is missing") as said:
        said.append(story.refuses_demo(docker))


def _check_running(docker: Docker) -> None:
    with story.servers() as world:
        with _step("migrate") as said:
            said.append(story.run_command(docker, world, "migrate"))
        with _step("alembic upgrade head, upsertd check") as said:
            story.run_command(docker, world, "alembic", "upgrade", "head")
            said.append(story.run_command(docker, world, "check").replace("\n", "; "))
        with story.Service(docker, world) as service:
            _check_service(service)


def _check_service(service: story.Service) -> None:
    with _step("ready, read-only and without capabilities"):
        service.wait_ready()
    with _step("events get into the database") as said:
        said.append(f"{service.consume()} events, every second one a copy")
    with _step("both probes answer; the health check says healthy"):
        service.wait_healthy()
        service.check_probes()
    with _step("its own user, no capability, no file written"):
        service.check_process()
    with _step("SIGTERM ends it with 0") as said:
        said.append(f"{service.stop():.1f} s")
        service.check_log()


def _check_compose(docker: Docker) -> None:
    for image in sorted(compose_images()):
        with _step(f"image {image}") as said:
            said.append(provide(docker, image))
    program = compose.find_compose(docker)
    with _step(f"Compose {compose.version(program)} understands both files"):
        compose.check_files(docker, program)
    with _step("docker-compose.redis.yml"):
        compose.check_redis(docker, program, password="")
    with _step("docker-compose.redis.yml with a password"):
        compose.check_redis(docker, program, password="secret")
    with _step("docker-compose.yml: from Kafka to MariaDB and Prometheus") as said:
        said.append(compose.check_all(docker, program))


@contextmanager
def _step(what: str) -> Iterator[list[str]]:
    """Print a line about a step when it has passed; what is put into the list stands behind it."""
    began = time.monotonic()
    said: list[str] = []
    try:
        yield said
    except Exception:
        print(f"  failed {what}", flush=True)
        raise
    print(f"{time.monotonic() - began:7.1f} s {': '.join([what, *said])}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""What is checked, read once: the Dockerfile's instructions, compose services, Kubernetes objects.

Called by `lint`, the tests and the steps of the container check, which judge it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = CHECKOUT / "Dockerfile"
COMPOSE_FILES = (CHECKOUT / "docker-compose.yml", CHECKOUT / "docker-compose.redis.yml")
KUBERNETES = CHECKOUT / "deploy" / "kubernetes"

# YAML as it comes; the schemas have checked its shape.
Document = Mapping[str, Any]


def instructions(name: str, dockerfile: Path = DOCKERFILE) -> list[str]:
    """The arguments of every instruction `name` of a Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile.read_text())
    return re.findall(rf"^{name}\s+(.*)$", joined, re.MULTILINE)


def base_image() -> str:
    """The image that the Dockerfile builds on unless it is told otherwise."""
    return next(arg.removeprefix("BASE=") for arg in instructions("ARG") if arg.startswith("BASE="))


def image_user() -> str:
    """The user and group that the image runs as, as it names them."""
    return instructions("USER")[-1]


def image_port() -> int:
    """The port that the image names as its own."""
    return int(instructions("EXPOSE")[-1])


def compose_services(file: Path) -> Mapping[str, Document]:
    """The services of a compose file by name."""
    services: Mapping[str, Document] = yaml.safe_load(file.read_text())["services"]
    return services


def compose_images() -> set[str]:
    """The images that the compose files pull."""
    services = [service for file in COMPOSE_FILES for service in compose_services(file).values()]
    return {service["image"] for service in services if "image" in service and "build" not in service}


def kubernetes_objects() -> Iterator[Document]:
    """Every object of the manifests."""
    for file in sorted(KUBERNETES.glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text())


def pod_templates() -> list[Document]:
    """The `spec` of every pod that the manifests run."""
    return [
        each["spec"]["template"]["spec"]
        for each in kubernetes_objects()
        if "template" in each.get("spec", {})
    ]

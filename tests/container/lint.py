"""Validates the container's files against their schemas, offline.

Called by `tests/unit/test_manifests.py` and by the container check. Whether the files agree with each other
and with the settings is in that test; whether they work, in the other modules.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types

from tests.container.documents import COMPOSE_FILES, DOCKERFILE, Document, kubernetes_objects

# The oldest that we write for, and the newest that the validator knows.
KUBERNETES_VERSIONS = ("1.31", kubernetes_validate.latest_version().rpartition(".")[0])
# Kinds that are no part of Kubernetes itself have their schema here.
_SCHEMAS = Path(__file__).with_name("schemas")
_PROGRAMS = Path(sys.executable).parent


def problems() -> list[str]:
    """All that the validators say of the Dockerfile, the compose files and the manifests."""
    return [*dockerfile_problems(), *compose_problems(), *kubernetes_problems()]


def dockerfile_problems(*dockerfiles: Path) -> Iterator[str]:
    """What hadolint says; of the image's Dockerfile when none is given."""
    files = [str(file) for file in dockerfiles or (DOCKERFILE,)]
    yield from _complaints(["hadolint", "--no-color", *files])


def compose_problems(*files: Path) -> Iterator[str]:
    """What the compose specification's schema says; of all compose files when none is given."""
    for file in files or COMPOSE_FILES:
        yield from _complaints(["check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)])


def kubernetes_problems() -> Iterator[str]:
    """What the schemas say of every manifest; unknown fields are errors."""
    for each in kubernetes_objects():
        for version in KUBERNETES_VERSIONS:
            yield from object_problems(each, version)


def object_problems(document: Document, version: str) -> Iterator[str]:
    """What the schemas of one version of Kubernetes say of one object."""
    name = f"{document['kind']} {document.get('metadata', {}).get('name', '')}"
    own = _SCHEMAS / f"{document['kind'].lower()}.json"
    try:
        if own.exists():
            yield from (f"{name}: {why}" for why in _schema_problems(document, own))
        else:
            kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{name} (Kubernetes {version}): {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield f"{name}: {error.message}"


def _schema_problems(document: Document, schema: Path) -> Iterator[str]:
    yield from _complaints(["check-jsonschema", "--schemafile", str(schema), "-"], json.dumps(document))


def _complaints(command: list[str], given: str = "") -> Iterator[str]:
    program = str(_PROGRAMS / command[0])
    done = subprocess.run(
        [program, *command[1:]], input=given, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        yield (done.stdout + done.stderr).strip()

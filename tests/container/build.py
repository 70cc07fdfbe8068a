"""Builds the image as a person would, and looks at what got into it.

Called by `python -m tests.container`. How the machine reaches its package index is handed to the build as
secrets, which leave no trace: that too is looked at.
"""

from __future__ import annotations

import configparser
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.container.docker import Docker
from tests.container.documents import CHECKOUT, base_image, image_port, image_user
from tests.container.errors import CheckFailed

TAG = "upsertd:check"

# Where the Dockerfile mounts the secret `ca_bundle`.
_BUNDLE_IN_BUILD = "/etc/ssl/certs/ca-certificates.crt"
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
_PIP_VARIABLES = ("index_url", "extra_index_url", "trusted_host", "timeout")
_PIP_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")

# Each prints a line for everything that has no business in the image.
_TOOLS = """
for tool in cc gcc g++ c++ make ld uv; do command -v "$tool"; done
python -m pip --version 2>/dev/null
"""
_SEARCH = """
for path in /etc/pip.conf /run/secrets /src ~/.cache ~/.config; do
    [ ! -e "$path" ] || echo "$path"
done
find / -xdev \\( -path /proc -o -path /sys \\) -prune -o \\
    \\( -name '.env' -o -name '.git' -o -name '*.whl' -o -name 'http-v2' -o -name 'id_rsa*' \\) -print
find /opt/upsertd /app -user 10001 -o -perm -0002 ! -type l
"""
_BYTECODE = "find /opt/upsertd -path '*/site-packages/service/*' -name '*.pyc' | grep -c ."
_DIGEST = f"sha256sum {_BUNDLE_IN_BUILD}"


def build(docker: Docker) -> str:
    """Build the image as `TAG`; says how large it is."""
    with _secrets() as secrets:
        docker.run("build", "--network", "host", *secrets, "--tag", TAG, ".", folder=CHECKOUT, seconds=1200)
    size = int(docker.run("image", "inspect", "--format", "{{.Size}}", TAG))
    base = int(docker.run("image", "inspect", "--format", "{{.Size}}", base_image()))
    return f"{size / 1e6:.0f} MB, of which the base is {base / 1e6:.0f} MB"


def inspect(docker: Docker) -> None:
    """Check what the image says of itself and what is in it. Raises `CheckFailed`."""
    _check_configuration(docker)
    if tools := _in_image(docker, TAG, _TOOLS).strip():
        raise CheckFailed(f"the image holds tools of a build: {tools}")
    # What the base brings along is its own affair.
    inherited = _in_image(docker, base_image(), _SEARCH).splitlines()
    if found := sorted(set(_in_image(docker, TAG, _SEARCH).splitlines()) - set(inherited)):
        raise CheckFailed(f"the image holds what it should not: {' '.join(found)}")
    if int(_in_image(docker, TAG, _BYTECODE)) < 1:
        raise CheckFailed("the image holds no bytecode of the service")
    if _in_image(docker, TAG, _DIGEST) != _in_image(docker, base_image(), _DIGEST):
        raise CheckFailed("the authorities that the build was given have got into the image")


def _check_configuration(docker: Docker) -> None:
    (image,) = json.loads(docker.run("image", "inspect", TAG))
    config = image["Config"]
    wanted = {
        "User": image_user(),
        "StopSignal": "SIGTERM",
        "WorkingDir": "/app",
        "ExposedPorts": {f"{image_port()}/tcp": {}},
    }
    for name, value in wanted.items():
        if config.get(name) != value:
            raise CheckFailed(f"the image's {name} is {config.get(name)!r} instead of {value!r}")
    if config["User"].split(":")[0] in ("", "0", "root"):
        raise CheckFailed("the image runs as root")
    if not config.get("Healthcheck"):
        raise CheckFailed("the image has no health check")
    if leaked := [each for each in config["Env"] if each.startswith(("PIP_", "http", "HTTPS"))]:
        raise CheckFailed(f"the image keeps settings of the build: {' '.join(leaked)}")


def _in_image(docker: Docker, image: str, script: str) -> str:
    options = ("--rm", "--user", "0", "--network", "none", "--entrypoint", "sh")
    return docker.attempt("run", *options, image, "-c", script).stdout


@contextmanager
def _secrets() -> Iterator[list[str]]:
    """The options that let the build reach the package index as this machine does."""
    with tempfile.TemporaryDirectory(prefix="upsertd-build-") as folder:
        options: list[str] = []
        pip = _pip_configuration()
        if bundle := _bundle(pip):
            pip["global"]["cert"] = _BUNDLE_IN_BUILD
            options += ["--secret", f"id=ca_bundle,src={bundle}"]
        file = Path(folder) / "pip.conf"
        with file.open("w") as opened:
            pip.write(opened)
        yield [*options, "--secret", f"id=pip_conf,src={file}"]


def _pip_configuration() -> configparser.RawConfigParser:
    """What pip is told here, by its files and by the environment."""
    pip = configparser.RawConfigParser()
    pip.read(
        [Path(name).expanduser() for name in (*_PIP_FILES, os.environ.get("PIP_CONFIG_FILE") or os.devnull)]
    )
    if not pip.has_section("global"):
        pip.add_section("global")
    for name in _PIP_VARIABLES:
        if value := os.environ.get(f"PIP_{name.upper()}"):
            pip["global"][name.replace("_", "-")] = value
    return pip


def _bundle(pip: configparser.RawConfigParser) -> str | None:
    """The file of the authorities that this machine trusts, if it names one."""
    named = [os.environ.get(name) for name in _BUNDLES]
    candidates = [*named, pip["global"].get("cert"), _BUNDLE_IN_BUILD]
    return next((name for name in candidates if name and Path(name).is_file()), None)

"""The images that ours builds on and runs beside: pulled, or made by hand where nothing can be pulled.

A hand-made one stands under the name of the real one in an engine of our own, never in the machine's. It
tries our files, not the real image.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tests.container.docker import Docker, run_program
from tests.container.documents import base_image
from tests.container.errors import CheckFailed
from tests.servers import ServerMissing
from tests.servers.folders import cache_folder
from tests.servers.kafka_jars import find_java
from tests.servers.programs import find_program

_PULL_SECONDS = 300
_RELEASE = "bookworm"
_BASE_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_STAND_INS = Path(__file__).with_name("stand_ins")


def provide(docker: Docker, image: str) -> str:
    """Have `image` in the engine; says whether it is `there`, `pulled` or `made by hand`.

    Raises `CheckFailed` when it cannot be had.
    """
    if docker.succeeds("image", "inspect", image):
        return "there"
    pulled = docker.attempt("pull", "--quiet", image, seconds=_PULL_SECONDS)
    if pulled.returncode == 0:
        return "pulled"
    if not docker.own:
        raise CheckFailed(f"{image} cannot be pulled: {pulled.stderr.strip()}")
    _make(docker, image)
    return "made by hand"


def _make(docker: Docker, image: str) -> None:
    if image == base_image():
        docker.run("import", str(_base_archive()), image)
    else:
        _make_stand_in(docker, image)


def _base_archive() -> Path:
    """A Debian with Python, packed; made once and kept in the cache."""
    archive = cache_folder() / "container" / f"{_RELEASE}.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory(prefix="upsertd-base-") as folder:
            root = Path(folder) / "root"
            _bootstrap(root)
            archive.parent.mkdir(exist_ok=True)
            packed = Path(folder) / "base.tar"
            _must(["tar", "--create", f"--file={packed}", f"--directory={root}", "."])
            shutil.move(packed, archive)
    return archive


def _bootstrap(root: Path) -> None:
    try:
        program = find_program("debootstrap", package="debootstrap")
    except ServerMissing as missing:
        raise CheckFailed(f"{base_image()} cannot be pulled, and {missing}") from missing
    options = ["--variant=minbase", f"--include={_BASE_PACKAGES}"]
    _must([str(program.path), *options, _RELEASE, str(root)])
    for needless in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / needless)


def _make_stand_in(docker: Docker, image: str) -> None:
    """Build `<name>.Dockerfile` of the stand-ins for an image such as `prom/<name>:v3`."""
    name = image.rpartition("/")[2].partition(":")[0]
    if not (_STAND_INS / f"{name}.Dockerfile").exists():
        raise CheckFailed(f"{image} cannot be pulled, and nothing stands in for it")
    provide(docker, base_image())
    with tempfile.TemporaryDirectory(prefix="upsertd-stand-in-") as folder:
        context = Path(folder) / "context"
        shutil.copytree(_STAND_INS, context)
        if name == "kafka":
            shutil.copytree(find_java().jars, context / "jars")
        arguments = [*("--network", "host"), "--build-arg", f"BASE={base_image()}", *_proxies()]
        docker.run(
            "build", *arguments, "--file", f"{context}/{name}.Dockerfile", "--tag", image, str(context)
        )


def _proxies() -> list[str]:
    """The machine's proxies, which a build takes over by name without keeping them."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return [part for name in names if name in os.environ for part in ("--build-arg", name)]


def _must(command: list[str]) -> None:
    done = run_program(command, {}, seconds=900)
    if done.returncode != 0:
        raise CheckFailed(f"{command[0]} failed: {(done.stdout + done.stderr).strip()[-600:]}")

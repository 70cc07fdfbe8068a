"""Debian packages: installed by root, otherwise unpacked into the cache with everything they depend on.

Called by `programs.py`. Whether it worked is for the caller to see: it looks for the program again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.servers.folders import cache_folder

_TIMEOUT_SECONDS = 600
_TO_INSTALL = re.compile(r"^Inst (\S+)", re.MULTILINE)


def unpacked_root() -> Path:
    """The folder into which packages are unpacked as if it were `/`."""
    return cache_folder() / "packages" / "root"


@cache
def install(package: str) -> None:
    """Try to get `package`, once in a run; does nothing where there is no apt."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return
    sys.stderr.write(f"getting the package {package}\n")
    try:
        if os.geteuid() == 0:
            _install_as_root(package)
        else:
            _unpack_as_anybody(package)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{package}: {error}\n{_output(error)}\n")


def _install_as_root(package: str) -> None:
    _run(["apt-get", "-qq", "update"])
    _run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", package])


def _unpack_as_anybody(package: str) -> None:
    apt = _private_apt()
    _run([*apt, "update"])
    plan = _run([*apt, "install", "--simulate", "--yes", "--no-install-recommends", package])
    for name in _TO_INSTALL.findall(plan):
        _unpack(apt, name)


def _private_apt() -> list[str]:
    """An apt-get with lists and archives of its own, for which it needs no rights."""
    folder = cache_folder() / "packages"
    for needed in ("lists/partial", "archives/partial"):
        (folder / needed).mkdir(parents=True, exist_ok=True)
    return ["apt-get", "-qq", "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}"]


def _unpack(apt: Sequence[str], name: str) -> None:
    folder = cache_folder() / "packages" / "downloaded" / name
    folder.mkdir(parents=True, exist_ok=True)
    _run([*apt, "download", name], folder=folder)
    unpacked_root().mkdir(parents=True, exist_ok=True)
    for archive in folder.glob("*.deb"):
        _run(["dpkg", "-x", str(archive), str(unpacked_root())])
    shutil.rmtree(folder)


def _run(command: Sequence[str], folder: Path | None = None) -> str:
    # Runlevel 1: a package that is installed does not start its server.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C", "RUNLEVEL": "1"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_SECONDS,
        cwd=folder,
        env=environment,
        check=True,
    )
    return done.stdout


def _output(error: subprocess.CalledProcessError | subprocess.TimeoutExpired) -> str:
    return str(error.stdout or "").strip()[-1000:]

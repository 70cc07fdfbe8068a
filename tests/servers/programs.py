"""Finding the programs that servers are made of, and installing what is not there.

Called by `kafka.py`, `mariadb.py` and `redis.py`; how packages are installed is `packages.py`'s.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import packages
from tests.servers.errors import ServerMissing

# Servers often stand where an ordinary user's PATH does not lead.
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Program:
    """A program, what it needs in its environment, and the folder that stands for `/` to it."""

    path: Path
    root: Path = Path("/")
    environment: dict[str, str] = field(default_factory=dict)


def find_program(name: str, *, package: str) -> Program:
    """The program `name`, from Debian's `package` if need be. Raises `ServerMissing` when there is none."""
    found = _on_path(name) or _unpacked(name)
    if found is None:
        packages.install(package)
        found = _on_path(name) or _unpacked(name)
    if found is None:
        raise ServerMissing(f"{name} is not on the PATH, and no package manager could install {package}")
    return found


def _on_path(name: str) -> Program | None:
    folders = [os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS]
    path = shutil.which(name, path=os.pathsep.join(folders))
    return None if path is None else Program(Path(path))


def _unpacked(name: str) -> Program | None:
    root = packages.unpacked_root()
    folders = [str(root / folder) for folder in ("usr/bin", "usr/sbin")]
    path = shutil.which(name, path=os.pathsep.join(folders))
    return None if path is None else Program(Path(path), root, _environment(root, folders))


def _environment(root: Path, folders: list[str]) -> dict[str, str]:
    """Libraries and helper programs of unpacked packages are found only when they are named."""
    libraries = [str(folder) for folder in (*root.glob("usr/lib/*-linux-gnu*"), root / "usr/lib")]
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    return {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PATH": path}

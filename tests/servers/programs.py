"""Finding the programs that servers are made of, and installing what is not there.

Called by the modules of the servers; how packages are installed is `packages.py`'s.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
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


def find_program(name: str, *, package: str, folders: Sequence[str] = ()) -> Program:
    """The program `name`, from Debian's `package` if need be. Raises `ServerMissing` when there is none.

    `folders` are patterns, relative to `/`, of where else the package puts it.
    """
    found = _on_path(name, folders) or _unpacked(name, folders)
    if found is None:
        packages.install(package)
        found = _on_path(name, folders) or _unpacked(name, folders)
    if found is None:
        raise ServerMissing(f"{name} is not on the PATH, and no package manager could install {package}")
    return found


def _on_path(name: str, folders: Sequence[str]) -> Program | None:
    known = [os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS, *_matching(Path("/"), folders)]
    path = shutil.which(name, path=os.pathsep.join(known))
    return None if path is None else Program(Path(path))


def _unpacked(name: str, folders: Sequence[str]) -> Program | None:
    root = packages.unpacked_root()
    known = [str(root / "usr/bin"), str(root / "usr/sbin"), *_matching(root, folders)]
    path = shutil.which(name, path=os.pathsep.join(known))
    return None if path is None else Program(Path(path), root, _environment(root, known))


def _matching(root: Path, patterns: Sequence[str]) -> list[str]:
    return [str(folder) for pattern in patterns for folder in sorted(root.glob(pattern), reverse=True)]


def _environment(root: Path, folders: list[str]) -> dict[str, str]:
    """Libraries and helper programs of unpacked packages are found only when they are named."""
    libraries = [str(folder) for folder in (*root.glob("usr/lib/*-linux-gnu*"), root / "usr/lib")]
    path = os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])
    return {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "PATH": path}

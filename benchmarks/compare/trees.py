"""The service of a commit, or the working tree as it is now, in a temporary folder. Called by `__main__`.

A copy also of the working tree: whoever edits it while the comparison runs changes nothing that is measured.
Git is only asked, so no other work in the checkout is disturbed.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]
# What a running service is made of.
_PARTS = ("service", "migrations", "requirements", "alembic.ini", "pyproject.toml")
_PIN = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_LABEL_LENGTH = 10


class NoSuchCommit(Exception):
    """This checkout does not know the commit."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder with a service to run; `label` is its commit, with a `+` for the working tree."""

    label: str
    title: str
    folder: Path


@contextmanager
def taken(commit: str | None) -> Iterator[Tree]:
    """The tree of `commit`, None for the working tree; it is gone at the end. Raises `NoSuchCommit`."""
    label, title = _name(commit or "HEAD")
    with tempfile.TemporaryDirectory(prefix="upsertd-compare-") as name:
        folder = Path(name)
        if commit is None:
            _copy(folder)
            yield Tree(f"{label}+", f"the working tree on {title}", folder)
        else:
            _extract(label, folder)
            yield Tree(label, title, folder)


def unlike_installed(tree: Tree) -> list[str]:
    """Each package that the tree pins to another version than the one that is installed, as a line."""
    file = tree.folder / "requirements" / "run.txt"
    pins: defaultdict[str, list[str]] = defaultdict(list)
    for name, pinned in _PIN.findall(file.read_text(encoding="utf-8") if file.exists() else ""):
        pins[name].append(pinned)
    # A package may be pinned twice, for two versions of Python; one that is for other systems is not there.
    return [
        f"{name} {' or '.join(wanted)}, installed is {installed}"
        for name, wanted in pins.items()
        if (installed := _installed(name)) is not None and installed not in wanted
    ]


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _name(commit: str) -> tuple[str, str]:
    """A commit's short id, and its subject."""
    told = _git("log", "-1", f"--abbrev={_LABEL_LENGTH}", "--format=%h %s", f"{commit}^{{commit}}", "--")
    label, _, title = told.decode(errors="replace").strip().partition(" ")
    return label, title


def _copy(folder: Path) -> None:
    for part in _PARTS:
        here = _CHECKOUT / part
        if here.is_dir():
            shutil.copytree(here, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif here.exists():
            shutil.copy2(here, folder / part)


def _extract(commit: str, folder: Path) -> None:
    archive = _git("archive", "--format=tar", commit)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=_CHECKOUT, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise NoSuchCommit(done.stderr.decode(errors="replace").strip())
    return done.stdout

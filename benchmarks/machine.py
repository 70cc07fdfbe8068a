"""On what and with what something was measured: part of every result of this package."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil

from benchmarks.servers import DATABASE_OPTIONS

_CHECKOUT = Path(__file__).parents[1]
_PACKAGES = {name: name for name in ("upsertd", "aiokafka", "sqlalchemy", "aiomysql")} | {"redis-py": "redis"}


class Machine(msgspec.Struct, frozen=True):
    """The machine, the versions of all parts, the servers' options, the commit ("" where there is none)."""

    began_at: str
    cores: int
    memory_gb: float
    system: str
    commit: str
    versions: dict[str, str]
    database_options: list[str]


def machine(
    server_versions: Mapping[str, str], database_options: Sequence[str] = DATABASE_OPTIONS
) -> Machine:
    """This machine, now. `server_versions` is what the servers say of themselves."""
    packages = {name: version(package) for name, package in _PACKAGES.items()}
    return Machine(
        began_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=psutil.cpu_count() or 0,
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        system=f"{platform.system()} {platform.machine()}",
        commit=commit(),
        versions={"python": platform.python_version(), **server_versions, **packages},
        database_options=list(database_options),
    )


def commit() -> str:
    """The commit of this checkout, with a `+` when something was changed since; "" outside of a clone."""
    described = _git("describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=10")
    return described.strip()


def told(measured: Machine, *more: str) -> str:
    """One sentence fragment for a page: `2026-11-22 on 2 cores, …; kafka 4.1.1, …; MariaDB with …`."""
    versions = ", ".join(f"{name} {value}" for name, value in measured.versions.items())
    options = " ".join(f"`{option}`" for option in measured.database_options)
    where = f"{measured.cores} cores, {measured.memory_gb:g} GB, {measured.system}"
    at = f"commit {measured.commit}" if measured.commit else "no commit"
    day = measured.began_at[:10]
    return "; ".join((f"{day} on {where}, {at}", *more, versions, f"MariaDB with {options}"))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=_CHECKOUT, capture_output=True, text=True, check=False, timeout=10
        )
    except OSError:
        return ""
    return done.stdout

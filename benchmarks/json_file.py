"""What was measured, kept as JSON that people can read. Called by the commands that measure and report."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

Measured = TypeVar("Measured", bound=msgspec.Struct)


def write(measured: msgspec.Struct, file: Path) -> None:
    """Write `measured`, over what is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")


def read(file: Path, kind: type[Measured]) -> Measured:
    """Read what `write` wrote. Raises `OSError` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(file.read_bytes(), type=kind)

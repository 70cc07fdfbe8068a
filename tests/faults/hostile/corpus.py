"""The kept inputs: one small file each in `corpus/`, named by what it shows, replayed by the tests.

A file is JSON; bytes stand in it as text, each as the character of its number (Latin-1), so that a reader
sees what is sent and git sees plain text. `ends` is how it must end, today and from now on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.faults.hostile.cases import Case

FOLDER = Path(__file__).with_name("corpus")
_NO_WORD = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Kept:
    """An input of the corpus and its ending."""

    name: str
    case: Case
    ends: str


def load(folder: Path = FOLDER) -> Iterator[Kept]:
    """All kept inputs, by name."""
    for path in sorted(folder.glob("*.json")):
        stored = json.loads(path.read_text(encoding="ascii"))
        case = Case(stored["table"], _bytes(stored["key"]), _bytes(stored["value"]), stored["timestamp_ms"])
        yield Kept(path.stem, case, stored["ends"])


def keep(shows: str, case: Case, ends: str, folder: Path = FOLDER) -> Path:
    """Write an input that shows something new; returns its file."""
    stored = {
        "ends": ends,
        "table": case.table,
        "timestamp_ms": case.timestamp_ms,
        "key": _text(case.key),
        "value": _text(case.value),
    }
    path = _unused(folder, _NO_WORD.sub("-", shows.lower()).strip("-")[:80])
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="ascii")
    return path


def _unused(folder: Path, stem: str) -> Path:
    numbers = ("", *(f"-{number}" for number in range(2, 1000)))
    return next(path for number in numbers if not (path := folder / f"{stem}{number}.json").exists())


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")

"""What the documentation shows of a command, held against what the command prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_ANYTHING = "…"


def missing(shown: Sequence[str], printed: str) -> list[str]:
    """The lines of `shown` that `printed` does not have, in the same order and alike.

    `…` stands for anything, and so does every word with a digit in it; blanks are as wide as they like.
    `printed` may have more lines.
    """
    rest = iter(line.strip() for line in printed.splitlines())
    return [line for line in shown if line.strip() != _ANYTHING and not _found(_pattern(line), rest)]


def _found(pattern: re.Pattern[str], rest: Iterator[str]) -> bool:
    """Whether one of the lines that are left fits; those up to it are used up."""
    return any(pattern.fullmatch(line) for line in rest)


def _pattern(line: str) -> re.Pattern[str]:
    parts = (_words(part) for part in line.strip().split(_ANYTHING))
    return re.compile(r"\s*.*\s*".join(parts))


def _words(text: str) -> str:
    return r"\s+".join(_word(word) for word in text.split())


def _word(word: str) -> str:
    return r"\S+" if re.search(r"\d", word) else re.escape(word)

"""What is wrong with settings, in one line and without values.

Used by the groups and by whoever loads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError


class SettingsError(Exception):
    """Wrong settings: one line that names each variable and what is wrong with it, never its value."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one environment variable; `why` continues its name: `is not set`."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name} {self.why}"


def reject(problems: Sequence[Problem]) -> None:
    """Raise `SettingsError` if there are any problems."""
    if problems:
        raise SettingsError(one_line(problems))


def one_line(problems: Iterable[Problem]) -> str:
    """All problems in one printable line, each once."""
    line = "; ".join(dict.fromkeys(map(str, problems)))
    return "".join(character if character.isprintable() else "?" for character in line)


def problems_in(error: ValidationError) -> list[Problem]:
    """Pydantic's findings in our words, without any value."""
    found: list[Problem] = []
    for detail in error.errors(include_url=False, include_input=False):
        context = detail.get("ctx", {})
        found += context.get("problems", [Problem(_name(detail), _why(detail))])
    # Several elements of one list may be wrong: the first says enough.
    first = {problem.name: problem for problem in reversed(found)}
    return list(reversed(first.values()))


def rejection(problems: list[Problem]) -> PydanticCustomError:
    """What a group's own validators raise."""
    return PydanticCustomError("wrong_settings", "wrong settings", {"problems": problems})


def _name(detail: ErrorDetails) -> str:
    head, *rest = detail["loc"] or ("settings",)
    # The members of a family are found under its prefix by their lower-case rest.
    suffix = str(rest[0]).upper() if rest and str(head).endswith("_") else ""
    return f"{head}{suffix}"


def _why(detail: ErrorDetails) -> str:
    """Words for the error types that our forms can give; any other is told without details."""
    context = detail.get("ctx", {})
    words = {
        "missing": "is not set",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "greater_than": f"must be more than {context.get('gt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
        "literal_error": f"must be {str(context.get('expected')).replace(chr(39), '')}",
        "bool_parsing": "must be true or false",
        "string_too_long": f"must have at most {context.get('max_length')} characters",
        "wrong_form": detail["msg"],
    }
    return words.get(detail["type"], "has the wrong form")

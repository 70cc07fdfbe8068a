"""The forms a setting's value can have, and what the reference page says about them.

Used by the groups. A form's message never holds the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a number: `seconds`."""

    name: str


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """How to switch off what the setting does."""

    how: str


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What holds while the setting is not set, where its plain default does not say it."""

    text: str


def wrong_form(why: str) -> PydanticCustomError:
    """What a validator raises; `why` continues the variable's name: `must be a whole number`."""
    return PydanticCustomError("wrong_form", "{why}", {"why": why})


def matching(pattern: str, why: str) -> BeforeValidator:
    """A text that `pattern` matches as a whole; other types are left to pydantic."""
    compiled = re.compile(pattern)

    def check(value: object) -> object:
        if isinstance(value, str) and not compiled.fullmatch(value):
            raise wrong_form(why)
        return value

    return BeforeValidator(check)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


AnyCase = BeforeValidator(_lower)
AnyCaseUpper = BeforeValidator(_upper)
CommaSeparated = BeforeValidator(_split)

# Plain digits only: pydantic would take `1_000`, `30.0` and surrounding space as well.
Whole = Annotated[int, matching(r"[+-]?[0-9]{1,18}", "must be a whole number")]
Decimal = Annotated[float, matching(r"[+-]?[0-9]{0,9}\.?[0-9]{1,9}", "must be a number such as 0.5")]
Seconds = Annotated[Whole, Unit("seconds")]
Milliseconds = Annotated[Whole, Unit("milliseconds")]
Days = Annotated[Whole, Unit("days")]
Bytes = Annotated[Whole, Unit("bytes")]
Records = Annotated[Whole, Unit("records")]

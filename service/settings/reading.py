"""Reads groups of settings from the environment.

Every group of settings is a `Group`; nothing else of upsertd reads the environment. Which settings there
are, and their forms, is left to the modules of the groups.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

from pydantic import SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.settings.problems import Problem, SettingsError, one_line, problems_in, rejection

# A secret is a line, not a disk: a name that points at a device or a log must not fill the memory.
MAX_SECRET_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Prefix:
    """Marks a field that takes every variable whose name begins with its own, by the lower-case rest.

    `keeps_empty`: an empty value says something here, instead of being the same as none.
    """

    keeps_empty: bool = False


class Group(BaseSettings):
    """Settings that belong together and load together; each field's alias is its variable's name."""

    model_config = SettingsConfigDict(
        frozen=True, hide_input_in_errors=True, populate_by_name=True, case_sensitive=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Environment(settings_cls)

    def problems(self) -> Iterable[Problem]:
        """What is wrong between fields that are each right by themselves."""
        return ()

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_unreadable(cls, value: object) -> object:
        if isinstance(value, Problem):
            raise rejection([value])
        return value

    @model_validator(mode="after")
    def _refuse_problems(self) -> Self:
        if problems := list(self.problems()):
            raise rejection(problems)
        return self


GroupType = TypeVar("GroupType", bound=Group)


def load_group(group: type[GroupType]) -> GroupType:
    """Read one group from the environment. Raises `SettingsError`."""
    try:
        return group()
    except ValidationError as error:
        problems = problems_in(error)
    # Outside of the handler: pydantic's error is not carried along as the context.
    raise SettingsError(one_line(problems))


def problems_with(group: type[Group]) -> list[Problem]:
    """What is wrong with a group's variables as they are now."""
    try:
        group()
    except ValidationError as error:
        return problems_in(error)
    return []


def variable(field: FieldInfo) -> str:
    """The name of a field's environment variable."""
    return str(field.validation_alias)


def is_secret(field: FieldInfo) -> bool:
    """Whether the value is a secret, which may stand in a file that `<name>_FILE` names."""
    return SecretStr in (field.annotation, *get_args(field.annotation))


class _Environment(PydanticBaseSettingsSource):
    """Environment variables by exact name; an empty one counts as not set."""

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields.items()
        values = {variable(field): self.get_field_value(field, name)[0] for name, field in fields}
        return {name: value for name, value in values.items() if value is not None}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = variable(field)
        for marker in field.metadata:
            if isinstance(marker, Prefix):
                return _read_family(name, marker.keeps_empty), field_name, False
        return _read_secret(name) if is_secret(field) else _read(name), field_name, False


def _read(name: str) -> str | Problem | None:
    value = os.environ.get(name) or None
    if value is not None and not _is_text(value):
        return Problem(name, "is not valid UTF-8 text")
    return value


def _read_secret(name: str) -> str | Problem | None:
    file_name = f"{name}_FILE"
    path = _read(file_name)
    if path is None or isinstance(path, Problem):
        return path or _read(name)
    if os.environ.get(name):
        return Problem(name, f"and {file_name} are both set: set one of them")
    try:
        return _first_line(Path(path), file_name)
    except OSError as error:
        return Problem(file_name, f"names a file that cannot be read ({os.strerror(error.errno or 0)})")


def _first_line(path: Path, name: str) -> str | Problem:
    with path.open("rb") as file:
        content = file.read(MAX_SECRET_FILE_BYTES + 1)
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return Problem(name, "names a file that is not UTF-8 text")
    if not text or "\n" in text or len(content) > MAX_SECRET_FILE_BYTES:
        return Problem(name, "names a file that does not hold exactly one line")
    return text


def _read_family(prefix: str, keeps_empty: bool) -> dict[str, str] | Problem | None:
    family: dict[str, str] = {}
    for name, value in os.environ.items():
        if name.startswith(prefix) and len(name) > len(prefix) and (value or keeps_empty):
            if not _is_text(name + value):
                return Problem(name, "is not valid UTF-8 text")
            family[name.removeprefix(prefix).lower()] = value
    return family or None


def _is_text(value: str) -> bool:
    # Python hands over bytes that are not UTF-8 as lone surrogates.
    return not any("\ud800" <= character <= "\udfff" for character in value)

"""Writes docs/configuration.md from the fields: `python -m service.settings.reference`.

A test fails while the page in docs/ is another one than `configuration_page` returns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from service.settings import GROUPS
from service.settings.forms import Otherwise, SwitchOff, Unit
from service.settings.reading import Group, Prefix, is_secret, variable

_INTRODUCTION = """\
# Configuration

upsertd is configured by environment variables alone. This page is generated from the code:
`python -m service.settings.reference > docs/configuration.md`.

- An empty variable is the same as none, where the table says nothing else.
- A value of the wrong form or out of range ends the command with exit code 2 and one line on stderr that
  names every wrong setting, never a value.
- A secret can stand in a file of one line: the variable's name followed by `_FILE` takes the file's path.
  Setting both is wrong.
- `KAFKA_BOOTSTRAP_SERVERS` and `DATABASE_URL` are required by the commands that use them.
- Flags are `true` or `false` (`1`, `0`, `yes`, `no`, `on`, `off`), in any case.
"""


def configuration_page() -> str:
    """The whole reference page as Markdown."""
    return "\n".join([_INTRODUCTION, *map(_section, GROUPS)])


def _section(group: type[Group]) -> str:
    title = (group.__doc__ or group.__name__).strip()
    head = f"## {title}\n\n| name | default | values | meaning |\n|---|---|---|---|\n"
    return head + "".join(map(_row, group.model_fields.values()))


def _row(field: FieldInfo) -> str:
    cells = (_names(field), _default(field), _values(field), _meaning(field))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _names(field: FieldInfo) -> str:
    name = variable(field)
    if any(isinstance(marker, Prefix) for marker in field.metadata):
        return f"`{name}<ENTITY>`"
    return f"`{name}`, `{name}_FILE`" if is_secret(field) else f"`{name}`"


def _default(field: FieldInfo) -> str:
    for marker in field.metadata:
        if isinstance(marker, Otherwise):
            return marker.text
    if field.is_required():
        return "required"
    default = field.get_default()
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"
    return "-" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _values(field: FieldInfo) -> str:
    """The choices, or the range and the unit; texts and flags explain themselves."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    units = [marker.name for marker in _markers(field) if isinstance(marker, Unit)]
    return " ".join([*_bounds(field), *units[:1]]) or "-"


def _bounds(field: FieldInfo) -> Iterator[str]:
    for marker in _markers(field):
        match marker:
            case Ge(ge=bound):
                yield f"{bound} to"
            case Gt(gt=bound):
                yield f"more than {bound}, up to"
            case Le(le=bound):
                yield f"{bound}"


def _markers(field: FieldInfo) -> Iterator[object]:
    """The field's own markers, then those of the values that it collects."""
    yield from field.metadata
    for argument in get_args(field.annotation):
        for marker in getattr(argument, "__metadata__", ()):
            yield from marker.metadata if isinstance(marker, FieldInfo) else (marker,)


def _meaning(field: FieldInfo) -> str:
    off = [f"Off: {marker.how}." for marker in field.metadata if isinstance(marker, SwitchOff)]
    return " ".join([field.description or "", *off])


if __name__ == "__main__":
    sys.stdout.write(configuration_page())

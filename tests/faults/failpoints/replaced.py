"""Replacing a piece of the service, or of a client, while the process starts."""

from __future__ import annotations

from typing import Any


def replaced(owner: object, name: str, replacement: object) -> Any:
    """Put something else in the place of `owner.name` and return what was there.

    Raises AttributeError where there is nothing: a failpoint must not be gone because a name has changed.
    """
    original = getattr(owner, name)
    setattr(owner, name, replacement)
    return original

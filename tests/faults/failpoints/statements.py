"""What a statement is called: its verb and table, such as `select customers`."""

from __future__ import annotations

import re

from sqlalchemy import Select
from sqlalchemy.sql import Executable

_VERB_AND_TABLE = re.compile(r"(\w+)(?: .*?(?:INTO|FROM) `(\w+)`)?")
# How an insert ends that goes over rows which are there; the dead letters' names its key alone.
_OVERWRITES = re.compile(r" ON DUPLICATE KEY UPDATE `(\w+)` = VALUES\(`\1`\)")


def name_of(statement: Executable | str) -> str:
    """Verb and table; an insert that goes over older rows is an `overwrite`."""
    if isinstance(statement, str):
        return _name_of_text(statement)
    if isinstance(statement, Select):
        return f"select {statement.get_final_froms()[0]}"
    return f"{statement.__visit_name__} {getattr(statement, 'table', '')}".rstrip()


def _name_of_text(text: str) -> str:
    found = _VERB_AND_TABLE.match(text)
    if found is None:
        return text
    verb, table = found.groups(default="")
    if _OVERWRITES.search(text):
        verb = "overwrite"
    return f"{verb.lower()} {table}".rstrip()

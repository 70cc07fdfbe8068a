"""docs/data-contract.md says what the code does: examples, tables, error classes."""

from __future__ import annotations

import re

import pytest

from service import bookkeeping
from service.dialects import mysql_errors, postgresql_errors, sqlite_errors
from service.entities import entity
from service.entities.reference import rendered, sql_types
from tests.docs.contract import PAGE, Example, columns_of, examples
from tests.docs.pages import CHECKOUT, read
from tests.unit.native_records import decoded, refused

_ERROR_CLASS = re.compile(r'error_class="(\w+)"')
_EXAMPLES = list(examples())


@pytest.mark.parametrize("example", _EXAMPLES, ids=lambda example: str(example.block))
def test_an_example_becomes_what_the_page_says(example: Example) -> None:
    """The columns of the event, or the class of the error and its message."""
    value = example.block.text.encode()
    if example.error_class:
        error = refused(value, example.entity)
        assert error.error_class == example.error_class
        assert example.message in (None, str(error))
    else:
        event = decoded(value, example.entity)
        assert (event.entity_id, columns_of(event)) == (example.entity_id, example.columns)


def test_there_are_examples_of_both_kinds() -> None:
    """Or the test above would hold of an empty page."""
    assert {example.error_class is None for example in _EXAMPLES} == {True, False}


def test_the_tables_are_those_of_the_registry() -> None:
    """Run `python -m service.entities.reference docs/data-contract.md` when this fails."""
    assert read(PAGE) == rendered(read(PAGE))


def test_each_type_of_a_column_says_what_it_takes() -> None:
    """By the name that MariaDB and MySQL have for it."""
    explained = set(re.findall(r"^\| ([A-Z]+(?:\(\w+(?:, \d+)?\))?) \|", read(PAGE), re.MULTILINE))
    types = {sql_types(column)[0] for table in entity.metadata.sorted_tables for column in table.columns}
    assert {re.sub(r"VARCHAR\(\d+\)", "VARCHAR(n)", each) for each in types} == explained


@pytest.mark.parametrize("name", sorted(bookkeeping.metadata.tables))
def test_the_other_tables_are_told_column_by_column(name: str) -> None:
    """In their order."""
    [row] = re.findall(rf"^\| `{name}` \|.*\| (.*) \|$", read(PAGE), re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == list(bookkeeping.metadata.tables[name].columns.keys())


def test_every_error_class_is_explained() -> None:
    """All that the code can give, and no other."""
    codes = (mysql_errors.CODES, postgresql_errors.CODES, sqlite_errors.CODES)
    possible = {name for each in codes for kind in (each.permanent, each.temporary) for name in kind.values()}
    for file in (CHECKOUT / "service").rglob("*.py"):
        possible |= set(_ERROR_CLASS.findall(file.read_text(encoding="utf-8")))
    section = read(PAGE).partition("### What becomes a dead letter")[2].partition("## For readers")[0]
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) - {"error_class"} == possible

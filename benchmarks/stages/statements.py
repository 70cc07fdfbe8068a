"""The kinds of statements of a transaction, made of what MariaDB's performance schema says. Pure.

Called by `server`. Text is known by how it begins. Rows that are inserted in bulk have no text there: their
time is what the storage engine took for each table, and what is left of those statements is `TAKE_IN`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from benchmarks.stages.results import Kind

FENCE = "fence"
SELECT_MARKS = "select marks"
LOCK_ROWS = "lock rows"
LOOK_FOR_LETTERS = "look for letters"
PREPARE = "prepare inserts"
TAKE_IN = "take rows in"
INSERT_ROWS = "insert rows"
DELETE_LINES = "delete lines"
INSERT_LINES = "insert lines"
INSERT_MARKS = "insert marks"
COMMITTED = "commit"
ELSE = "other"

KINDS = (
    FENCE, SELECT_MARKS, LOCK_ROWS, LOOK_FOR_LETTERS, PREPARE, TAKE_IN, INSERT_ROWS, DELETE_LINES,
    INSERT_LINES, INSERT_MARKS, COMMITTED, ELSE,
)  # fmt: skip

# Without backquotes; the first that fits. An INSERT is told apart by its table.
_BEGINNINGS = tuple(
    (re.compile(beginning, re.IGNORECASE | re.DOTALL), kind)
    for beginning, kind in (
        ("UPDATE consumer_positions", FENCE),
        ("SELECT .*FROM processed_events", SELECT_MARKS),
        ("SELECT .*FROM dead_letters", LOOK_FOR_LETTERS),
        ("SELECT .*FOR UPDATE", LOCK_ROWS),
        ("INSERT INTO (processed_events|order_items|customers|orders|products)", TAKE_IN),
        ("DELETE FROM order_items", DELETE_LINES),
        ("COMMIT", COMMITTED),
        ("", ELSE),
    )
)
_COMMANDS = {
    "statement/com/Prepare": PREPARE,
    "statement/com/Close stmt": PREPARE,
    "statement/com/Bulk_execute": TAKE_IN,
}
_TABLES = {
    "customers": INSERT_ROWS,
    "orders": INSERT_ROWS,
    "products": INSERT_ROWS,
    "order_items": INSERT_LINES,
    "processed_events": INSERT_MARKS,
}

Named = Iterable[tuple[str, Kind]]


def by_kind(texts: Named, commands: Named, tables: Named) -> dict[str, Kind]:
    """The figures of each kind that there was, in the order of `KINDS`.

    `texts` are figures by statement, `commands` by what was sent, `tables` what was written into each.
    """
    found: dict[str, list[Kind]] = defaultdict(list)
    for text, figures in texts:
        found[kind_of(text)].append(figures)
    for command, figures in commands:
        if command in _COMMANDS:
            found[_COMMANDS[command]].append(figures)
    written = [(_TABLES[table], figures) for table, figures in tables if table in _TABLES]
    for kind, figures in written:
        found[kind].append(figures)
    sums = {kind: _sum(found[kind]) for kind in KINDS if kind in found}
    if TAKE_IN in sums:
        sums[TAKE_IN] = _less(sums[TAKE_IN], _sum([figures for _, figures in written]))
    return {kind: figures for kind, figures in sums.items() if figures != _NOTHING}


def kind_of(text: str) -> str:
    """Which kind of statement begins like this."""
    plain = text.replace("`", "")
    return next(kind for beginning, kind in _BEGINNINGS if beginning.match(plain))


_NOTHING = Kind(0, 0, 0, 0)


def _less(inserts: Kind, written: Kind) -> Kind:
    """What statements took beside writing; the rows are counted where they were written."""
    return Kind(inserts.statements, max(0.0, inserts.seconds - written.seconds), inserts.rows_examined, 0)


def _sum(figures: Iterable[Kind]) -> Kind:
    several = list(figures)
    return Kind(
        sum(each.statements for each in several),
        sum(each.seconds for each in several),
        sum(each.rows_examined for each in several),
        sum(each.rows_affected for each in several),
    )

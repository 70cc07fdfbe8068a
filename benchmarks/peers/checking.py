"""Whether a peer's tables hold exactly the rows of the events, every column of them. Called by `peers.runs`.

`benchmarks.verify` looks at ids and marks; a contender that is not ours could write something else into the
columns, and be fast by that.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence

from benchmarks.load import Load, Message
from benchmarks.peers import rows
from benchmarks.probe import Probe
from benchmarks.verify import WrongResult, differences


def check_rows(probe: Probe, load: Load, table: Callable[[str], str]) -> None:
    """Raise `WrongResult` unless `table(entity)` has the row of every original, and nothing else.

    An order's lines are not looked at here.
    """
    originals = list(load.originals)
    entities = sorted({message.entity for message in originals})
    found = [line for entity in entities for line in _wrong(probe, entity, table(entity), originals)]
    if found:
        raise WrongResult("; ".join(found))


def _wrong(probe: Probe, entity: str, table: str, originals: Sequence[Message]) -> Iterator[str]:
    expected = [
        zlib.crc32("\t".join(rows.rows_of(message).row).encode())
        for message in originals
        if message.entity == entity
    ]
    # CONCAT_WS leaves a NULL out: such a row has another sum, as it must, for no column is NULL here.
    told = f"CRC32(CONCAT_WS('\\t', {', '.join(rows.columns(entity))}))"
    yield from differences(probe, table, told, expected)

"""What a run must have left behind for its figures to count."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import reduce
from operator import xor
from typing import cast
from zlib import crc32

import pytest

from benchmarks.load import Load, Message, change, event_id
from benchmarks.probe import Probe
from benchmarks.verify import WrongResult, verify


class _Tables:
    """Stands in for a probe: columns and what they hold."""

    def __init__(self, marks: Sequence[int], ids: Sequence[int], versions: Sequence[int]) -> None:
        self._held = {"CRC32(event_id)": marks, "(id)": ids, "(version)": versions}

    def select(self, sql: str) -> list[tuple[object, ...]]:
        [numbers] = [held for column, held in self._held.items() if column in sql]
        return [(len(numbers), sum(numbers), reduce(xor, numbers, 0))]


def _changes() -> list[Message]:
    """Two versions of one customer, and another customer."""
    draw = random.Random(7)
    of = [(1, 1), (1, 2), (2, 1)]
    return [
        change("customers", record, {}, event_id(draw, n), version) for n, (record, version) in enumerate(of)
    ]


@pytest.mark.parametrize(
    ("ids", "versions", "told"),
    [
        pytest.param([1, 2], [2, 1], None, id="right"),
        pytest.param([1, 2], [1, 1], "by version", id="an-older-version-won"),
        pytest.param([1, 1, 2], [1, 2, 1], "customers has 3 rows, not exactly the 2", id="not-folded"),
        pytest.param([1, 3], [2, 1], "by id", id="another-record"),
    ],
)
def test_a_record_has_one_row_of_its_newest_version(
    ids: Sequence[int], versions: Sequence[int], told: str | None
) -> None:
    """However many events it had."""
    load = Load((), tuple(_changes()), copies=0)
    probe = cast(Probe, _Tables([crc32(each.event_id.encode()) for each in load.measured], ids, versions))
    if told is None:
        verify(probe, load, None)
    else:
        with pytest.raises(WrongResult, match=told):
            verify(probe, load, None)

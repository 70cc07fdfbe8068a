"""Lost and doubled are counted as `outcomes` says."""

from __future__ import annotations

from dataclasses import replace

from tests.e2e.audit import Write
from tests.e2e.messages import Hopeless, Message, Place, Produced
from tests.e2e.oracle import Model
from tests.faults.outcomes import count_doubled, count_lost

PLACE = Place("orders", 0, 3)


def test_a_record_without_an_outcome_is_lost() -> None:
    """Neither mark nor dead letter."""
    model = Model()
    model.take(Produced(Message("test", "order", 0, b"7", b"{", (), 5, Hopeless()), PLACE, 5))
    assert count_lost(model, [PLACE]) == 0
    assert count_lost(model, [Place("orders", 0, 4)]) == 1


def test_an_outcome_too_many_is_doubled() -> None:
    """Two marks or letters of a record, an id that was ever marked twice, a row written twice by a record."""
    mark = Write(1, "processed_events", "INSERT", True, None, {"event_id": "AA"})
    assert count_doubled([PLACE], [PLACE], [mark]) == 0
    assert count_doubled([PLACE, PLACE], [], []) == 1
    assert count_doubled([], [PLACE, PLACE], []) == 1
    assert count_doubled([], [], [mark, mark]) == 1
    row = Write(1, "orders", "UPDATE", True, None, {"id": 7, "source_partition": 0, "source_offset": 3})
    assert count_doubled([], [], [row, replace(row, changed=False)]) == 0
    assert count_doubled([], [], [row, row]) == 1

"""The decoder against hostile input: the kept corpus, and as many fresh inputs as the time allows."""

from __future__ import annotations

from random import Random

import pytest

from tests.faults.hostile import corpus
from tests.faults.hostile.cases import Case
from tests.faults.hostile.judging import decode, judge
from tests.faults.hostile.mutating import grown

SEEDS = 60
INPUTS_A_SEED = 100


@pytest.mark.parametrize("kept", [pytest.param(kept, id=kept.name) for kept in corpus.load()])
def test_a_kept_input_ends_as_it_did(kept: corpus.Kept) -> None:
    """Whoever changes an ending changes what producers were told."""
    assert str(judge(kept.case)) == kept.ends


@pytest.mark.parametrize("seed", range(SEEDS))
def test_fresh_inputs_end_as_the_specification_says(seed: int) -> None:
    """As the event that it says, value by value, or as a dead letter for a reason that it has."""
    rng = Random(f"hostile {seed}")
    for _ in range(INPUTS_A_SEED):
        judge(grown(rng))


@pytest.mark.parametrize("frames", [0, 300, 600])
@pytest.mark.parametrize("name", ["x", "source", "data", "delete"])
def test_how_deep_is_too_deep_does_not_depend_on_the_caller(name: str, frames: int) -> None:
    """The interpreter's own limit counts the frames of whoever calls: a record must end the same for all."""
    endings = [
        called_from(frames, Case("customers", b"7", nested(name, levels))) for levels in (256, 257, 400, 900)
    ]
    assert endings == ["event" if name != "data" else "SchemaViolation", *["InvalidJson"] * 3]


def nested(name: str, levels: int) -> bytes:
    """An envelope of so many levels, most of them in `name`; `delete`: in data that nobody reads."""
    operation, data, deep = b"update", b"{}", b"[" * (levels - 1) + b"]" * (levels - 1)
    if name == "delete":
        operation, name, deep = b"delete", "data", b'{"address":%b}' % deep[1:-1]
    return b'{"operation":"%b","entity_id":7,"data":%b,"%b":%b}' % (operation, data, name.encode(), deep)


def called_from(frames: int, case: Case) -> str:
    """How `case` ends when the decoder is called from so many frames further down."""
    if frames:
        return called_from(frames - 1, case)
    ending = decode(case)
    return ending.error_class or "event"

"""Every known trap has a test, and what was made to cost time costs none."""

from __future__ import annotations

import time

import pytest

from tests.docs.pages import CHECKOUT, has_test
from tests.faults.hostile.catalogue import TRAPS, heavy
from tests.faults.hostile.judging import decode

# Each takes some hundredths of a second for its megabyte; what grows with its square takes hours.
SECONDS = 5


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_test(trap: str) -> None:
    """The tests that the catalogue names are there."""
    for named in TRAPS[trap]:
        file, _, name = named.partition("::")
        assert (CHECKOUT / file).is_file()
        assert not name or has_test(CHECKOUT / file, name)


@pytest.mark.parametrize("name", heavy())
def test_what_is_heavy_ends_soon(name: str) -> None:
    """As it should, and in time that grows with its bytes alone."""
    case, ends = heavy()[name]
    started = time.process_time()
    assert str(decode(case)) == ends
    assert time.process_time() - started < SECONDS

"""docs/operations.md leads where it says it does."""

from __future__ import annotations

import re

from tests.operations.page import PAGE, anchors


def test_each_link_within_the_page_has_its_heading() -> None:
    """Nobody looks for a heading at three in the morning."""
    links = set(re.findall(r"\]\(#([^)]+)\)", PAGE.read_text()))
    assert links - anchors() == set()

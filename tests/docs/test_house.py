"""CONTRIBUTING.md draws the house that import-linter holds."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import CHECKOUT, blocks


def test_the_house_is_drawn_as_it_is() -> None:
    """The same layers in the same order, neighbours by the alphabet or not."""
    [drawing] = [block for block in blocks(CHECKOUT / "CONTRIBUTING.md") if block.language == "text"]
    drawn = [_names(re.split(r"\s{2,}", line)[0]) for line in drawing.text.splitlines()]
    config = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = config["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert drawn == [_names(layer.replace("service.", "")) for layer in layers]


def _names(layer: str) -> set[str]:
    return {name.strip() for name in layer.split("|")}

"""The alert and recording rules, and the dashboard, as the tests read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.operations.page import CHECKOUT

RULES = CHECKOUT / "deploy" / "prometheus"
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "upsertd.json"

# Not behind a colon: what recording rules are named after is no metric.
_METRIC = re.compile(r"(?<![\w:])(?:upsertd|process)_\w+")
_LEGEND = re.compile(r"\{\{(\w+)\}\}")
_COMPARISON = re.compile(r"(==|>=|<=|>|<)(?! bool)")
# Values that exist only while something is wrong.
_OF_TROUBLE = re.compile(r'\b(start|reason|result)(=~|!~|=)"[^"]*"')


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule."""

    name: str
    expr: str
    severity: str
    annotations: dict[str, str]

    @property
    def quantities(self) -> str:
        """What the alert looks at, whether or not it would fire: no thresholds, no exceptions.

        Comparisons answer 0 or 1, so that the labels on both sides still have to match.
        """
        looked_at = re.split(r"\bunless\b|\bor \(", self.expr)[0].replace("absent(", "(")
        return _OF_TROUBLE.sub(r'\1=~".+"', _COMPARISON.sub(r"\1 bool", looked_at))


def alerts() -> list[Alert]:
    """Every alert."""
    return [
        Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], rule["annotations"])
        for rule in _rules(RULES / "alerts.yml")
    ]


def recordings() -> dict[str, str]:
    """What is recorded: name to expression."""
    return {rule["record"]: rule["expr"] for rule in _rules(RULES / "recording.yml")}


@dataclass(frozen=True, slots=True)
class Query:
    """One query of the dashboard; `labels` are those that the names of its series use."""

    panel: str
    expr: str
    labels: frozenset[str]


def queries() -> list[Query]:
    """Every query of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [
        Query(panel["title"], target["expr"], frozenset(_LEGEND.findall(target["legendFormat"])))
        for panel in panels
        for target in panel.get("targets", ())
    ]


def metrics(expr: str) -> set[str]:
    """The metrics of ours that an expression names."""
    return set(_METRIC.findall(expr))


def fired_in_tests() -> dict[str, set[str]]:
    """Every alert that promtool's tests expect to fire, with the names of the labels it has then."""
    fired: dict[str, set[str]] = {}
    for file in (RULES / "tests").glob("*.yml"):
        for labels in re.findall(r"ALERTS\{(alertname=.*?)\}", file.read_text()):
            named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            fired.setdefault(named["alertname"], set()).update(named)
    return fired


def _rules(file: Path) -> Iterator[Mapping[str, Any]]:
    for group in yaml.safe_load(file.read_text())["groups"]:
        yield from group["rules"]

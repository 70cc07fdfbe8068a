"""Writes the Grafana dashboard: `python deploy/grafana/dashboard.py > deploy/grafana/upsertd.json`.

The panels are listed in `panels.py`; the JSON around them is the same for all. A test fails when
`upsertd.json` is not what this prints, and tries every expression on a Prometheus that scrapes the service.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

from panels import ROWS, Panel, Query, Row

Json = dict[str, object]

WIDTH, STAT_WIDTH, STAT_HEIGHT, HEIGHT = 24, 3, 4, 8
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> Json:
    """The whole document, as Grafana 10 and 11 import it."""
    return {
        "title": "upsertd",
        "uid": "upsertd",
        "description": "Change events from Kafka into SQL. What each alarm means: docs/operations.md.",
        "tags": ["upsertd"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "panels": list(_numbered(_laid_out(ROWS))),
    }


def _variables() -> Iterator[Json]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield _variable("job", "upsertd_build_info")
    yield _variable("instance", 'upsertd_build_info{job=~"$job"}')
    yield _variable("topic", 'upsertd_consumer_lag{job=~"$job"}')


def _variable(label: str, series: str) -> Json:
    query = f"label_values({series}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,  # when the time range changes: replicas come and go
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[Json]:
    top = 0
    for row in rows:
        yield {"type": "row", "title": row.title, "collapsed": False, "gridPos": _place(0, top, WIDTH, 1)}
        top += 1
        left = 0
        for panel in row.panels:
            width = STAT_WIDTH if panel.stat else WIDTH // 3
            height = STAT_HEIGHT if panel.stat else HEIGHT
            if left + width > WIDTH:
                left, top = 0, top + height
            yield _panel(panel, _place(left, top, width, height))
            left += width
        top += height


def _place(left: int, top: int, width: int, height: int) -> Json:
    return {"x": left, "y": top, "w": width, "h": height}


def _numbered(panels: Iterator[Json]) -> Iterator[Json]:
    for count, panel in enumerate(panels, start=1):
        yield {"id": count, **panel}


def _panel(panel: Panel, place: Json) -> Json:
    return {
        "type": "stat" if panel.stat else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(query, name) for query, name in zip(panel.queries, "ABCDE", strict=False)],
        "fieldConfig": {"defaults": _look(panel), "overrides": []},
        "options": _stat_options() if panel.stat else _graph_options(),
    }


def _target(query: Query, name: str) -> Json:
    return {"refId": name, "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}


def _look(panel: Panel) -> Json:
    if panel.stat:
        steps: list[Json] = [{"color": "green", "value": None}]
        if panel.alarm_from is not None:
            steps.append({"color": "red", "value": panel.alarm_from})
        return {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    fill = 30 if panel.stacked else 5
    return {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": fill, "stacking": stacking}}


def _stat_options() -> Json:
    return {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}


def _graph_options() -> Json:
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=2)
    sys.stdout.write("\n")

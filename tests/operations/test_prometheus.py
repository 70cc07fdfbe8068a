"""Every expression of the dashboard and of the rules, on a real Prometheus that scrapes a running service."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterable

from tests.e2e.service_process import ServiceProcess
from tests.e2e.stage import Stage
from tests.e2e.workload import Workload
from tests.operations.prometheus import Prometheus
from tests.operations.rules import DASHBOARD, alerts, metrics, queries, recordings

EXPRESSIONS = [
    *(query.expr for query in queries()),
    *recordings().values(),
    *(alert.expr for alert in alerts()),
]
OUTCOMES = ("applied", "stale", "duplicate", "dead")


def test_the_dashboard_is_what_its_program_prints() -> None:
    """Edit `dashboard.py`, then run it."""
    program = DASHBOARD.with_name("dashboard.py")
    printed = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert printed.stdout == DASHBOARD.read_text()


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    """Each has a place and an id of its own."""
    document = json.loads(DASHBOARD.read_text())
    taken = [
        (place["x"] + column, place["y"] + line)
        for place in (panel["gridPos"] for panel in document["panels"])
        for column in range(place["w"])
        for line in range(place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(column for column, _ in taken) < 24
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])


async def test_every_expression_has_its_data(stage: Stage) -> None:
    """Of each panel, recording and alert: names that exist, no error, and series where there is traffic."""
    replica = stage.start()
    await replica.wait_ready()
    with Prometheus([address(replica)]) as prometheus:
        await stage.produce(Workload(1).take(1_500))
        await stage.settle()
        page = await replica.metrics()
        assert all(page.total("upsertd_events_total", outcome=outcome) for outcome in OUTCOMES)
        named = {name for expr in EXPRESSIONS for name in metrics(expr)}
        assert named - {name for name, _ in page.samples} == set()
        await asyncio.to_thread(look_at_everything, prometheus)


def look_at_everything(prometheus: Prometheus, timeout_seconds: float = 20) -> None:
    """Fail unless every rule is well and every expression has series, once there were a few scrapes."""
    deadline = time.monotonic() + timeout_seconds
    while faults := list(found_faults(prometheus)):
        assert time.monotonic() < deadline, "\n".join(faults)
        time.sleep(0.5)


def found_faults(prometheus: Prometheus) -> Iterable[str]:
    """A line for each rule that fails, each expression that is empty, each series without its name."""
    for rule in prometheus.rules():
        if rule["health"] != "ok":
            yield f"rule {rule['name']}: {rule['health']} {rule.get('lastError', '')}"
    for query in queries():
        series = prometheus.query(on_all(query.expr))
        if not series or not all(query.labels <= labels.keys() for labels in series):
            yield f"panel {query.panel}: {query.expr} has {series}"
    for name in recordings():
        if not prometheus.query(name):
            yield f"record {name} is empty"
    for alert in alerts():
        if not prometheus.query(alert.quantities):
            yield f"alert {alert.name} looks at nothing: {alert.quantities}"


def on_all(expr: str) -> str:
    """A panel's expression as Grafana sends it: variables at All, its own interval."""
    for name, value in {"$job": ".*", "$instance": ".*", "$topic": ".*", "$__rate_interval": "1m"}.items():
        expr = expr.replace(name, value)
    return expr


def address(replica: ServiceProcess) -> str:
    """Where a replica answers; its first line says it."""
    lines = [json.loads(line) for line in replica.log.splitlines() if '"started"' in line]
    return f"127.0.0.1:{lines[-1]['port']}"

"""The alerts fire and stay silent as promtool's tests say, and each has a page that says what to do."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.operations.page import PAGE, anchors
from tests.operations.rules import RULES, Alert, alerts, fired_in_tests
from tests.servers.programs import find_program

EACH_ALERT = pytest.mark.parametrize("alert", [pytest.param(each, id=each.name) for each in alerts()])


def promtool(*arguments: str) -> str:
    """What promtool says; fails when it finds fault."""
    program = find_program("promtool", package="prometheus")
    command = [str(program.path), *arguments]
    done = subprocess.run(
        command, cwd=RULES, env=program.environment or None, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_configuration() -> None:
    """With the rule files that it names."""
    assert "SUCCESS: 2 rule files found" in promtool("check", "config", "prometheus.yml")


def test_the_alerts_fire_and_stay_silent() -> None:
    """Every test lists all alerts that fire in its world."""
    files = [f"tests/{file.name}" for file in (RULES / "tests").glob("*.yml")]
    assert promtool("test", "rules", *files).count("SUCCESS") == len(files) == 5


@EACH_ALERT
def test_each_alert_is_seen_firing(alert: Alert) -> None:
    """In promtool's tests; that it is silent elsewhere follows from their lists."""
    assert alert.name in fired_in_tests()


@EACH_ALERT
def test_each_alert_says_what_it_means(alert: Alert) -> None:
    """In a line, in a paragraph, and on a page that says what to do."""
    assert alert.severity in {"critical", "warning", "info"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    path, _, anchor = alert.annotations["runbook_url"].partition("#")
    assert (path, anchor) == ("docs/operations.md", alert.name.lower())
    assert anchor in anchors()


@EACH_ALERT
def test_each_text_uses_labels_that_the_alert_has(alert: Alert) -> None:
    """Or operators read `<no value>`."""
    used = set(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())))
    assert used <= fired_in_tests()[alert.name]


def test_the_page_explains_no_alert_that_is_gone() -> None:
    """Its headings are the alerts' names."""
    explained = set(re.findall(r"^### (Upsertd\w+)$", PAGE.read_text(), re.MULTILINE))
    assert explained == {alert.name for alert in alerts()}

"""Several processes on one machine: deploy/systemd and docs/scaling.md agree with each other and the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from service.settings import ShutdownSettings, load_settings
from tests.container.documents import CHECKOUT, COMPOSE_FILES, compose_services
from tests.docs.pages import blocks
from tests.operations.rules import alerts
from tests.unit.test_manifests import known_names

UNIT = CHECKOUT / "deploy" / "systemd" / "upsertd@.service"
SETTINGS = CHECKOUT / "deploy" / "systemd" / "upsertd.env"
PAGE = CHECKOUT / "docs" / "scaling.md"
PORTS = (8081, 8082, 8083, 8084)


def assignments(file: Path) -> list[tuple[str, str]]:
    """The `name=value` lines of a unit or of a file of settings."""
    lines = [line.strip() for line in file.read_text().splitlines()]
    pairs = [line.partition("=") for line in lines if line and line[0] not in "#["]
    return [(name, value) for name, _, value in pairs]


def directive(name: str) -> str:
    """What the unit says once."""
    [value] = [value for each, value in assignments(UNIT) if each == name]
    return value


def environment(instance: int) -> dict[str, str]:
    """What a process of the unit is given. The file wins over the unit, as systemd has it."""
    own = dict([directive("Environment").replace("%i", str(instance)).split("=", 1)])
    return {**own, **dict(assignments(SETTINGS))}


def page_blocks(language: str) -> list[str]:
    """The blocks of the page in a language."""
    return [block.text for block in blocks(PAGE) if block.language == language]


def scrape_configs() -> list[dict[str, object]]:
    """Every job of Prometheus that the page shows."""
    documents = [yaml.safe_load(text) for text in page_blocks("yaml")]
    return [job for document in documents for job in document["scrape_configs"]]


class TestUnit:
    def test_it_names_only_settings_that_exist(self) -> None:
        """In its environment and in the file beside it."""
        assert environment(PORTS[0]).keys() <= known_names()

    def test_the_instance_is_the_port(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the settings of the example, which do not take it away."""
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in environment(PORTS[1]).items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        monkeypatch.undo()
        assert settings.http.port == PORTS[1]

    def test_a_stop_has_the_time_that_it_takes(self) -> None:
        """Some seconds more than a drain."""
        default = ShutdownSettings.model_fields["timeout_seconds"].get_default()
        drain_seconds = float(environment(PORTS[0]).get("SHUTDOWN_TIMEOUT_SECONDS", default))
        assert float(directive("TimeoutStopSec")) > drain_seconds + 5

    def test_a_wrong_setting_is_not_tried_again(self) -> None:
        """The command of the unit ends with the code that prevents a restart, and with no other one then."""
        program, *arguments = directive("ExecStart").split()
        given = {**environment(PORTS[0]), "HTTP_PORT": "upsertd"}
        done = subprocess.run(
            [str(Path(sys.executable).with_name(Path(program).name)), *arguments],
            env={"PATH": os.environ["PATH"], **given},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert directive("Restart") == "on-failure"
        assert str(done.returncode) == directive("RestartPreventExitStatus")
        assert b"HTTP_PORT" in done.stderr

    def test_it_has_no_rights(self) -> None:
        """No root, no capability and no way to one, nothing to write."""
        wanted = {
            "DynamicUser": "yes",
            "CapabilityBoundingSet": "",
            "NoNewPrivileges": "yes",
            "ProtectSystem": "strict",
            "RestrictSUIDSGID": "yes",
        }
        assert {name: directive(name) for name in wanted} == wanted


class TestPage:
    def test_it_installs_what_the_unit_names(self) -> None:
        """The unit, its settings, and the program that it starts."""
        commands = "\n".join(page_blocks("sh"))
        assert f"deploy/systemd/{UNIT.name} /etc/systemd/system/" in commands
        assert f"deploy/systemd/{SETTINGS.name} {directive('EnvironmentFile')}" in commands
        assert f"venv {Path(directive('ExecStart').split()[0]).parents[1]}\n" in commands

    def test_it_starts_asks_and_scrapes_the_same_processes(self) -> None:
        """Each by its port."""
        commands = "\n".join(page_blocks("sh"))
        assert f"systemctl enable --now upsertd@{{{PORTS[0]}..{PORTS[-1]}}}" in commands
        assert f"for port in {{{PORTS[0]}..{PORTS[-1]}}}; do curl" in commands
        targets = scrape_configs()[0]["static_configs"][0]["targets"]  # type: ignore[index]  # YAML as it comes
        assert {int(target.rpartition(":")[2]) for target in targets} == set(PORTS)

    def test_the_alerts_know_its_jobs(self) -> None:
        """By the names that they look for."""
        [pattern] = {found for alert in alerts() for found in re.findall(r'job=~"([^"]+)"', alert.expr)}
        names = [str(job["job_name"]) for job in scrape_configs()]
        assert names
        assert [name for name in names if not re.fullmatch(pattern, name)] == []


def test_compose_can_run_several() -> None:
    """Nothing in the service is of one container alone, and the published port is a variable's."""
    service = compose_services(COMPOSE_FILES[0])["upsertd"]
    assert not {"container_name", "hostname"} & service.keys()
    assert service["ports"] == ["127.0.0.1:${UPSERTD_PUBLISHED_PORT:-8000}:8000"]

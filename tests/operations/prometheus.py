"""A real Prometheus that scrapes processes of this machine every second. Called by `test_prometheus`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

import httpx

from tests.operations.rules import RULES
from tests.servers.errors import ServerFailed
from tests.servers.folders import guarded_folder
from tests.servers.ports import free_port
from tests.servers.processes import LocalProcess
from tests.servers.programs import find_program

_START_SECONDS = 30.0
_POLL_SECONDS = 0.1
_JOB = "upsertd"


class Prometheus:
    """One Prometheus with our rules and a database of its own, on 127.0.0.1, until the context ends."""

    def __init__(self, targets: Sequence[str]) -> None:
        program = find_program("prometheus", package="prometheus")
        folder = guarded_folder("prometheus")
        config = folder / "prometheus.yml"
        config.write_text(json.dumps(_config(targets)))  # JSON is YAML
        address = f"127.0.0.1:{free_port()}"
        options = {"config.file": config, "storage.tsdb.path": folder / "data", "web.listen-address": address}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self._process = LocalProcess([str(program.path), *arguments], folder, program.environment)
        self._client = httpx.Client(base_url=f"http://{address}", timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        self._process.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if not self._process.running or time.monotonic() > deadline:
                self._process.discard()
                raise ServerFailed(f"Prometheus does not come up:\n{self._process.log_tail()}")
            time.sleep(_POLL_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._process.discard()

    def query(self, expr: str) -> list[Mapping[str, str]]:
        """The labels of each series that an expression gives now. Raises `ValueError` with what is wrong."""
        answer = self._client.get("/api/v1/query", params={"query": expr}).json()
        if answer["status"] != "success":
            raise ValueError(f"{expr}: {answer['error']}")
        return [series["metric"] for series in answer["data"]["result"]]

    def rules(self) -> list[Mapping[str, Any]]:
        """Every rule with its `health` (`ok`, `err`, at first `unknown`) and `lastError`."""
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [cast(Mapping[str, Any], rule) for group in groups for rule in group["rules"]]

    def _answers(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def _config(targets: Sequence[str]) -> Mapping[str, object]:
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "recording.yml"), str(RULES / "alerts.yml")],
        "scrape_configs": [{"job_name": _JOB, "static_configs": [{"targets": list(targets)}]}],
    }

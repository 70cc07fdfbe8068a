"""Runs scenarios that mostly wait side by side, each on a thread and an event loop of its own.

A test module makes all of its scenarios' endings in one fixture, and a test of each looks at one.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

Scenario = Callable[[], Coroutine[object, object, str]]


@dataclass(frozen=True, slots=True)
class Ending:
    """What a scenario says of itself, or the trouble that it ended with."""

    said: str = ""
    trouble: str = ""


def play(scenarios: Mapping[str, Scenario]) -> Mapping[str, Ending]:
    """Let all of them happen; returns how each ended."""
    with ThreadPoolExecutor(max(1, len(scenarios))) as threads:
        return dict(zip(scenarios, threads.map(_end, scenarios.values()), strict=True))


def wanted(request: pytest.FixtureRequest) -> Collection[str]:
    """The values of the parameter `name` of those tests of this module that are to be run."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    own = [item for item in items if item.module is request.module and hasattr(item, "callspec")]
    return {str(item.callspec.params["name"]) for item in own if "name" in item.callspec.params}


def _end(scenario: Scenario) -> Ending:
    try:
        return Ending(said=asyncio.run(scenario()))
    except Exception:  # noqa: BLE001 - the others have their own story
        return Ending(trouble=traceback.format_exc())

"""A failpoint that nobody comes to is a failure, whatever else goes well."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.messages import Message, Place, Produced
from tests.e2e.service_process import ServiceFailed
from tests.e2e.world import Log
from tests.faults.failpoints import visit
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.load import Load
from tests.faults.failpoints.plan import Account, Failpoint
from tests.faults.failpoints.process import FailpointProcess, FailpointStage
from tests.faults.failpoints.visit import Life, Visit

_LIFE = Life(7, (Failpoint("before fetch", Kind.REFUSED), Failpoint("after fetch", Kind.CRASH)))


class _Stage:
    """Everything that is sent is handled at once."""

    def __init__(self) -> None:
        self.sent = 0

    async def produce(self, messages: Sequence[Message]) -> list[Produced]:
        first, self.sent = self.sent, self.sent + len(messages)
        return [
            Produced(message, Place(message.entity, 0, first + index), 0)
            for index, message in enumerate(messages)
        ]

    def positions(self) -> dict[Log, int]:
        return {Log(entity, 0): self.sent for entity in ("customer", "order")}

    def parked(self) -> int:
        return 0


class _Process:
    running = True

    def __init__(self, account: Account) -> None:
        self.account = account

    def failed(self, why: str) -> ServiceFailed:
        return ServiceFailed(why)


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """What the process tells; nobody waits long for more."""
    monkeypatch.setattr(visit, "REACH_SECONDS", 0.05)
    monkeypatch.setattr(visit, "_POLL_SECONDS", 0.001)
    return Account(tmp_path / "account")


def _visit(account: Account) -> Visit:
    stage, process = cast(FailpointStage, _Stage()), cast(FailpointProcess, _Process(account))
    return Visit(stage, Load(1), process, _LIFE)


async def test_a_failpoint_that_is_never_reached_fails(account: Account) -> None:
    """The first one struck and was got over; the second one is named."""
    account.tell("struck", 0)
    account.tell("went on", 0)
    with pytest.raises(ServiceFailed, match="after fetch"):
        await _visit(account).until_all_struck(lambda _failpoint: None)


async def test_an_ending_is_the_end(account: Account) -> None:
    """A process that was struck by its ending fault has nothing more to get over."""
    for number in range(2):
        account.tell("struck", number)
    told: list[Failpoint] = []
    await _visit(account).until_all_struck(told.append)
    assert told == list(_LIFE.failpoints)

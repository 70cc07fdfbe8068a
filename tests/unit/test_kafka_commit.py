"""A commit that is given up while the broker hangs: aiokafka shields its request, and it fails later."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from service.core.types import Partition
from service.sources.kafka import KafkaOptions, KafkaSource, _Tenure

CUSTOMERS = Partition("customers", 0)


class HangingConsumer:
    """Takes no commit until it is let go, and fails then, as aiokafka does when the connection goes."""

    def __init__(self) -> None:
        self._coordinator = SimpleNamespace(generation=1)
        self.let_go = asyncio.Event()

    async def commit(self, _offsets: object) -> None:
        await asyncio.shield(self._do_commit_offsets())

    async def _do_commit_offsets(self) -> None:
        await self.let_go.wait()
        raise ConnectionError


@pytest.mark.parametrize("cut_off", [True, False], ids=["cut-off", "deadline"])
async def test_a_commit_that_was_given_up_fails_in_silence(
    monkeypatch: pytest.MonkeyPatch, cut_off: bool
) -> None:
    """Nobody is left to hear of it, and asyncio would log an error for each lane."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))
    monkeypatch.setattr("service.sources.kafka.COMMIT_SECONDS", 0.01)
    source = KafkaSource(KafkaOptions("127.0.0.1:1", "group", ("customers",)))
    consumer = HangingConsumer()
    monkeypatch.setattr(source, "_consumer", consumer)
    monkeypatch.setattr(source, "_tenures", {CUSTOMERS: _Tenure()})
    commit = asyncio.create_task(source.commit(CUSTOMERS, 5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if cut_off:
        commit.cancel()
    await asyncio.gather(commit, return_exceptions=True)
    consumer.let_go.set()
    await asyncio.sleep(0.01)
    gc.collect()
    assert complaints == []

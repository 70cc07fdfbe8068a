"""Whether a service has done what its traffic asked for, to the last event. Called by `playing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from benchmarks.contenders import Counted
from benchmarks.live.traffic import ENTITY, Kind
from benchmarks.probe import Probe
from benchmarks.verify import WrongResult


def check(probe: Probe, sent: Mapping[Kind, int], records: int, counted: Counted | None) -> None:
    """Raise `WrongResult` unless every event had its effect once; `counted` is the consumer's own word."""
    if found := [*_wrong_tables(probe, sent, records), *_wrong_counts(sent, counted)]:
        raise WrongResult("; ".join(found))


def _wrong_tables(probe: Probe, sent: Mapping[Kind, int], records: int) -> Iterator[str]:
    wanted = {
        f"SELECT COUNT(*) FROM {ENTITY}": records,
        # Each original makes its row one version newer, in turn: a lost or stale one is missing here.
        f"SELECT SUM(version) FROM {ENTITY}": sent[Kind.ORIGINAL],
        "SELECT COUNT(*) FROM processed_events": sent[Kind.ORIGINAL],
        "SELECT COUNT(*) FROM dead_letters": sent[Kind.HOSTILE],
    }
    for sql, number in wanted.items():
        if (found := probe.number(sql)) != number:
            yield f"{sql} gives {found}, not {number}"


def _wrong_counts(sent: Mapping[Kind, int], counted: Counted | None) -> Iterator[str]:
    if counted is not None:
        said = (counted.applied, counted.duplicates, counted.dead)
        wanted = (sent[Kind.ORIGINAL], sent[Kind.COPY], sent[Kind.HOSTILE])
        if said != wanted:
            yield f"counted (applied, duplicate, dead) {said}, not {wanted}"

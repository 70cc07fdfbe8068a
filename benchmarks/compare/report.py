"""A comparison as a table for a terminal and as a page of HTML with a picture. Called by `__main__`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from string import Template

from benchmarks.compare.picture import draw
from benchmarks.compare.ratios import SUM, Pair, pairs, verdict
from benchmarks.compare.results import A, B, Compared
from benchmarks.machine import told
from benchmarks.summary import spread
from benchmarks.table import Cells, plain

HEAD = ("scenario", "CPU µs/event", A, B, "B / A", "least-greatest", "B takes")


def text(compared: Compared) -> str:
    """Sides, table and verdicts, for a terminal."""
    found = pairs(compared)
    parts = [
        "\n".join(sides(compared)),
        plain(HEAD, list(rows(found))),
        plain(OTHER_HEAD, list(other_rows(compared))),
        "\n".join(verdicts(found)),
    ]
    return "\n\n".join(parts) if found else parts[0]


def page(compared: Compared) -> str:
    """The same as a page of its own, with a picture."""
    found = pairs(compared)
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        sides=_items(sides(compared)),
        verdicts=_items(verdicts(found)),
        picture=draw(found),
        table=_table(HEAD, rows(found)),
        others=_table(OTHER_HEAD, other_rows(compared)),
        how=escape(_how(compared)),
    )


def sides(compared: Compared) -> Iterator[str]:
    """What A and B are, and what is doubtful about them."""
    for name, side in ((A, compared.a), (B, compared.b)):
        settings = "".join(f", {key}={value}" for key, value in side.settings.items())
        python = f", Python {side.python}" if side.python else ""
        yield f"{name}: {side.label} ({side.title}){settings}{python}"
        if side.differing:
            yield f"{name} pins other versions than are installed: {'; '.join(side.differing)}"


def verdicts(found: Sequence[Pair]) -> list[str]:
    """A sentence for each scenario."""
    return [verdict(pair) for pair in found if pair.measure == SUM]


def rows(found: Sequence[Pair]) -> Iterator[Cells]:
    """A row for each scenario, and one for each part of it."""
    for pair in found:
        ratio = pair.ratio
        yield [
            pair.scenario if pair.measure == SUM else "",
            pair.measure,
            f"{pair.a.median:.1f}",
            f"{pair.b.median:.1f}",
            f"{ratio.median:.2f}",
            f"{ratio.least:.2f}-{ratio.greatest:.2f}",
            pair.word,
        ]


OTHER_HEAD = ("scenario", "side", "statements/event", "connections", "events a batch", "events/s")


def other_rows(compared: Compared) -> Iterator[Cells]:
    """What was counted besides, a row for each scenario and side."""
    for scenario, side in dict.fromkeys((drain.scenario, drain.contender) for drain in compared.drains):
        drains = [each for each in compared.drains if (each.scenario, each.contender) == (scenario, side)]
        batches = sum(each.batches or 0 for each in drains)
        yield [
            scenario,
            side,
            f"{spread(each.statements_per_event for each in drains).median:.4f}",
            str(max(each.peak_connections for each in drains)),
            f"{sum(each.events for each in drains) / batches:,.0f}" if batches else "",
            spread(each.events_per_second for each in drains).text(),
        ]


def _how(compared: Compared) -> str:
    rounds = f"{compared.rounds} rounds, both sides by turns"
    return told(compared.machine, rounds, f"{compared.events:,} events a run", f"seed {compared.seed}")


def _items(lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join(f"<li>{escape(line)}</li>" for line in lines)


def _table(head: Cells, lines: Iterator[Cells]) -> str:
    def row(cells: Cells, tag: str) -> str:
        return f"<tr>{''.join(f'<{tag}>{escape(cell)}</{tag}>' for cell in cells)}</tr>"

    return "\n".join(["<table>", row(head, "th"), *(row(line, "td") for line in lines), "</table>"])

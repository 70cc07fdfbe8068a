"""The page says what was found, and never more than that."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.faults.chaos.results import Act, Injected, Point, Results
from tests.faults.failpoints.chain import Injected as Felt
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.plan import Failpoint
from tests.faults.failpoints.summary import Counts, Summary
from tests.faults.prove import document, page, timeline
from tests.faults.prove.report import Broken, Part, Planted, Report, Simulated

FELT = (
    Felt(Failpoint("before fetch", Kind.CRASH), 2.0),
    Felt(Failpoint("before claim: commit", Kind.HANG), 9.0),
)


def fault(kind: str, part: str, at: float, recovery: float | None = 1.0) -> Injected:
    return Injected(kind, part, int(at), 0, at, at + 2, "healed", 10.0, recovery, alone=True)


@pytest.fixture
def chaos() -> Results:
    """One act with a gap: the database did not answer for a while."""
    faults = (fault("database killed", "database", 2.0), fault("redis <flushed>", "redis", 9.0, None))
    handled = (9, 9, 10, None, 20, 90, 160)
    points = tuple(Point(float(at), 160, each) for at, each in enumerate(handled))
    act = Act(1, 0.0, 20.0, faults, points, 160, {"applied": 100, "duplicate": 60}, 4, 1, 0, 0, ())
    return Results(7, "2026-01-01T00:00:00+00:00", 20.0, 3, 300, (act,), {"Kafka": "4"})


@pytest.fixture
def report(chaos: Results) -> Report:
    """A proof that held."""
    return Report(
        "2026-01-01T00:00:00+00:00",
        600.0,
        7,
        "make prove MINUTES=10 SEED=7",
        tuple(
            Part(name, True, 9.0, f"run {name}") for name in ("simulation", "planted", "failpoints", "chaos")
        ),
        Simulated(1_000, 1, 20_000, {"crash": 900}, ()),
        Summary(7, 9.0, 2, FELT, Counts(produced=4_000), ()),
        Planted(32, (), ()),
        chaos,
    )


def test_a_proof_that_held(report: Report) -> None:
    """Its figures are there, and how to repeat it."""
    text = page.text(report)
    for said in (
        "Nothing lost, nothing doubled",
        "4,160 records through 4 faults",
        "1,000 histories",
        "2 at 2 steps",
        "32 of 32 caught",
        "make prove MINUTES=10 SEED=7",
        "run failpoints",
        "<td>hang</td><td>1</td><td>9.0 s</td>",
    ):
        assert said in text
    assert 'class="found"' not in text


def test_what_broke_stands_at_the_top(report: Report, chaos: Results) -> None:
    """Numbers first, then each line, as text."""
    [act] = chaos.acts
    bad = replace(chaos, acts=(replace(act, lost=2, doubled=1, violations=("I1 a < b",)),))
    broken = replace(report, chaos=bad, parts=(Part("chaos", False, 9.0, "run"),))
    text = page.text(broken)
    assert "2 lost, 1 doubled" in text
    assert "act 1: I1 a &lt; b" in text
    assert "did not all hold" in text
    assert "nothing lost" not in text.lower()


def test_a_history_that_broke_a_promise(report: Report) -> None:
    """It is named with the seed that replays it."""
    simulated = Simulated(1_000, 1, 20_000, {}, (Broken(17, "I3 ahead"),))
    broken = replace(report, simulation=simulated, parts=(Part("simulation", False, 9.0, "run"),))
    text = page.text(broken)
    assert "A promise did not hold" in text
    assert "simulation, seed 17: I3 ahead" in text


def test_a_part_that_is_missing(report: Report) -> None:
    """Nothing is claimed of it."""
    part = Part("failpoints", False, 9.0, "run", "did not end within 9 s")
    text = page.text(replace(report, failpoints=None, simulation=None, chaos=None, parts=(part,)))
    assert "The proof is not complete" in text
    assert "failpoints: did not end within 9 s" in text


def test_a_planted_bug_that_nobody_noticed(report: Report) -> None:
    """The checks are in doubt."""
    part = Part("planted", False, 9.0, "run")
    text = page.text(replace(report, planted=Planted(32, ("no-fence",), ()), parts=(part,)))
    assert "31 of 32 caught" in text
    assert "the planted bug no-fence was not noticed" in text


def test_the_timeline_shows_every_fault(chaos: Results) -> None:
    """As valid XML, each with what it says; where nothing was seen, there is a gap."""
    picture = ElementTree.fromstring(timeline.draw(chaos, alone=True))
    titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0] == "database killed, 2.0 s; work went on 1.0 s after it was healed"
    assert titles[1] == "redis <flushed>, 2.0 s; work did not go on"
    assert len(list(picture.iter("{http://www.w3.org/2000/svg}polygon"))) == 4


def test_a_timeline_of_nothing(chaos: Results) -> None:
    """A run that ended at once is a picture too."""
    ElementTree.fromstring(timeline.draw(replace(chaos, seconds=0.0, acts=()), alone=True))


def test_the_documentation_shows_a_proof(report: Report) -> None:
    """Between its marks, and nothing else of the page is touched."""
    page_text = f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n"
    rendered = document.rendered(page_text, report)
    assert rendered.startswith(
        f"before\n{document.BEGIN}\n`make prove MINUTES=10 SEED=7`, 2026-01-01: 1,000 simulated"
    )
    assert "| database killed | 1 | 1.0 s | 1.0 s | 10 s |" in rendered
    assert "old" not in rendered
    assert rendered.endswith(f"\n{document.END}\nafter\n")
    assert document.rendered(rendered, report) == rendered

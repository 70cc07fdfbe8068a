"""Parts run as processes of their own; what they say and write comes back, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.faults.failpoints.chain import Injected
from tests.faults.failpoints.kinds import Kind
from tests.faults.failpoints.plan import Failpoint
from tests.faults.failpoints.summary import Counts, Summary
from tests.faults.prove import parts
from tests.faults.prove.__main__ import prove
from tests.faults.prove.parts import Command, read_planted
from tests.faults.prove.report import Planted, Simulated, read, write

FOUND = Simulated(histories=3, first_seed=1, records=20, faults={"crash": 2}, violations=())


def script(text: str, file: Path, seconds: float = 60.0) -> Command:
    """A part that is one line of Python."""
    part = parts.simulation(seconds, seed=1, folder=file.parent)
    return Command(part.name, ("-c", text), file, part.read, seconds)


def writing(file: Path, code: int = 0) -> str:
    found = {
        "histories": 3,
        "first_seed": 1,
        "records": 20,
        "faults": {"crash": 2},
        "violations": [],
        "what the report does not show": 1,
    }
    return f"print('hello'); open({str(file)!r}, 'w').write({json.dumps(found)!r}); raise SystemExit({code})"


async def test_a_part_that_held(tmp_path: Path) -> None:
    """Exit 0, and what it wrote is read; what it says is told on."""
    told: list[str] = []
    file = tmp_path / "found.json"
    part, found = await parts.run(script(writing(file), file), told.append)
    assert (part.held, part.problem, found) == (True, None, FOUND)
    assert "  hello" in told


async def test_the_simulation_writes_what_is_read(tmp_path: Path) -> None:
    """Its own command line, for a moment."""
    command = parts.simulation(3.0, seed=5, folder=tmp_path)
    part, found = await parts.run(command, lambda _: None)
    assert (part.held, part.problem) == (True, None)
    assert isinstance(found, Simulated)
    assert (found.first_seed, found.histories > 0, found.violations) == (5, True, ())


def test_what_failpoints_write_is_read(tmp_path: Path) -> None:
    """Their summary as their command line writes it."""
    felt = Injected(Failpoint("before fetch", Kind.CRASH), 2.0)
    summary = Summary(7, 9.0, 1, (felt,), Counts(produced=4), ("I2",))
    command = parts.failpoints(9.0, seed=5, folder=tmp_path)
    command.file.write_bytes(msgspec.json.encode(summary))
    assert command.read(command.file) == summary


async def test_a_part_that_broke(tmp_path: Path) -> None:
    """Another exit code, whatever it wrote."""
    file = tmp_path / "found.json"
    part, found = await parts.run(script(writing(file, code=1), file), lambda _: None)
    assert (part.held, part.problem, found) == (False, None, FOUND)


@pytest.mark.parametrize(
    "text", ["pass", "open({file!r}, 'w').write('{{')", "open({file!r}, 'w').write('{{}}')"]
)
async def test_a_part_that_wrote_nothing_readable(tmp_path: Path, text: str) -> None:
    """Exit 0 alone proves nothing; neither does a file that an earlier run has left."""
    file = tmp_path / "found.json"
    file.write_text(json.dumps({"histories": 1}))
    part, found = await parts.run(script(text.format(file=str(file)), file), lambda _: None)
    assert (part.held, found) == (False, None)
    assert part.problem is not None


async def test_a_part_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ended, and the others get their turn."""
    monkeypatch.setattr(parts, "_GRACE_SECONDS", 0.5)
    command = script("import time; time.sleep(600)", tmp_path / "found.json", seconds=0)
    part, found = await parts.run(command, lambda _: None)
    assert (part.held, found) == (False, None)
    assert part.problem == "did not end within 0 s"


async def test_a_proof_is_its_parts(tmp_path: Path) -> None:
    """One that broke breaks it; it can be written and read."""
    file = tmp_path / "found.json"
    good, bad = script(writing(file), file), script(writing(file, code=1), file)
    held = await prove([good], 7, "make prove SEED=7", lambda _: None)
    broken = await prove([good, bad], 7, "make prove SEED=7", lambda _: None)
    assert (held.held, broken.held) == (True, False)
    write(broken, tmp_path / "report.json")
    assert read(tmp_path / "report.json") == broken
    assert json.loads((tmp_path / "report.json").read_text())["held"] is False


CASES = """<testsuites><testsuite>
<testcase name="test_bug_is_caught[no-fence]"/>
<testcase name="test_bug_is_caught[stale-lines]"><failure message="x"/></testcase>
<testcase name="test_bug_is_caught[null-key]"><skipped message="no MariaDB"/></testcase>
<testcase name="test_scenario_is_clean_without_bugs[rows]"/>
<testcase name="test_names_are_unique"><error message="x"/></testcase>
</testsuite></testsuites>"""


def test_planted_bugs_that_were_missed(tmp_path: Path) -> None:
    """A test that failed or was skipped has caught nothing."""
    (tmp_path / "planted.xml").write_text(CASES)
    found = read_planted(tmp_path / "planted.xml")
    assert found == Planted(3, ("stale-lines", "null-key"), ("test_names_are_unique",))
    assert found.caught == 1

"""The four parts of the proof, each a command of its own that anybody can run alone. Called by `__main__`.

A part is a process: whatever it does to itself, the others and the report are not touched. What it says is
shown as it says it; what it found, it writes to a file.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import msgspec

from tests.faults.chaos.results import Results
from tests.faults.failpoints.summary import Summary as Failpoints
from tests.faults.prove.report import Found, Part, Planted, Simulated

CHECKOUT = Path(__file__).parents[3]
# What a part may take beyond its time, on a busy machine, before it counts as hanging.
_GRACE_SECONDS = 300.0
_END_SECONDS = 20.0

Tell = Callable[[str], None]
Read = Callable[[Path], Found]
Anything = TypeVar("Anything", Simulated, Failpoints, Results)


@dataclass(frozen=True, slots=True)
class Command:
    """How to run a part: `arguments` of Python, what reads the `file` that it writes, and its time."""

    name: str
    arguments: tuple[str, ...]
    file: Path
    read: Read
    seconds: float

    @property
    def repeat(self) -> str:
        """What a person types."""
        return shlex.join(["python", *self.arguments])


def simulation(seconds: float, seed: int, folder: Path) -> Command:
    """Thousands of histories in memory."""
    file = folder / "simulation.json"
    options = ("--minutes", f"{seconds / 60:.2f}", "--first-seed", str(seed), "--json", str(file))
    return _command("simulation", options, file, lambda file: _decoded(file, Simulated), seconds)


def failpoints(seconds: float, seed: int, folder: Path) -> Command:
    """Crashes and errors at each named step of the real path."""
    file = folder / "failpoints.json"
    options = ("--seconds", f"{seconds:.0f}", "--seed", str(seed), "--json", str(file))
    return _command("failpoints", options, file, lambda file: _decoded(file, Failpoints), seconds)


def chaos(seconds: float, seed: int, folder: Path) -> Command:
    """Real servers that fail by a schedule."""
    file = folder / "chaos.json"
    options = (
        *("--minutes", f"{seconds / 60:.2f}", "--seed", str(seed), "--json", str(file)),
        *("--logs", str(folder / "logs")),
    )
    return _command("chaos", options, file, lambda file: _decoded(file, Results), seconds)


def planted(folder: Path) -> Command:
    """Rules that are broken on purpose."""
    file = folder / "planted.xml"
    arguments = ("-m", "pytest", "tests/planted", "-q", f"--junitxml={file}")
    return Command("planted", arguments, file, read_planted, 120.0)


async def run(command: Command, tell: Tell) -> tuple[Part, Found | None]:
    """Run a part to its end; a part that hangs is ended."""
    tell(f"{command.name}: {command.repeat}")
    command.file.unlink(missing_ok=True)
    begun = time.monotonic()
    code = await _run(command, lambda line: tell(f"  {line}"))
    seconds = time.monotonic() - begun
    found, problem = None, None
    if code is None:
        problem = f"did not end within {command.seconds + _GRACE_SECONDS:.0f} s"
    else:
        try:
            found = command.read(command.file)
        except (OSError, ValueError, ElementTree.ParseError) as error:
            problem = f"ended with {code} and wrote nothing that can be read: {error}"
    held = code == 0 and problem is None
    return Part(command.name, held, seconds, command.repeat, problem), found


async def _run(command: Command, tell: Tell) -> int | None:
    """The exit code, or None when it was ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command.arguments,
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(command.seconds + _GRACE_SECONDS):
            assert process.stdout is not None
            async for line in process.stdout:
                tell(line.decode(errors="replace").rstrip())
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    for ending in (signal.SIGINT, signal.SIGKILL):
        if process.returncode is None:
            process.send_signal(ending)
            await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=_END_SECONDS)


def read_planted(file: Path) -> Planted:
    """Read the report of pytest's run of tests/planted."""
    cases = list(ElementTree.parse(file).iter("testcase"))
    bugs = [case for case in cases if (case.get("name") or "").startswith("test_bug_is_caught[")]
    missed = [_parameter(case) for case in bugs if not _passed(case)]
    others = [case.get("name") or "?" for case in cases if case not in bugs and not _passed(case)]
    return Planted(len(bugs), tuple(missed), tuple(others))


def _passed(case: ElementTree.Element) -> bool:
    return all(case.find(bad) is None for bad in ("failure", "error", "skipped"))


def _parameter(case: ElementTree.Element) -> str:
    return (case.get("name") or "").partition("[")[2].rstrip("]")


def _command(name: str, options: Sequence[str], file: Path, read: Read, seconds: float) -> Command:
    return Command(name, ("-m", f"tests.faults.{name}", *options), file, read, seconds)


def _decoded(file: Path, of: type[Anything]) -> Anything:
    return msgspec.json.decode(file.read_bytes(), type=of)

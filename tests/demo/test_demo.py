"""The whole demo, as somebody runs it who has nothing: it says yes, it says no, it leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from service.__main__ import main
from service.demo.failure import DemoFailed
from service.demo.redis_server import find_program

_UPSERTD = Path(sys.executable).with_name("upsertd")
_WAIT_SECONDS = 150.0
# Slow enough for a busy machine, long enough for both faults.
_SHORT = ("--seconds", "6", "--rate", "100")
# A real service's settings, which the demo must not touch.
_FOREIGN = {"DATABASE_URL": "mysql://nobody@127.0.0.1:1/precious", "KAFKA_SESSION_TIMEOUT_SECONDS": "wrong"}


class Ended(NamedTuple):
    """A demo after its end; `left` are processes that it has not ended."""

    code: int
    output: str
    files: list[Path]
    left: list[int]


class _Demo:
    """A running demo whose temporary files all lie in `folder`."""

    def __init__(self, folder: Path, *options: str, terminal: int | None = None) -> None:
        self._folder = folder
        self._output = b""
        reading, writing = os.pipe() if terminal is None else (-1, terminal)
        self._reading = reading
        self._popen = subprocess.Popen(
            [_UPSERTD, "demo", *options],
            stdin=writing if terminal is not None else subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            env={**os.environ, **_FOREIGN, "TMPDIR": str(folder), "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(writing)

    def read_from(self, terminal: int) -> None:
        """Read what it shows on the other side of a terminal."""
        self._reading = terminal

    @property
    def output(self) -> str:
        return self._output.decode(errors="replace")

    def wait_for(self, there: Callable[[], object]) -> None:
        """Read on until `there` says so, or the demo ends."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while not there() and self._read():
            assert time.monotonic() < deadline, self.output

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def interrupt_twice(self) -> None:
        # Two of the same kind might arrive as one.
        self.send(signal.SIGINT)
        self.send(signal.SIGTERM)

    def ended(self) -> Ended:
        self.wait_for(lambda: False)
        code = self._popen.wait(_WAIT_SECONDS)
        return Ended(code, self.output, list(self._folder.iterdir()), list(_processes_in(self._folder)))

    def close(self) -> None:
        os.close(self._reading)
        if self._popen.poll() is None:
            self.interrupt_twice()
            self._popen.wait(_WAIT_SECONDS)

    def _read(self) -> bool:
        if not select.select([self._reading], [], [], 0.2)[0]:
            return True
        try:
            more = os.read(self._reading, 65536)
        except OSError:  # the end of a terminal
            return False
        self._output += more
        return bool(more)


def _processes_in(folder: Path) -> Iterator[int]:
    """The demo's children work in its folder."""
    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(str(folder)):
            yield process.pid


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A short demo without a terminal, from its start to its end."""
    demo = _Demo(tmp_path_factory.mktemp("short"), *_SHORT)
    with closing(demo):
        return demo.ended()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A demo on a terminal of 80 by 24, ended by Ctrl-C as soon as it has shown some events."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    demo = _Demo(tmp_path_factory.mktemp("interrupted"), "--rate", "50", terminal=its)
    with closing(demo):
        demo.read_from(ours)
        demo.wait_for(lambda: re.search(r"[1-9]\d* of 30 s", demo.output))
        # As the terminal would, if it were the one of the demo's session.
        demo.send(signal.SIGINT)
        return demo.ended()


def test_the_database_equals_the_model(short: Ended) -> None:
    """After duplicates, stale and hostile records, a Redis outage and a database pause."""
    assert short.code == 0, short.output
    assert "The database equals the model: yes" in short.output
    counts = dict(re.findall(r"^(\w+) +([1-9][\d,]*) +\2$", short.output, re.MULTILINE))
    assert counts.keys() == {"produced", "applied", "stale", "duplicate", "dead"}, short.output


def test_faults_are_announced(short: Ended) -> None:
    """Both of them, and that they are over."""
    for news in ("Redis is killed", "Redis is back", "the database is locked", "the database is free again"):
        assert f" s  {news}" in short.output


def test_plain_lines_without_a_terminal(short: Ended) -> None:
    """No escape sequences where nobody can see them, the URLs, and a line of figures now and then."""
    assert "\x1b" not in short.output
    assert re.search(r"^ +look at http://127\.0\.0\.1:\d+/metrics ", short.output, re.MULTILINE)
    assert re.search(r"^ +[\d.]+ s  produced \d+ applied \d+ .* lag \d+ ", short.output, re.MULTILINE)


def test_nothing_is_left_behind(short: Ended) -> None:
    """No process, no file."""
    assert (short.files, short.left) == ([], [])


def test_a_terminal_sees_the_live_view(interrupted: Ended) -> None:
    """On the alternate screen, so that the terminal is as it was afterwards."""
    view, _, after = interrupted.output.partition("\x1b[?1049l")
    assert "\x1b[?1049h" in view
    for expected in ("events", "hit rate", "pool", "lag", "delay p99", "dead letters", "/health/ready"):
        assert expected in view, expected
    assert "produced" in after


def test_ctrl_c_ends_with_a_verdict(interrupted: Ended) -> None:
    """What was sent until then is handled and judged, and nothing is left behind."""
    assert "The database equals the model:" in interrupted.output
    assert (interrupted.code, interrupted.files, interrupted.left) == (0, [], [])


def test_what_somebody_changed_by_hand_is_found(tmp_path: Path) -> None:
    """The oracle says no, names the difference, and the evidence is kept."""
    demo = _Demo(tmp_path, *_SHORT)
    with closing(demo):
        demo.wait_for(lambda: re.search(r"applied [1-9]\d", demo.output))
        [folder] = tmp_path.iterdir()
        _drop_a_mark(folder / "upsertd.db")
        ended = demo.ended()
    assert ended.code == 1, ended.output
    assert "The database equals the model: no" in ended.output
    assert re.search(r"^  processed_events \w+/\d/\d+: missing$", ended.output, re.MULTILINE)
    assert str(folder) in ended.output
    assert (folder / "upsertd.log").stat().st_size > 0
    assert ended.left == []


def _drop_a_mark(database: Path) -> None:
    """The oldest one: should a copy of its event come, the new mark lies elsewhere."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute(
            "DELETE FROM processed_events WHERE rowid = (SELECT MIN(rowid) FROM processed_events)"
        )


def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    """No verdict then, but nothing left behind either."""
    demo = _Demo(tmp_path, "--seconds", "600", "--rate", "50")
    with closing(demo):
        demo.wait_for(lambda: "records flow" in demo.output)
        demo.interrupt_twice()
        ended = demo.ended()
    assert (ended.code, ended.files, ended.left) == (130, [], [])
    assert "model" not in ended.output


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says what to install."""
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "upsertd: the demo needs more packages: pip install 'upsertd[demo]'\n"


def test_a_redis_comes_from_a_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is none on the PATH, the demo extra has one, and it runs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    program = find_program(tmp_path)
    assert "site-packages" in program
    assert b"Redis server" in subprocess.run([program, "--version"], capture_output=True, check=True).stdout


def test_no_redis_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a line that names both ways out."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("service.demo.redis_server._WHEELS", ("upsertd-no-such-wheel",))
    with pytest.raises(DemoFailed, match=r"no redis-server on the PATH.*upsertd\[demo\]"):
        find_program(tmp_path)

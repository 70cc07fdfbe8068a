"""The servers of the tests: ports, the guard, given addresses, and a test whose server is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import Kafka, MariaDb, Redis, ServerMissing, database_of
from tests.servers.kafka import plain_logins
from tests.servers.ports import free_port

pytest_plugins = ["pytester"]

CHECKOUT = Path(__file__).parents[2]
SERVERS: list[type[Kafka | MariaDb | Redis]] = [Kafka, MariaDb, Redis]
VARIABLES = [server.address_variable for server in SERVERS]
ADDRESSES = ["127.0.0.1:9", "mysql://me:p%40ss@127.0.0.1:9/mine", "redis://127.0.0.1:9/5"]

# A run that starts a server and is killed before it can clean up.
ABANDON = """
import os, signal
from tests.servers.folders import guarded_folder
from tests.servers.processes import LocalProcess
folder = guarded_folder("abandoned")
process = LocalProcess(["sleep", "600"], folder, {})
process.start()
while not (folder / "pid").exists() or not (folder / "pid").read_text():
    pass
print(folder, process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

WITHOUT_SERVER = """
import pytest
from tests.servers import ServerMissing

@pytest.fixture
def missing():
    raise ServerMissing("Kafka: no Java here")

def test_with_fixture(missing): ...
def test_with_own_server(): raise ServerMissing("Redis cannot be killed")
@pytest.mark.skip(reason="not today")
def test_skipped(): ...
@pytest.mark.xfail(reason="known")
def test_expected_failure(): assert False
"""


@pytest.fixture(autouse=True)
def _no_given_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_free_ports_differ_and_lie_below_the_range_of_outgoing_connections() -> None:
    """A client that retries against a server that is down is never given the server's port."""
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < 32768


@pytest.mark.parametrize(("server", "address"), list(zip(SERVERS, ADDRESSES, strict=True)))
@pytest.mark.parametrize("verb", ["kill", "stop", "restart", "suspend", "resume"])
def test_a_given_server_is_left_alone(
    server: type[Kafka | MariaDb | Redis], address: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that the user named is neither killed nor stopped, and the reason names the variable."""
    monkeypatch.setenv(server.address_variable, address)
    with pytest.raises(ServerMissing, match=server.address_variable):
        getattr(server(), verb)()


def test_a_given_server_has_no_options_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that needs a server of its own making is skipped when the server is given."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/5")
    with pytest.raises(ServerMissing, match="options"):
        Redis(options=("--maxmemory", "5mb")).start()


def test_a_given_database_keeps_account_and_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh databases are named in place of the one in `DATABASE_URL`."""
    monkeypatch.setenv("DATABASE_URL", "mysql://me:p%40ss@db.test:3307/mine?ssl=1")
    url = MariaDb().url("fresh")
    assert url == "mysql://me:p%40ss@db.test:3307/fresh?ssl=1"
    assert database_of(url) == "fresh"


def test_another_kind_of_database_is_no_mariadb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of MariaDB are skipped where `DATABASE_URL` names a PostgreSQL."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@127.0.0.1/mine")
    with pytest.raises(ServerMissing, match="another kind"):
        MariaDb()


def test_nothing_survives_a_killed_run() -> None:
    """The guard ends what a test run leaves behind when it is killed by SIGKILL."""
    done = subprocess.run(
        [sys.executable, "-c", ABANDON], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder, pid = done.stdout.split()
    deadline = time.monotonic() + 20
    while _lives(int(pid)) or Path(folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Whether the process runs; an orphan may stay a zombie where nobody reaps it."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in {"", "Z"}


def test_plain_logins_are_one_line_of_jaas() -> None:
    """Kafka reads all users of a listener from one property."""
    properties = plain_logins("SASL_PLAINTEXT", {"alice": "a", "bob": "b"})
    value = properties["listener.name.sasl_plaintext.plain.sasl.jaas.config"]
    assert value.endswith('PlainLoginModule required user_alice="a" user_bob="b";')


@pytest.mark.parametrize(
    ("ci", "expected"),
    [
        pytest.param("", {"skipped": 3, "xfailed": 1}, id="visible-skips"),
        pytest.param("true", {"failed": 1, "errors": 2, "xfailed": 1}, id="failures-in-ci"),
    ],
)
def test_a_test_without_its_server_is_skipped_but_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, expected: dict[str, int]
) -> None:
    """A missing server is a visible skip for people; in CI no skip passes, whatever its reason."""
    monkeypatch.setenv("CI", ci)
    pytester.makeconftest("from tests.conftest import *\nfrom tests.conftest import _skip_without_server\n")
    pytester.makepyfile(WITHOUT_SERVER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(**expected)

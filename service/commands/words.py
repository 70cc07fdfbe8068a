"""What a failure means in words that an operator can act on; never a value, never a secret.

`ending` and `check` tell failures with these. The errors themselves carry codes and class names, because
logs and metrics are better off with those.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka_errors
from sqlalchemy.exc import DBAPIError

from service.core.errors import Code, Unavailable, UpsertdError
from service.dialects.sqlite_errors import NO_SUCH_TABLE
from service.telemetry.failures import summary

_MIGRATE = "run `upsertd migrate`"
_SQL_WORDS: dict[Code, str] = {
    1021: "the disk is full",
    1040: "the server has too many connections",
    1044: "DATABASE_URL names a database that is not there, or that this user may not use",
    1045: "access denied: DATABASE_URL has a wrong user or password",
    1049: "the server has no database of the name in DATABASE_URL",
    1054: f"a column is missing: {_MIGRATE}",
    1114: "a table is full, or the disk",
    1142: "this user lacks a right on a table",
    1143: "this user lacks a right on a column",
    1146: f"a table is missing: {_MIGRATE}",
    1203: "this user has too many connections",
    1290: "the server is read-only",
    1698: "access denied: DATABASE_URL has a wrong user or password",
    1836: "the server is read-only",
    2002: "the server cannot be reached",
    2003: "the server cannot be reached",
    2006: "the connection was lost",
    2013: "the connection was lost",
    3159: "the server demands TLS: see DB_SSL_ENABLED",
    4031: "the connection was lost",
    "08001": "the server cannot be reached",
    "08003": "the connection was lost",
    "08004": "the server offers no TLS: see DB_SSL_ENABLED",
    "08006": "the connection was lost",
    "08P01": "whatever answers there is no PostgreSQL server, or a pooler that cannot reach one",
    "25006": "the server is read-only",
    "25P03": "the connection was lost",
    "28000": "access denied: the server has no rule that lets this user in from here, or not without TLS",
    "28P01": "access denied: DATABASE_URL has a wrong user or password",
    "3D000": "the server has no database of the name in DATABASE_URL",
    "3F000": "this user sees no schema to make tables in: it lacks a right on it",
    "42501": "this user lacks a right on the database, the schema or a table",
    "42703": f"a column is missing: {_MIGRATE}",
    "42P01": f"a table is missing: {_MIGRATE}",
    "53100": "the disk is full",
    "53300": "the server has too many connections",
    "57P01": "the connection was lost",
    "57P02": "the connection was lost",
    "57P03": "the server is starting or shutting down",
    "SQLITE_BUSY": "another process writes into the file for too long",
    "SQLITE_CANTOPEN": "the file in DATABASE_URL cannot be opened: is its folder there, and ours to write?",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the file system fails",
    "SQLITE_NOTADB": "the file in DATABASE_URL is no SQLite database",
    "SQLITE_PERM": "the file in DATABASE_URL may not be opened",
    "SQLITE_READONLY": "the file in DATABASE_URL, or its folder, cannot be written",
    NO_SUCH_TABLE: f"a table is missing: {_MIGRATE}",
}

# Found in the error's text, which is the name of redis-py's class and the server's code; the first counts.
_REDIS_WORDS = {
    "WRONGPASS": "access denied: wrong user or password",
    "NOAUTH": "access denied: Redis demands a password",
    "NOPERM": "this user may not send the commands that are needed",
    "AuthenticationError": "access denied: wrong user or password",
    "LOADING": "Redis is still loading its data",
    "READONLY": "this Redis is a read-only replica",
    "ConnectionError": "the server cannot be reached",
    "TimeoutError": "no answer in time",
}


_LOGIN_REFUSED = "login refused: check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
_PROTOCOL_FITS = "does KAFKA_SECURITY_PROTOCOL fit this listener?"


def plain_words(error: UpsertdError) -> str:
    """One line: which part, what is wrong, and what the server said where no words are known."""
    if not isinstance(error, Unavailable):
        return f"{type(error).__name__}: {error}"
    return f"{error.part}: {reason(error)}"


def reason(error: Unavailable) -> str:
    """What is wrong with the part that is unavailable, without its name."""
    if error.part == "kafka":
        return str(error)
    words, code = _sql_reason(error) if error.part == "database" else (_redis_words(error), None)
    told = [words or str(error).removeprefix(f"{error.part}: "), _network_reason(error)]
    line = ": ".join(part for part in told if part)
    return line if code is None or words is None else f"{line} ({_code_words(code)})"


def _sql_reason(error: Unavailable) -> tuple[str | None, Code | None]:
    """The words for a code of the database's, and the code."""
    code: object = error.code
    if code is None and isinstance(error.__cause__, DBAPIError):
        code = _code_of(error.__cause__.orig)
    if not isinstance(code, (int, str)):
        return None, None
    return _SQL_WORDS.get(code) or _SQL_WORDS.get(_without_detail(code)), code


def _code_of(driver_error: BaseException | None) -> object:
    """Where a driver keeps the code: SQLite's and PostgreSQL's have a name, MySQL's is the first argument."""
    name = getattr(driver_error, "sqlite_errorname", None) or getattr(driver_error, "sqlstate", None)
    return name or next(iter(getattr(driver_error, "args", ())), None)


def _without_detail(code: Code) -> Code:
    """SQLite's code without what it adds to it: SQLITE_IOERR of SQLITE_IOERR_WRITE."""
    return "_".join(code.split("_")[:2]) if isinstance(code, str) else code


def _code_words(code: Code) -> str:
    # SQLite's names speak for themselves; PostgreSQL's codes have five characters.
    return f"SQL error {code}" if isinstance(code, int) or len(code) == 5 else code


def _redis_words(error: Unavailable) -> str | None:
    told = str(error)
    return next((words for code, words in _REDIS_WORDS.items() if code in told), None)


def _network_reason(error: BaseException) -> str | None:
    """The operating system's words for why there is no connection, from the bottom of the chain."""
    link: BaseException | None = error
    found = None
    while link is not None:
        if isinstance(link, OSError) and not isinstance(link, TimeoutError):
            found = _os_words(link) or found
        link = link.__cause__ or link.__context__
    return found


def _os_words(error: OSError) -> str | None:
    if isinstance(error, socket.gaierror):
        return "host name not found"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason}" if error.reason else "TLS failed"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return summary(error).partition(": ")[2] or None


# ---------------------------------------------------------------- Kafka


@contextmanager
def kafka_explained() -> Iterator[None]:
    """Let an `Unavailable` of Kafka say why no connection came about: aiokafka only logs that."""
    failures = _ConnectFailures()
    client_log = logging.getLogger("aiokafka")
    client_log.addHandler(failures)
    try:
        yield
    except Unavailable as error:
        if error.part != "kafka" or failures.latest is None:
            raise
        # A broker's own refusal says more than a connection that failed somewhere on the way.
        told = failures.latest if isinstance(error.__cause__, TimeoutError) else str(error)
        raise Unavailable(told, part="kafka") from error
    finally:
        client_log.removeHandler(failures)


class _ConnectFailures(logging.Handler):
    """Keeps why aiokafka could not connect, from its log records: (host, port or node, …, error)."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.latest: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        error = arguments[-1] if arguments else None
        if isinstance(error, Exception):
            place = ":".join(map(str, arguments[:-1]))
            # aiokafka names the brokers it was told of by address, the others by their number.
            broker = place if ":" in place else f"broker {place}"
            self.latest = f"{broker}: {_kafka_words(error)}"


# By class; a subclass comes before its base.
_KAFKA_WORDS: tuple[tuple[type[Exception], str], ...] = (
    (kafka_errors.SaslAuthenticationFailed, _LOGIN_REFUSED),
    (kafka_errors.AuthenticationFailedError, _LOGIN_REFUSED),
    (kafka_errors.UnsupportedSaslMechanismError, "the broker does not offer this KAFKA_SASL_MECHANISM"),
    (kafka_errors.IllegalSaslStateError, f"the broker expects no login here: {_PROTOCOL_FITS}"),
    (kafka_errors.KafkaConnectionError, f"the broker closed the connection: {_PROTOCOL_FITS}"),
    (ConnectionResetError, f"the broker closed the connection: {_PROTOCOL_FITS}"),
    (TimeoutError, "no answer"),
)


def _kafka_words(error: Exception) -> str:
    network = _network_reason(error)
    return network or next(
        (words for kind, words in _KAFKA_WORDS if isinstance(error, kind)), type(error).__name__
    )
